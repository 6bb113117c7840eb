package tracking_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
)

// TestLengths holds the table of docs/tracking.md to what links are: the three
// columns are what a link is about, how long that is, and how long the link
// becomes with a tracker at https://t.example.com.
func TestLengths(t *testing.T) {
	text, err := os.ReadFile("../docs/tracking.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (target|pixel|address) \| (\d+) \| (\d+) \|$`)
	rows := row.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 6 {
		t.Fatalf("%d rows", len(rows))
	}
	l := links(t, "https://t.example.com")
	for _, r := range rows {
		var n int
		fmt.Sscan(r[2], &n)
		var url string
		switch r[1] {
		case "target":
			const scheme = "https://"
			url = must(t)(l.ClickURL(message(), 0, scheme+strings.Repeat("x", n-len(scheme))))
		case "pixel":
			url = must(t)(l.PixelURL(message(), 0))
		default:
			const domain = "@example.com"
			reader, err := mail.ParseAddress(strings.Repeat("x", n-len(domain)) + domain)
			if err != nil {
				t.Fatal(err)
			}
			url = must(t)(l.UnsubscribeURL(message(), 0, "shop", "marketing", reader))
		}
		if got := fmt.Sprint(len(url)); got != r[3] {
			t.Errorf("%s of %d: %s characters, the table says %s", r[1], n, got, r[3])
		}
	}
}
