package rewrite_test

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/tracking/rewrite"
)

func utm() rewrite.Parameters {
	return rewrite.Parameters{List: account.UTM{{Name: "utm_source", Value: "a b"}, {Name: "utm_campaign", Value: "ü&"}}}
}

const both = "utm_source=a%20b&amp;utm_campaign=%C3%BC%26"

// TestParameters adds parameters to links that are not replaced: nothing that
// the author wrote changes but for the addition.
func TestParameters(t *testing.T) {
	for document, want := range map[string]string{
		`<a href="https://x.example/">`:                                  `<a href="https://x.example/?` + both + `">`,
		`<a href='https://x.example'>`:                                   `<a href='https://x.example?` + both + `'>`,
		`<a href=https://x.example/>`:                                    `<a href="https://x.example/?` + both + `">`,
		`<a href="https://x.example/?a=1">`:                              `<a href="https://x.example/?a=1&amp;` + both + `">`,
		`<a href="https://x.example/?">`:                                 `<a href="https://x.example/?` + both + `">`,
		`<a href="https://x.example/?a&">`:                               `<a href="https://x.example/?a&` + both + `">`,
		`<a href="https://x.example/#f?x">`:                              `<a href="https://x.example/?` + both + `#f?x">`,
		`<a href=" https://x.example/?a=1&amp;b=2&c#&amp;f ">`:           `<a href=" https://x.example/?a=1&amp;b=2&c&amp;` + both + `#&amp;f ">`,
		`<a href="https://x.example/?utm_source=mine">`:                  `<a href="https://x.example/?utm_source=mine&amp;utm_campaign=%C3%BC%26">`,
		`<a href="https://x.example/?utm%5fsource&utm_campaign">`:        `<a href="https://x.example/?utm%5fsource&utm_campaign">`,
		`<a href="https://x.example/?x=utm_source=1">`:                   `<a href="https://x.example/?x=utm_source=1&amp;` + both + `">`,
		`<a href="//x.example/">`:                                        `<a href="//x.example/?` + both + `">`,
		`<base href="https://x.example/d/"><a href="e?f">`:               `<base href="https://x.example/d/"><a href="e?f&amp;` + both + `">`,
		`<area href="https://bücher.example/ü">`:                         `<area href="https://bücher.example/ü?` + both + `">`,
		`<!--[if mso]><a href=https://x.example/><![endif]-->`:           `<!--[if mso]><a href="https://x.example/?` + both + `"><![endif]-->`,
		`<noscript><a href="https://x.example/"></noscript>`:             `<noscript><a href="https://x.example/?` + both + `"></noscript>`,
		`<a href=https://x.example/"y>`:                                  `<a href='https://x.example/"y?` + both + `'>`,
		`<a href="https://x.example/&copy">`:                             `<a href="https://x.example/&copy?` + both + `">`,
		"<a href=\"https://x.exa\r\n mple/\">":                           "<a href=\"https://x.exa\r\n mple/?" + both + "\">",
		`<a clicktracking=off href="https://x.example/">`:                `<a href="https://x.example/">`,
		`<a href="https://example.com/leave?a=1&b=2">`:                   `<a href="https://example.com/leave?a=1&b=2">`,
		`<a href="https://t.example/u/x">`:                               `<a href="https://t.example/u/x">`,
		`<a href="mailto:a@b.example"><a href="#top">`:                   `<a href="mailto:a@b.example"><a href="#top">`,
		`<a href="https://x.example/{{path}}">`:                          `<a href="https://x.example/{{path}}">`,
		`<a href="https://x.example/&#35;f">`:                            `<a href="https://x.example/&#35;f">`,
		`<img src="https://x.example/"><link href="https://x.example/">`: `<img src="https://x.example/"><link href="https://x.example/">`,
	} {
		result, err := rewrite.Rewrite([]byte(htmlHead+document), rewrite.Options{Parameters: utm(), KeepHosts: []string{trackerHost}})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(result.Message[len(htmlHead):]); got != want {
			t.Errorf("%s became\n%s, want\n%s", document, got, want)
		}
		if extended := strings.Contains(want, "%C3%BC%26"); result.Links != 0 || result.Extended > 0 != extended {
			t.Errorf("%s: %+v", document, result)
		}
	}
}

func TestParametersForHosts(t *testing.T) {
	o := rewrite.Options{Parameters: utm()}
	o.Parameters.Hosts = []string{"shop.example", "xn--bcher-kva.example"}
	for host, want := range map[string]bool{
		"shop.example": true, "WWW.Shop.Example": true, "shop.example.": true, "u@shop.example:8443": true,
		"other.example": false, "notshop.example": false, "shop.example.net": false, "shop.example@other.example": false,
	} {
		result, err := rewrite.Rewrite([]byte(htmlHead+`<a href="https://`+host+`/">`), o)
		if err != nil || result.Extended == 1 != want {
			t.Errorf("%s: %v, %+v", host, err, result)
		}
	}
}

// TestParametersOfReplacedLinks proves that a token holds the URL with its
// parameters, in plain text too where that is asked for.
func TestParametersOfReplacedLinks(t *testing.T) {
	var r recorder
	o := r.options()
	o.Parameters, o.TextLink = utm(), r.link
	var seen []rewrite.Link
	o.Report = func(l rewrite.Link) { seen = append(seen, l) }
	message := multi("alternative", part("text/plain", "", "https://x.example/a#b https://x.example/?utm_source=1&utm_campaign=2 https://t.example/"),
		part("text/html", "", `<a href="https://x.example/?a=1&amp;b=2#c">x</a><a href="https://x.example/?utm_campaign&utm_source">y</a><a href="tel:1">z</a>`))
	result, err := rewrite.Rewrite([]byte(message), o)
	if err != nil || result.Links != 4 || result.Extended != 2 || result.Kept != 1 {
		t.Fatalf("%+v, %v", result, err)
	}
	plain := strings.ReplaceAll(both, "&amp;", "&")
	want := []string{
		"https://x.example/a?" + plain + "#b", "https://x.example/?utm_source=1&utm_campaign=2",
		"https://x.example/?a=1&b=2&" + plain + "#c", "https://x.example/?utm_campaign&utm_source",
	}
	if strings.Join(r.urls, " ") != strings.Join(want, " ") {
		t.Errorf("%q", r.urls)
	}
	kept := map[string]rewrite.Keep{"https://t.example/": rewrite.KeepHost, "tel:1": rewrite.KeepScheme}
	for _, l := range seen {
		if l.Kept != kept[l.URL] || l.Text != strings.Contains(want[0]+want[1]+" https://t.example/", l.URL) || l.Kept == "" && l.Replacement == "" {
			t.Errorf("%+v", l)
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d links told of", len(seen))
	}
}

// TestReasons tells why each kind of link is left alone.
func TestReasons(t *testing.T) {
	for href, want := range map[string]rewrite.Keep{
		`clicktracking=off href="http://x.example/"`: rewrite.KeepOptOut, `href="https://example.com/leave?a=1&b=2"`: rewrite.KeepUnsubscribe,
		`href="//t.example/"`: rewrite.KeepHost, `href="http://x.example/{{a}}"`: rewrite.KeepTemplate, `href="mailto:a@b.example"`: rewrite.KeepScheme,
		`href="#a"`: rewrite.KeepFragment, `href="a"`: rewrite.KeepRelative, `href`: rewrite.KeepEmpty, `href="http:///"`: rewrite.KeepInvalid,
		"href=\"http://x.example/\x01a\"": rewrite.KeepInvalid, "href=\"http://x.example/\xff\"": rewrite.KeepCharset, `href="http://long.example/"`: rewrite.KeepAsked,
	} {
		var seen []rewrite.Link
		_, err := rewrite.Rewrite([]byte(htmlHead+"<a "+href+">"), rewrite.Options{
			Link: func(string) (string, error) { return "", rewrite.ErrKeep }, KeepHosts: []string{trackerHost},
			Report: func(l rewrite.Link) { seen = append(seen, l) },
		})
		if err != nil || len(seen) != 1 || seen[0].Kept != want {
			t.Errorf("%s: %+v, %v", href, seen, err)
		}
	}
}

// TestAnyParameters compares the links before and after as a parser and a URL
// library see them, and everything else octet by octet.
func TestAnyParameters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		document := drawHTML(t)
		o := rewrite.Options{Parameters: utm()}
		result, err := rewrite.Rewrite([]byte(htmlHead+document), o)
		if err != nil {
			t.Fatal(err)
		}
		p, err := mimetree.Parse(result.Message, mimetree.Options{})
		if err != nil {
			t.Fatal(err)
		}
		// A line that is too long now makes the part quoted-printable.
		out := decoded(t, p, string(result.Message[p.Body:]))
		before, after := parse(t, document), parse(t, out)
		if before.skeleton != after.skeleton || before.text != after.text || len(before.links) != len(after.links) {
			t.Fatalf("%q became %q", document, out)
		}
		for i, was := range before.links {
			sameButQuery(t, squeeze(was), squeeze(after.links[i]))
		}
		separators := strings.NewReplacer("?", "", "&amp;", "")
		if separators.Replace(strings.ReplaceAll(out, both, "")) != separators.Replace(document) {
			t.Fatalf("%q became %q", document, out)
		}
	})
}

func sameButQuery(t *rapid.T, was, is string) {
	t.Helper()
	if was == is {
		return
	}
	a, errA := url.Parse(was)
	b, errB := url.Parse(is)
	if errA != nil || errB != nil { // the URL was bad: the addition is at its end
		if !strings.HasPrefix(is, was) {
			t.Fatalf("%q became %q", was, is)
		}
		return
	}
	query := b.Query()
	if query.Get("utm_source") != "a b" || query.Get("utm_campaign") != "ü&" || !strings.HasPrefix(b.RawQuery, a.RawQuery) {
		t.Fatalf("%q became %q", was, is)
	}
	a.RawQuery, b.RawQuery, b.ForceQuery, a.ForceQuery = "", "", false, false
	if a.String() != b.String() {
		t.Fatalf("%q became %q", was, is)
	}
}
