package submission

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/mta/submission/foreign"
)

// wished reads the control headers of a message of a credential that has every
// vendor enabled.
func wished(lines string) (controls, error) {
	tenant := accounts().tenants["acme"]
	news := tenant.Streams[account.Marketing]
	news.UTM = account.UTM{{Name: "utm_source", Value: "{stream}"}, {Name: "utm_campaign", Value: "{campaign}"}, {Name: "t", Value: "{tag}"}}
	tenant.Streams = map[string]account.Stream{
		account.Transactional: tenant.Streams[account.Transactional], account.Marketing: news,
		"text": {Name: "text", Track: account.TrackAll | account.TrackText},
	}
	h, err := parseHeader([]byte(strings.ReplaceAll(lines, "\n", "\r\n") + "\r\n\r\n"))
	if err != nil {
		return controls{}, err
	}
	return parseControls(h, sender{tenant: tenant, vendors: foreign.Names()}, time.Unix(1e9, 0))
}

// TestTrackWishes proves that off wins over everything, the message's own
// headers over those of vendors, and any header over the stream.
func TestTrackWishes(t *testing.T) {
	const news, text = "X-Postrider-Stream: marketing\n", "X-Postrider-Stream: text\n"
	for lines, want := range map[string]string{
		"":                                  "none",
		news:                                "all",
		text:                                "all and text",
		news + "X-Mailgun-Track: no":        "none",
		news + "X-Mailgun-Track-Clicks: no": "opens",
		"X-Mailgun-Track: yes":              "all",
		"X-Postrider-Track: all\nX-Mailgun-Track-Opens: no":              "clicks",
		"X-Postrider-Track: all\nX-PM-TrackLinks: None":                  "opens",
		"X-Postrider-Track: none\nX-Mailgun-Track: yes":                  "none",
		"X-Postrider-Track: opens\nX-MC-Track: opens,clicks_all":         "opens",
		news + "X-Postrider-Track-Text: yes":                             "all and text",
		"X-Postrider-Track-Text: yes":                                    "none",
		"X-Postrider-Track: opens\nX-Postrider-Track-Text: yes":          "opens",
		"X-Postrider-Track: clicks\nX-Postrider-Track-Text: YES":         "clicks and text",
		text + "X-Postrider-Track-Text: no":                              "all",
		text + "X-Postrider-Track: opens":                                "opens",
		text + "X-PM-TrackLinks: HtmlOnly":                               "all",
		text + "X-Mailgun-Track-Clicks: no":                              "opens",
		"X-PM-TrackLinks: HtmlAndText":                                   "clicks and text",
		"X-PM-TrackLinks: TextOnly":                                      "none and text",
		"X-PM-TrackLinks: TextOnly\nX-Postrider-Track: none":             "none",
		"X-PM-TrackLinks: TextOnly\nX-Postrider-Track-Text: no":          "none",
		"X-PM-TrackLinks: HtmlAndText\nX-Mailgun-Track-Clicks: no":       "none",
		`X-SMTPAPI: {"filters":{"opentrack":{"settings":{"enable":1}}}}`: "opens",
		"X-MC-Track: opens\nX-Mailgun-Track-Clicks: yes":                 "opens",
	} {
		c, err := wished(lines)
		if err != nil || c.track.String() != want {
			t.Errorf("%q: %s, %v, want %s", lines, c.track, err, want)
		}
	}
}

func TestUTMWishes(t *testing.T) {
	const news = "X-Postrider-Stream: marketing\n"
	for lines, want := range map[string]string{
		"":   "",
		news: "utm_source=marketing",
		news + "X-Postrider-Campaign: Herbst & Co\nX-Postrider-Tag: a\nX-Postrider-Tag: b": "utm_source=marketing&utm_campaign=Herbst%20%26%20Co&t=a",
		news + "X-Mailgun-Campaign-Id: c\nX-PM-Tag: d":                                     "utm_source=marketing&utm_campaign=c&t=d",
		news + "X-Postrider-UTM: off":                                                      "",
		news + "X-Postrider-UTM: a={campaign}&b=c+d":                                       "b=c%20d",
		"X-Postrider-UTM: utm_source=x":                                                    "utm_source=x",
		news + "X-MC-GoogleAnalyticsCampaign: spring":                                      "utm_campaign=spring",
		"X-Postrider-UTM: off\nX-MC-GoogleAnalyticsCampaign: spring":                       "",
	} {
		c, err := wished(lines)
		if err != nil || c.utm.String() != want {
			t.Errorf("%q: %s, %v, want %s", lines, c.utm, err, want)
		}
	}
}

func TestVendorWishes(t *testing.T) {
	c, err := wished("X-SMTPAPI: {\"category\": [\"a\",\n \"=?utf-8?q?=C3=BC?=\"], \"unique_args\": {\"b\":\"2\",\"a\":1}, \"send_at\": 1000003600}\nX-PM-Message-Stream: broadcast\nX-SES-CONFIGURATION-SET: marketing\nX-MC-IpPool: slow")
	if err != nil {
		t.Fatal(err)
	}
	if c.stream.Name != "marketing" || !slices.Equal(c.tags, []string{"a", "ü"}) || string(c.metadata) != `{"a":1,"b":"2"}` || c.pool != "slow" || !c.sendAt.Equal(time.Unix(1000003600, 0)) {
		t.Errorf("%+v", c)
	}
	c, err = wished("X-MC-Tags: v\nX-PM-Metadata-v: w\nX-Mailgun-Campaign-Id: v\nX-MC-SendAt: 2001-09-09 02:00:00\nX-MC-IpPool: none\nX-SES-CONFIGURATION-SET: marketing\n" +
		"X-Postrider-Stream: text\nX-Postrider-Campaign: own\nX-Postrider-Tag: own\nX-Postrider-Metadata: {\"own\":1}\nX-Postrider-Send-At: 1000007200\nX-Postrider-Pool: fast")
	if err != nil {
		t.Fatal(err)
	}
	if c.stream.Name != "text" || c.campaign != "own" || !slices.Equal(c.tags, []string{"own"}) || string(c.metadata) != `{"own":1}` || c.pool != "fast" || !c.sendAt.Equal(time.Unix(1000007200, 0)) {
		t.Errorf("%+v", c)
	}
	if c, err = wished("X-MC-SendAt: 2001-09-09 02:00:00"); err != nil || !c.sendAt.Equal(time.Unix(1e9, 0).Add(13*time.Minute+20*time.Second)) {
		t.Errorf("%v, %v", c.sendAt, err)
	}
	if c, err = wished("X-MC-SendAt: 2000-01-01 02:00:00"); err != nil || !c.sendAt.IsZero() {
		t.Errorf("%v, %v", c.sendAt, err)
	}
}

func TestMalformedWishes(t *testing.T) {
	for lines, want := range map[string]string{
		"X-SMTPAPI: {x":                                 "X-SMTPAPI is no JSON",
		"X-MC-Tags: " + strings.Repeat("x", 129):        "129 characters",
		"X-MC-Tags: a,b,c,d,e,f,g,h,i,j,k":              "11 times",
		"X-Mailgun-Campaign-Id: a\x01":                  "printable",
		"X-PM-Metadata-a: " + strings.Repeat("x", 5000): "4096 are allowed",
		"X-Mailgun-Deliver-By: tomorrow":                "cannot be read",
		"X-MC-SendAt: 2011-01-01 00:00:00":              "30 days",
		"X-PM-Tag: =?klingon?q?x?=":                     "X-PM-Tag is in an unknown character set",
		"X-Postrider-UTM: utm source=x":                 "X-Postrider-UTM cannot be read",
		"X-Postrider-Track-Text: maybe":                 "X-Postrider-Track-Text is not yes or no",
		"X-Postrider-Campaign: " + strings.Repeat("x", 128) + "\nX-Postrider-UTM: a=" + strings.Repeat("{campaign}", 9): "too long",
	} {
		_, err := wished(lines)
		if err == nil {
			t.Errorf("%.60q passed", lines)
			continue
		}
		if r := asRefusal(err); r.code != 550 || !strings.Contains(string(r.line()), want) || len(r.line()) > 512 {
			t.Errorf("%.60q: %+v", lines, r)
		}
	}
}

// TestVendorHeadersAreStripped submits over the wire: with a credential that
// has a vendor enabled, and without one. Nobody's headers reach a recipient.
func TestVendorHeadersAreStripped(t *testing.T) {
	o := options(trusted())
	a := accounts()
	app := a.credentials["app"]
	app.VendorHeaders = []string{"postmark"}
	a.credentials["app"] = app
	o.Accounts = a
	f := start(t, o)
	const message = "X-PM-Tag: welcome\r\nX-PM-TrackLinks:\r\n HtmlAndText\r\nX-SMTPAPI: {broken\r\nX-Mailgun-Track: yes\r\nx-mc-tags: a\r\nX-SES-Configuration-Set: b\r\nX-PMX: stays\r\n" + simple
	for _, login := range []bool{true, false} {
		c := f.greeted(0)
		if login {
			c.say("AUTH PLAIN "+plainResponse("app", secret), "235")
		}
		c.message(message, "250")
		s := f.store.last(t)
		for _, name := range []string{"x-pm-", "smtpapi", "mailgun", "x-mc-", "x-ses-"} {
			if strings.Contains(strings.ToLower(string(s.Body)), name) {
				t.Errorf("login %v: %s is left in %s", login, name, s.Body)
			}
		}
		if !strings.Contains(string(s.Body), "X-PMX: stays\r\n") {
			t.Errorf("%s", s.Body)
		}
		if got := len(s.Message.Tags) > 0 && s.Message.Track == account.TrackClicks|account.TrackText; got != login {
			t.Errorf("login %v: %+v", login, s.Message)
		}
	}
}
