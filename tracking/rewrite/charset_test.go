package rewrite_test

import (
	"strings"
	"testing"

	"golang.org/x/text/encoding/htmlindex"
	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/tracking/rewrite"
)

// charsets are those that mail is written in and that extend ASCII, with
// letters that each of them has.
func charsets() map[string]string {
	letters := map[string]string{
		"utf-8": "é日本語я", "us-ascii": "", "gbk": "中文表示", "gb18030": "中文表示é", "gb2312": "中文", "big5": "中文功許蓋", "euc-jp": "日本語ソ表", "shift_jis": "日本語ソ表能", "euc-kr": "한국어", "ks_c_5601-1987": "한국어",
		"koi8-r": "Привет", "koi8-u": "Привіт", "windows-1251": "Привет", "iso-8859-5": "Привет", "x-mac-cyrillic": "Привет", "ibm866": "Привет",
		"windows-1253": "Αθήνα", "iso-8859-7": "Αθήνα", "windows-1255": "שלום", "iso-8859-8": "שלום", "windows-1256": "سلام", "iso-8859-6": "سلام", "windows-874": "สวัสดี", "tis-620": "สวัสดี",
		"windows-1250": "źółć", "iso-8859-2": "źółć", "windows-1254": "ğüş", "iso-8859-9": "ğüş", "windows-1257": "ąčę", "iso-8859-13": "ąčę", "windows-1258": "ăêô", "iso-8859-4": "ąčę", "iso-8859-10": "ąčę", "iso-8859-16": "șț",
	}
	for _, latin := range []string{"iso-8859-1", "iso-8859-15", "windows-1252", "macintosh", "iso-8859-3"} {
		letters[latin] = "éüö"
	}
	return letters
}

// TestEveryCharset proves for each that links among letters of its own are found
// and that no octet beside them changes.
func TestEveryCharset(t *testing.T) {
	for charset, letters := range charsets() {
		t.Run(charset, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				pieces := append([]string{"<p>", "</p>", `<a class=x href="https://x.example/a?b=c&amp;d">`, "</a>", "<a href='http://y.example/'>", " ", "\r\n"}, strings.Split(letters, "")...)
				document := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 40).Draw(rt, "document"), "")
				encoded := document
				if charset != "us-ascii" {
					encoding, err := htmlindex.Get(charset)
					if err != nil {
						rt.Fatal(err)
					}
					if encoded, err = encoding.NewEncoder().String(document); err != nil {
						rt.Fatal(err)
					}
				}
				message := []byte(strings.Replace(htmlHead, "utf-8", charset, 1) + encoded)
				var r recorder
				o := r.options()
				o.Pixel = ""
				result, err := rewrite.Rewrite(message, o)
				if err != nil || result.Links != strings.Count(document, "<a ") {
					rt.Fatalf("%d links, %v: %q", result.Links, err, encoded)
				}
				sameMessage(rt, message, result.Message, r.urls)
			})
		})
	}
}
