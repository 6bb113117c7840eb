package hit

import (
	"net/netip"
	"strings"
	"testing"
)

// samples has for the text of each rule an agent that only this rule knows.
func samples() map[string]string {
	return map[string]string{
		"googleimageproxy":           "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
		"yahoomailproxy":             "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
		"mozilla/5.0":                "Mozilla/5.0",
		"edge/12.246 mozilla/5.0":    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0",
		"barracuda sentinel":         "Barracuda Sentinel (EE)",
		"proofpoint":                 "Mozilla/5.0 (compatible; Proofpoint URL Defense)",
		"mimecast":                   "Mozilla/5.0 (compatible; Mimecast URL Protect)",
		"messagelabs":                "Mozilla/5.0 (compatible; MessageLabs)",
		"trendmicro":                 "Mozilla/4.0 (compatible; TrendMicro WTP 1.0)",
		"fireeye":                    "Mozilla/5.0 (compatible; FireEye ETP)",
		"trellix":                    "Mozilla/5.0 (compatible; Trellix Email Security)",
		"ironport":                   "Mozilla/5.0 (compatible; Cisco IronPort)",
		"fortimail":                  "FortiMail/7.4",
		"cloudmark":                  "Mozilla/5.0 (compatible; Cloudmark)",
		"hornetsecurity":             "Mozilla/5.0 (compatible; Hornetsecurity ATP)",
		"virustotal":                 "AppEngine-Google; (+http://code.google.com/appengine; appid: s~virustotalcloud)",
		"urlscan":                    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 urlscan.io",
		"google-safety":              "Google-Safety",
		"office existence discovery": "Microsoft Office Existence Discovery",
		"office protocol discovery":  "Microsoft Office Protocol Discovery",
		"ms-office":                  "Mozilla/4.0 (compatible; ms-office; MSOffice rmj)",
		"headlesschrome":             "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36",
		"phantomjs":                  "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
		"slimerjs":                   "Mozilla/5.0 (X11; Linux x86_64; rv:59.0) Gecko/20100101 SlimerJS/1.0.0",
		"puppeteer":                  "Mozilla/5.0 (X11; Linux x86_64) Puppeteer",
		"playwright":                 "Playwright/1.50.0 (x64; ubuntu 24.04) node/22.0",
		"selenium":                   "Mozilla/5.0 (X11; Linux x86_64) Selenium/4.0",
		"bingpreview":                "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b",
		"skypeuripreview":            "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
		"slackbot":                   "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
		"slack-imgproxy":             "Slack-ImgProxy (+https://api.slack.com/robots)",
		"facebookexternalhit":        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
		"whatsapp/":                  "WhatsApp/2.23.20.0",
		"telegrambot":                "TelegramBot (like TwitterBot)",
		"yahoo! slurp":               "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
		"bot/":                       "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"crawler":                    "Mozilla/5.0 (compatible; Some Crawler 1.0)",
		"spider":                     "Mozilla/5.0 (compatible; Baiduspider-render; +http://www.baidu.com/search/)",
		"curl/":                      "curl/8.5.0",
		"wget/":                      "Wget/1.21.4",
		"python":                     "python-requests/2.32.3",
		"go-http-client/":            "Go-http-client/2.0",
		"okhttp/":                    "okhttp/4.12.0",
		"java/":                      "Java/21.0.2",
		"apache-httpclient/":         "Apache-HttpClient/4.5.14 (Java/17.0.9)",
		"ahc/":                       "AHC/2.1",
		"axios/":                     "axios/1.7.2",
		"node":                       "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
		"undici":                     "undici",
		"got ":                       "got (https://github.com/sindresorhus/got)",
		"libwww-perl/":               "libwww-perl/6.72",
		"guzzlehttp/":                "GuzzleHttp/7",
		"ruby":                       "Ruby",
		"faraday ":                   "Faraday v2.9.0",
		"postmanruntime/":            "PostmanRuntime/7.37.3",
		"reqwest/":                   "reqwest/0.12.4",
	}
}

// TestEachAgentRuleDecides proves that no rule is dead: neither one that cannot
// match, nor one behind another that matches the same.
func TestEachAgentRuleDecides(t *testing.T) {
	a, known := newAgents(), samples()
	for i, r := range a.rules {
		sample, ok := known[r.text]
		if !ok {
			t.Errorf("%q has no sample", r.text)
			continue
		}
		for _, kind := range []Kind{Open, Click} {
			if r.kinds.include(kind) && a.rule(kind, sample) != i {
				t.Errorf("kind %d: %q is decided by rule %d, not by %d (%s)", kind, sample, a.rule(kind, sample), i, r.text)
			}
		}
		if r.text != strings.ToLower(r.text) || r.because == "" || r.kinds == 0 {
			t.Errorf("rule %q cannot match or says not why", r.text)
		}
	}
	for text := range known {
		if !strings.Contains(strings.ToLower(known[text]), text) {
			t.Errorf("the sample of %q is %q", text, known[text])
		}
	}
}

// TestReadersAgents are browsers and mail programs of people.
func TestReadersAgents(t *testing.T) {
	for _, agent := range []string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
		"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.0",
		"Mozilla/5.0 (Linux; Android 14; CUBOT X70 Build/UP1A) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/460.0]",
		"w3m/0.5.3", "Lynx/2.9.0",
	} {
		a := newAgents()
		for _, kind := range []Kind{Open, Click} {
			if got := a.reason(kind, agent); got != Human {
				t.Errorf("kind %d: %q is %s", kind, agent, got)
			}
		}
	}
	// Outlook for Windows shows images under this name.
	if got := newAgents().reason(Open, "Mozilla/4.0 (compatible; ms-office; MSOffice 16)"); got != Human {
		t.Errorf("Outlook's display is %s", got)
	}
}

// TestNetworks proves that each network is read and decides.
func TestNetworks(t *testing.T) {
	n, rules := newNetworks(), networkRules()
	if len(n) != len(rules) {
		t.Fatalf("%d of %d networks were read", len(n), len(rules))
	}
	for i, p := range n {
		if p != p.Masked() || !n.have(p.Addr().Next()) || !n.have(netip.AddrFrom16(p.Addr().As16())) || rules[i].of == "" {
			t.Errorf("network %s", p)
		}
		for j := range i {
			if n[j].Overlaps(p) {
				t.Errorf("%s is in %s", p, n[j])
			}
		}
	}
	for _, reader := range []string{"198.51.100.7", "2001:db8::1", "40.112.0.1"} {
		if n.have(netip.MustParseAddr(reader)) {
			t.Errorf("%s is a scanner's", reader)
		}
	}
	if n.have(netip.Addr{}) {
		t.Error("an unknown address is a scanner's")
	}
}

// FuzzAgent proves that what is kept of an agent is what its rules say, and
// that no agent is too odd.
func FuzzAgent(f *testing.F) {
	for _, sample := range samples() {
		f.Add(sample)
	}
	f.Add("")
	f.Add(" \t")
	f.Add(strings.Repeat("a", 600) + "curl/")
	a := newAgents()
	f.Fuzz(func(t *testing.T, agent string) {
		for _, kind := range []Kind{Open, Click, Open} {
			got, want := a.reason(kind, agent), a.decide(kind, agent[:min(len(agent), agentOctets)])
			if got != want || got >= reasons {
				t.Errorf("%q: %v, want %v", agent, got, want)
			}
		}
	})
}
