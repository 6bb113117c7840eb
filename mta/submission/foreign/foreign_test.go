package foreign_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/mta/submission/foreign"
)

// fields splits "Name: value" lines.
func fields(lines string) []foreign.Field {
	var list []foreign.Field
	for line := range strings.SplitSeq(lines, "\n") {
		name, value, _ := strings.Cut(line, ":")
		list = append(list, foreign.Field{Name: name, Value: strings.TrimSpace(value)})
	}
	return list
}

// show writes wishes in a few words.
func show(w foreign.Wishes) string {
	words := []string{}
	for _, s := range []struct {
		name string
		is   foreign.Switch
	}{{"opens", w.Opens}, {"clicks", w.Clicks}, {"text", w.Text}} {
		switch s.is {
		case foreign.On:
			words = append(words, "+"+s.name)
		case foreign.Off:
			words = append(words, "-"+s.name)
		}
	}
	add := func(name string, values ...string) {
		if s := strings.Join(values, "|"); s != "" {
			words = append(words, name+"="+s)
		}
	}
	add("campaign", w.Campaign)
	add("tags", w.Tags...)
	for _, name := range slices.Sorted(maps.Keys(w.Metadata)) {
		add("meta."+name, string(w.Metadata[name]))
	}
	add("streams", w.Streams...)
	add("pools", w.Pools...)
	add("at", w.SendAt)
	add("utm", w.UTM.String())
	return strings.Join(words, " ")
}

func TestRead(t *testing.T) {
	for lines, want := range map[string]string{
		`X-SMTPAPI: {"category":"welcome","unique_args":{"order":"17","n":3}}`:                                                          `tags=welcome meta.n=3 meta.order="17"`,
		`x-smtpapi: {"category":["a"," b ",""],"ip_pool":"fast","send_at":1893456000,"asm_group_id":1}`:                                 `tags=a|b pools=fast at=1893456000`,
		`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":0}}}}`:                                                               `-clicks -text`,
		`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":1}}}}`:                                                               `+clicks`,
		`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":"1","enable_text":true}}}}`:                                          `+clicks +text`,
		`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":true,"enable_text":false}}}}`:                                        `+clicks -text`,
		`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable_text":1}}}}`:                                                          ``,
		`X-SMTPAPI: {"filters":{"opentrack":{"settings":{"enable":0}},"subscriptiontrack":{"settings":{"enable":1,"text/plain":"x"}}}}`: `-opens`,
		`X-SMTPAPI: {"filters":{"opentrack":{"settings":{"enable":1,"replace":"%o%"}},"footer":{"settings":{"enable":0}}}}`:             `+opens`,
		`X-SMTPAPI: {"filters":{"ganalytics":{"settings":{"enable":1,"utm_source":"S","utm_campaign":"C d","utm_term":""}}}}`:           `utm=utm_source=S&utm_campaign=C%20d`,
		`X-SMTPAPI: {"filters":{"ganalytics":{"settings":{"enable":0,"utm_source":"S"}}},"to":null,"sub":{}}`:                           ``,
		"X-Mailgun-Track: yes":                                    `+opens +clicks`,
		"X-Mailgun-Track: no":                                     `-opens -clicks -text`,
		"X-Mailgun-Track: htmlonly":                               `+opens +clicks -text`,
		"X-MAILGUN-TRACK-CLICKS: False":                           `-clicks -text`,
		"X-Mailgun-Track-Clicks: htmlonly":                        `+clicks -text`,
		"X-Mailgun-Track: yes\nX-Mailgun-Track-Opens: no":         `-opens +clicks`,
		"X-Mailgun-Track-Opens: no\nX-Mailgun-Track: yes":         `-opens +clicks`,
		"X-Mailgun-Tag: a\nX-Mailgun-Tag: b, c":                   `tags=a|b|c`,
		"X-Mailgun-Campaign-Id: autumn\nX-Mailgun-Campaign-Id: x": `campaign=autumn`,
		"X-Mailgun-Variables: {\"a\": {\"b\": 1}}\nX-Mailgun-Variables: {\"a\":2,\"c\":true}": `meta.a={"b": 1} meta.c=true`,
		"X-Mailgun-Deliver-By: Fri, 25 Dec 2026 23:10:10 -0000":                               `at=Fri, 25 Dec 2026 23:10:10 -0000`,
		"X-Mailgun-Drop-Message: no\nX-Mailgun-Dkim: yes":                                     ``,
		"X-PM-Tag: welcome\nX-PM-TrackOpens: false":                                           `-opens tags=welcome`,
		"X-PM-TrackLinks: None":                                                               `-clicks -text`,
		"X-PM-TrackLinks: HtmlAndText\nX-PM-TrackOpens: true":                                 `+opens +clicks +text`,
		"X-PM-TrackLinks: HtmlOnly":                                                           `+clicks -text`,
		"X-PM-TrackLinks: TextOnly":                                                           `-clicks +text`,
		"X-PM-Metadata-Client-Id: 12 \"x\"\nX-PM-Metadata-: y":                                `meta.Client-Id="12 \"x\""`,
		"X-PM-Message-Stream: broadcast\nX-PM-KeepID: true":                                   `streams=broadcast`,
		"X-MC-Track: opens,clicks_htmlonly":                                                   `+opens +clicks -text`,
		"X-MC-Track: opens, clicks_all":                                                       `+opens +clicks +text`,
		"X-MC-Track: clicks":                                                                  `-opens +clicks -text`,
		"X-MC-Track: clicks_textonly":                                                         `-opens -clicks +text`,
		"X-MC-Track: none":                                                                    `-opens -clicks -text`,
		"X-MC-Track:":                                                                         `-opens -clicks -text`,
		"X-MC-Tags: a, b ,,c":                                                                 `tags=a|b|c`,
		`X-MC-Metadata: {"user_id":"45"}`:                                                     `meta.user_id="45"`,
		"X-MC-GoogleAnalytics: example.com\nX-MC-GoogleAnalyticsCampaign: spring":             `utm=utm_campaign=spring`,
		"X-MC-IpPool: Main\nX-MC-SendAt: 2026-12-24 18:00:00":                                 `pools=Main at=2026-12-24 18:00:00`,
		"X-SES-CONFIGURATION-SET: marketing":                                                  `streams=marketing`,
		"X-SES-MESSAGE-TAGS: campaign=book, n=":                                               `meta.campaign="book" meta.n=""`,
		"X-SES-SOURCE-ARN: arn:aws:ses\nSubject: x\nX-Postrider-Track: none":                  ``,
		"X-Mailgun-Track: yes\nX-PM-TrackLinks: None\nX-MC-Tags: m\nX-PM-Tag: p":              `+opens -clicks -text tags=m|p`,
	} {
		w, err := foreign.Read(fields(lines), foreign.Names())
		if err != nil || show(w) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", lines, show(w), err, want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for _, line := range []string{
		"X-SMTPAPI: {", "X-SMTPAPI: []", `X-SMTPAPI: {"to":["a@example.com"]}`, `X-SMTPAPI: {"sub":{"-n-":["x"]}}`, `X-SMTPAPI: {"section":{"s":"x"}}`,
		`X-SMTPAPI: {"category":1}`, `X-SMTPAPI: {"unique_args":[1]}`, `X-SMTPAPI: {"send_each_at":[1]}`, `X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":"maybe"}}}}`,
		`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":1,"enable_text":"maybe"}}}}`,
		`X-SMTPAPI: {"filters":{"templates":{"settings":{"enable":1,"template_id":"x"}}}}`, `X-SMTPAPI: {"filters":{"bypass_list_management":{"settings":{"enable":1}}}}`,
		"X-Mailgun-Track: perhaps", "X-Mailgun-Track-Clicks: textonly", "X-Mailgun-Track-Opens: x", "X-Mailgun-Variables: 1", "X-Mailgun-Variables: null",
		"X-Mailgun-Drop-Message: yes", "X-Mailgun-Drop-Message: x", "X-Mailgun-Recipient-Variables: {}", "X-Mailgun-Template-Name: x",
		"X-PM-TrackLinks: All", "X-PM-TrackOpens: x", "X-MC-Track: everything", "X-MC-Metadata: x", "X-MC-Template: x", "X-MC-MergeVars: {}", "X-SES-MESSAGE-TAGS: a", "X-SES-MESSAGE-TAGS: =b",
	} {
		name, _, _ := strings.Cut(line, ":")
		w, err := foreign.Read(fields(line), foreign.Names())
		if !errors.Is(err, foreign.ErrHeader) || !strings.Contains(err.Error(), name+" ") || show(w) != "" {
			t.Errorf("%s: %s, %v", line, show(w), err)
		}
	}
}

// TestOnlyEnabled proves that each vendor is read alone, whatever the others'
// headers hold.
func TestOnlyEnabled(t *testing.T) {
	all := fields("X-SMTPAPI: {\nX-Mailgun-Track: x\nX-PM-TrackLinks: x\nX-MC-Track: x\nX-SES-MESSAGE-TAGS: x")
	if w, err := foreign.Read(all, nil); err != nil || show(w) != "" {
		t.Errorf("%v, %s", err, show(w))
	}
	for i, name := range foreign.Names() {
		_, err := foreign.Read(all, []string{name})
		if err == nil || !strings.Contains(err.Error(), all[i].Name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := foreign.Read(slices.Delete(slices.Clone(all), i, i+1), []string{name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIs(t *testing.T) {
	for name, want := range map[string]bool{
		"X-SMTPAPI": true, "x-smtpapi": true, "X-SMTPAPI-X": false, "X-Mailgun-Anything": true, "X-Mailgun": false, "X-MAILGUN-": true, "X-PM-Tag": true, "x-pm-": true,
		"X-PMX-Version": false, "X-MC-Tags": true, "X-Mc-User": true, "X-MCX": false, "X-SES-Outgoing": true, "X-SESSION": false, "": false, "X": false, "X-": false, "Subject": false, "X-Postrider-Tag": false,
	} {
		if foreign.Is(name) != want {
			t.Errorf("%q", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("X-SMTPAPI", `{"category":["a"],"unique_args":{"a":null},"filters":{"x":{"settings":{"enable":"1"}}}}`)
	f.Add("X-Mailgun-Variables", `{"a":1}`)
	f.Add("X-PM-Metadata-x", "y")
	f.Add("X-MC-Track", "opens,clicks_all")
	f.Add("X-SES-MESSAGE-TAGS", "a=b, c=d")
	f.Fuzz(func(t *testing.T, name, value string) {
		if _, err := foreign.Read([]foreign.Field{{Name: name, Value: value}}, foreign.Names()); err != nil && !errors.Is(err, foreign.ErrHeader) {
			t.Fatal(err)
		}
	})
}
