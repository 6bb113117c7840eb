package rewrite_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/tracking/rewrite"
)

const htmlHead = "From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\nList-Unsubscribe: <https://example.com/leave?a=1&b=2>\r\n\r\n"

// rewriteHTML returns the document with links replaced, and what they were.
func rewriteHTML(t *testing.T, head, document string) (string, []string) {
	t.Helper()
	var r recorder
	o := r.options()
	o.Pixel = ""
	result, err := rewrite.Rewrite([]byte(head+document), o)
	if err != nil {
		t.Fatal(err)
	}
	out, ok := strings.CutPrefix(string(result.Message), head)
	if !ok {
		t.Fatalf("the header changed: %s", result.Message)
	}
	return out, r.urls
}

// TestLinks: TRACKED stands for the replacement; without it nothing may change.
func TestLinks(t *testing.T) {
	for name, c := range map[string]struct{ html, want, url string }{
		"double quotes":       {`<a href="http://x.example/">`, `<a href="TRACKED">`, "http://x.example/"},
		"single quotes":       {`<a href='http://x.example/'>`, `<a href='TRACKED'>`, "http://x.example/"},
		"no quotes":           {`<a href=http://x.example/a?b=c>`, `<a href=TRACKED>`, "http://x.example/a?b=c"},
		"no quotes, slash":    {`<a href=http://x.example/>`, `<a href=TRACKED>`, "http://x.example/"},
		"upper case":          {`<A CLASS=b HREF="HTTPS://X.example/">`, `<A CLASS=b HREF="TRACKED">`, "HTTPS://X.example/"},
		"space around =":      {"<a\r\n href \t=\r\n \"http://x.example/\" >", "<a\r\n href \t=\r\n \"TRACKED\" >", "http://x.example/"},
		"area":                {`<map><area shape=rect href="http://x.example/"></map>`, `<map><area shape=rect href="TRACKED"></map>`, "http://x.example/"},
		"first of two":        {`<a href="http://x.example/1" href="http://x.example/2">`, `<a href="TRACKED" href="http://x.example/2">`, "http://x.example/1"},
		"> in a value":        {`<a title=">" href="http://x.example/">`, `<a title=">" href="TRACKED">`, "http://x.example/"},
		"no space":            {`<a title="b"href="http://x.example/">`, `<a title="b"href="TRACKED">`, "http://x.example/"},
		"slash":               {`<a/href="http://x.example/"/>`, `<a/href="TRACKED"/>`, "http://x.example/"},
		"data-href":           {`<a data-href="http://x.example/1" href="http://x.example/2">`, `<a data-href="http://x.example/1" href="TRACKED">`, "http://x.example/2"},
		"entities":            {`<a href="http://x.example/?a=1&amp;b=2&#38;c=3&copy=4&reg;">`, `<a href="TRACKED">`, "http://x.example/?a=1&b=2&c=3&copy=4®"},
		"bare ampersands":     {`<a href="http://x.example/?a=1&b=2&lt=3">`, `<a href="TRACKED">`, "http://x.example/?a=1&b=2&lt=3"},
		"space around":        {"<a href=\" \r\n http://x.example/ \">", `<a href="TRACKED">`, "http://x.example/"},
		"breaks inside":       {"<a href=\"http://x.exa\r\n\tmple/a b\">", `<a href="TRACKED">`, "http://x.example/a b"},
		"scheme-relative":     {`<a href="//x.example/y">`, `<a href="TRACKED">`, "https://x.example/y"},
		"Unicode":             {`<a href="https://bücher.example/straße?ü=ö#é">`, `<a href="TRACKED">`, "https://bücher.example/straße?ü=ö#é"},
		"entity for scheme":   {`<a href="&#104;ttp://x.example/">`, `<a href="TRACKED">`, "http://x.example/"},
		"port in a template":  {`<a href="http://x.example:${PORT}/">`, `<a href="TRACKED">`, "http://x.example:${PORT}/"},
		"noscript":            {`<noscript><a href="http://x.example/">y</a></noscript>`, `<noscript><a href="TRACKED">y</a></noscript>`, "http://x.example/"},
		"for Outlook":         {`<!--[if mso]><v:roundrect href="http://x.example/1"><a href="http://x.example/2">y</a><![endif]-->`, `<!--[if mso]><v:roundrect href="http://x.example/1"><a href="TRACKED">y</a><![endif]-->`, "http://x.example/2"},
		"for Outlook, quoted": {`<!--[if (gte mso 9)|(IE)]><a href=http://x.example/>y</a><![endif]-->`, `<!--[if (gte mso 9)|(IE)]><a href="TRACKED">y</a><![endif]-->`, "http://x.example/"},
		"not for Outlook":     {`<!--[if !mso]><!--><a href="http://x.example/">y</a><!--<![endif]-->`, `<!--[if !mso]><!--><a href="TRACKED">y</a><!--<![endif]-->`, "http://x.example/"},
		"revealed":            {`<![if !mso]><a href="http://x.example/">y</a><![endif]>`, `<![if !mso]><a href="TRACKED">y</a><![endif]>`, "http://x.example/"},
		"base":                {`<base href="http://x.example/d/e"><a href="../f?g">`, `<base href="http://x.example/d/e"><a href="TRACKED">`, "http://x.example/f?g"},
		"base behind":         {`<a href="f"><base href="http://x.example/d/e"><base href="http://y.example/">`, `<a href="TRACKED"><base href="http://x.example/d/e"><base href="http://y.example/">`, "http://x.example/d/f"},
		"base, relative":      {`<base href="http://x.example/"><a href="//y.example/">`, `<base href="http://x.example/"><a href="TRACKED">`, "http://y.example/"},
		"in svg":              {`<svg><a href="http://x.example/"></a></svg>`, `<svg><a href="TRACKED"></a></svg>`, "http://x.example/"},
		"CDATA in HTML":       {`<style>/*<![CDATA[*/</style><![CDATA[><a href="http://x.example/">`, `<style>/*<![CDATA[*/</style><![CDATA[><a href="TRACKED">`, "http://x.example/"},
		"user and port":       {`<a href="https://u:p@x.example:8443/">`, `<a href="TRACKED">`, "https://u:p@x.example:8443/"},
		"own host as user":    {`<a href="https://t.example@x.example/">`, `<a href="TRACKED">`, "https://t.example@x.example/"},
	} {
		got, urls := rewriteHTML(t, htmlHead, c.html)
		if want := strings.Replace(c.want, "TRACKED", clickBase+"0.", 1); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if !slices.Equal(urls, []string{c.url}) {
			t.Errorf("%s: %q, want %q", name, urls, c.url)
		}
		sameShape(t, c.html, got)
	}
}

func TestNotLinks(t *testing.T) {
	for _, document := range []string{
		`<a href="mailto:a@b.example">`, `<a href="tel:+1">`, `<a href="sms:1">`, `<a href="#top">`, `<a href="">`, `<a href>`, `<a>`,
		`<a href="javascript:location='http://x.example'">`, `<a href="app://x.example/">`, `<a href="HTTPX://x.example/">`,
		`<a href="y.html">`, `<a href="/y">`, `<a href="?y">`, `<a href="http:x.example">`, `<a href="http:/x.example">`, `<a href="http://">`, `<a href="https:///y">`, `<a href="//">`,
		`<link href="http://x.example/">`, `<base href="http://x.example/">`, `<img src="http://x.example/">`, `<v:rect href="http://x.example/">`,
		`<abbr href="http://x.example/">`, `</a href="http://x.example/">`, `<a title='href="http://x.example/"'>`, `<a xlink:href="http://x.example/">`,
		`<a href="https://example.com/leave?a=1&amp;b=2">`, `<a href=" https://example.com/leave?a=1&b=2">`,
		`<a href="https://t.example/c/x">`, `<a href="//T.Example:443/c/x">`, `<a href="https://t.example./">`, `<a href="https://t.example\@x.example/">`,
		`<a href="{{link}}">`, `<a href="https://x.example/{{path}}">`, `<a href="<%url%>">`, `<a href="*|LINK|*">`, `<a href="https://x.example/{% y %}">`,
		`<script>document.write('<a href="http://x.example/">')</script>`, `<style><a href="http://x.example/"></style>`,
		`<title><a href="http://x.example/"></title>`, `<textarea><a href="http://x.example/"></textarea>`, `<xmp><a href="http://x.example/"></xmp>`,
		`<iframe><a href="http://x.example/"></iframe>`, `<plaintext><a href="http://x.example/">`, `<!-- <a href="http://x.example/"> -->`, `<!-- [x] <a href="http://x.example/"> -->`,
		`<!--[if mso <a href="http://x.example/"> -->`, `<?xml <a href="http://x.example/" ?>`, `<a href="http://x.example/`, `<a href="http://x.example/"`, `<!--[if mso]> <a href="http://x.example/">`,
		`<base href="{{base}}"><a href="y">`, `<base href="mailto:x"><a href="y">`, `<base href="http://x.example/"><a href="#y">`,
		`<svg><![CDATA[<b><a href="http://x.example/">]]></svg>`, "<a href=\"http://x.example/\x01y\">", "<a href=\"http://x.example/\xff\">", "\x00<a href=\"http://x.example/\">",
		`<script><!-- <script></script> --> </script><a href="http://x.example/">`, `text only`, ``,
	} {
		if got, urls := rewriteHTML(t, htmlHead, document); got != document || len(urls) > 0 {
			t.Errorf("%s became %s, %q", document, got, urls)
		}
	}
}

func TestCharsets(t *testing.T) {
	const link = `<a href="https://x.example/` + "\xe9" + `?y">`
	for charset, want := range map[string]string{
		"iso-8859-1": "https://x.example/é?y", "windows-1251": "https://x.example/й?y",
		"utf-8": "", "us-ascii": "", "no-such": "", "utf-16": "", "UTF-7": "", "iso-2022-jp": "", "hz-gb-2312": "",
	} {
		head := strings.Replace(htmlHead, "utf-8", charset, 1)
		_, urls := rewriteHTML(t, head, link)
		if want == "" && len(urls) > 0 || want != "" && !slices.Equal(urls, []string{want}) {
			t.Errorf("%s: %q, want %q", charset, urls, want)
		}
		plain := `<a href="https://x.example/">` + "\xe9"
		_, urls = rewriteHTML(t, head, plain)
		if wide := charset == "utf-16" || charset == "UTF-7" || strings.HasPrefix(charset, "iso-2022") || strings.HasPrefix(charset, "hz"); (len(urls) == 0) != wide {
			t.Errorf("%s: %q", charset, urls)
		}
	}
	head := strings.Replace(htmlHead, "utf-8", "windows-1251", 1)
	if _, urls := rewriteHTML(t, head, `<a href="https://x.example/?`+"\xe9"+`">`); len(urls) > 0 {
		t.Errorf("a query in a legacy charset: %q", urls)
	}
	// The second octets of these are ASCII letters and signs.
	head = strings.Replace(htmlHead, "utf-8", "shift_jis", 1)
	if _, urls := rewriteHTML(t, head, "\x83\x5c<a href=\"https://x.example/\">\x83\x5c"); len(urls) != 1 {
		t.Errorf("Shift_JIS: %q", urls)
	}
}

func TestOptOut(t *testing.T) {
	for html, want := range map[string]string{
		`<a clicktracking=off href="http://x.example/">`:                          `<a href="http://x.example/">`,
		`<a href="http://x.example/" clicktracking="off">`:                        `<a href="http://x.example/">`,
		`<a href="http://x.example/" disable-tracking=true class=a>`:              `<a href="http://x.example/" class=a>`,
		`<a href="http://x.example/" data-pm-no-track>`:                           `<a href="http://x.example/">`,
		`<a SES:no-track href="http://x.example/">`:                               `<a href="http://x.example/">`,
		`<a href="http://x.example/"data-msys-clicktrack="0">`:                    `<a href="http://x.example/">`,
		`<a data-postrider-track = 'OFF' href="http://x.example/">`:               `<a href="http://x.example/">`,
		`<a data-postrider-track="off"href="http://x.example/">`:                  `<a href="http://x.example/">`,
		`<a href="mailto:x" clicktracking=off>`:                                   `<a href="mailto:x">`,
		`<a clicktracking=off data-pm-no-track href="http://x.example/">`:         `<a href="http://x.example/">`,
		`<a clicktracking=on href="http://x.example/">`:                           `<a href="TRACKED">`,
		`<a data-msys-clicktrack="1" href="http://x.example/">`:                   `<a href="TRACKED">`,
		`<a clicktrackin=off disabletracking href="http://x.example/">`:           `<a clicktrackin=off disabletracking href="TRACKED">`,
		`<b clicktracking=off>`:                                                   `<b clicktracking=off>`,
		`<!--[if mso]><a clicktracking=off href="http://x.example/"><![endif]-->`: `<!--[if mso]><a href="http://x.example/"><![endif]-->`,
	} {
		if got, _ := rewriteHTML(t, htmlHead, html); got != strings.Replace(want, "TRACKED", clickBase+"0.", 1) {
			t.Errorf("%s became %s, want %s", html, got, want)
		}
	}
}

func TestPixel(t *testing.T) {
	for html, want := range map[string]string{
		`<body>x</body></html>`:                          `<body>xPIXEL</body></html>`,
		`<BODY>x</BODY >`:                                `<BODY>xPIXEL</BODY >`,
		`<body>x</body><body>y</body>`:                   `<body>x</body><body>yPIXEL</body>`,
		`<body>x</body><!-- </body> -->`:                 `<body>xPIXEL</body><!-- </body> -->`,
		`<body>x</body><script>"</body>"</script>`:       `<body>xPIXEL</body><script>"</body>"</script>`,
		`<body>x<!--[if mso]></body><![endif]--></body>`: `<body>x<!--[if mso]></body><![endif]-->PIXEL</body>`,
		`<html>x</html>` + "\r\n":                        `<html>xPIXEL</html>` + "\r\n",
		"<p>x\r\n\r\n":                                   "<p>xPIXEL\r\n\r\n",
		`x`:                                              `xPIXEL`,
		`x<!-- open`:                                     `xPIXEL<!-- open`,
		`x<!-- open <b>`:                                 `xPIXEL<!-- open <b>`,
		`x<script>open`:                                  `xPIXEL<script>open`,
		`x<style>`:                                       `xPIXEL<style>`,
		`x<title>y</title>`:                              `x<title>y</title>PIXEL`,
		`x<noscript>y`:                                   `xPIXEL<noscript>y`,
		`x<noscript>y</noscript>`:                        `x<noscript>y</noscript>PIXEL`,
		`x<a href="open`:                                 `xPIXEL<a href="open`,
		`x</`:                                            `xPIXEL</`,
		`x<?open`:                                        `xPIXEL<?open`,
		``:                                               ``,
		"\r\n":                                           "\r\n",
		`<p><!--postrider:pixel--></p></body>`:           `<p>PIXEL</p></body>`,
		`<p><!--  postrider:pixel --><!--postrider:pixel-->`: `<p>PIXEL<!--postrider:pixel-->`,
		`<!-- postrider:pixel?--></body>`:                    `<!-- postrider:pixel?-->PIXEL</body>`,
	} {
		result, err := rewrite.Rewrite([]byte(htmlHead+html), rewrite.Options{Pixel: pixelURL})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(result.Message); got != htmlHead+strings.Replace(want, "PIXEL", pixelTag, 1) {
			t.Errorf("%s became %s, want %s", html, got[len(htmlHead):], want)
		}
		if result.Pixel != strings.Contains(want, "PIXEL") {
			t.Errorf("%s: pixel %v", html, result.Pixel)
		}
	}
}
