package tracking_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/tracking/token"
)

// TestLengths holds the table of docs/tracking.md to what links are: the three
// columns are what a link is about, how long that is, and how long the link
// becomes with a tracker at https://t.example.com.
func TestLengths(t *testing.T) {
	text, err := os.ReadFile("../docs/tracking.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (target|pixel|counted target|counted pixel|hygiene pixel|address) \| (\d+) \| (\d+) \|$`)
	rows := row.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 10 {
		t.Fatalf("%d rows", len(rows))
	}
	l := links(t, "https://t.example.com")
	const base, scheme = "https://t.example.com", "https://"
	someone := token.Person{1}
	day := token.Day(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Unix() / 86400)
	counted := token.Counted{Day: day, Tenant: "shop", Stream: "marketing", Campaign: "spring"}
	for _, r := range rows {
		var n int
		fmt.Sscan(r[2], &n)
		var url string
		switch r[1] {
		case "target":
			url = base + "/c/" + must(t)(keyring(t).SealLink(token.Link{
				Message: message(), URL: scheme + strings.Repeat("x", n-len(scheme)), Person: someone,
			}))
		case "pixel":
			url = base + "/o/" + must(t)(keyring(t).SealOpen(token.Open{Message: message(), Person: someone})) + ".gif"
		case "counted target":
			url = base + "/c/" + must(t)(keyring(t).SealCountedLink(token.CountedLink{
				Counted: counted, URL: scheme + strings.Repeat("x", n-len(scheme)),
			}))
		case "counted pixel":
			url = base + "/o/" + must(t)(keyring(t).SealCountedOpen(counted)) + ".gif"
		case "hygiene pixel":
			url = base + "/o/" + must(t)(keyring(t).SealLastOpen(token.LastOpen{Day: day, Person: someone})) + ".gif"
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
