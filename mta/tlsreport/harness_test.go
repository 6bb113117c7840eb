package tlsreport

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/internal/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// world is DNS, the queue and HTTPS endpoints.
type world struct {
	mu      sync.Mutex
	records map[string][]string
	// broken fails: dns, mail, https.
	broken map[string]bool
	// letters and posts by where they went.
	letters map[string][][]byte
	posts   map[string][][]byte
	asked   int
	log     bytes.Buffer
}

func newWorld() *world {
	return &world{
		records: map[string][]string{
			"_smtp._tls.example.net": {"v=TLSRPTv1; rua=mailto:tls@example.net"},
			"_smtp._tls.example.org": {"v=TLSRPTv1;rua=https://tls.example.org/v1?key=s3cret"},
		},
		broken: map[string]bool{}, letters: map[string][][]byte{}, posts: map[string][][]byte{},
	}
}

var errBroken = errors.New("broken for the test")

func (w *world) fail(what string, broken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken[what] = broken
}

func (w *world) lookup(_ context.Context, name string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	if w.broken["dns"] {
		return nil, errBroken
	}
	return w.records[name], nil
}

func (w *world) submit(_ context.Context, _, to mail.Address, message []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken["mail"] {
		return errBroken
	}
	w.letters[to.String()] = append(w.letters[to.String()], message)
	return nil
}

func (w *world) post(_ context.Context, endpoint string, report []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken["https"] {
		return errBroken
	}
	w.posts[endpoint] = append(w.posts[endpoint], report)
	return nil
}

// sent are the numbers of letters and posts.
// lookups is how often it was asked for records.
func (w *world) lookups() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

func (w *world) sent() (letters, posts int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, list := range w.letters {
		letters += len(list)
	}
	for _, list := range w.posts {
		posts += len(list)
	}
	return letters, posts
}

func (w *world) options(t testing.TB) Options {
	return Options{
		Organization: "Example Ltd.", From: address(t, "tlsrpt@mail.example.com"), Contact: address(t, "postmaster@example.com"),
		Lookup: w.lookup, Submit: w.submit, Post: w.post,
		Random: func() float64 { return 0.5 }, Unique: func() string { return "0123456789abcdef" },
		Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
}

func reporter(t testing.TB, o Options) *Reporter {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs r in the background; the function it returns stops it.
func run(t testing.TB, r *Reporter) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// good and bad are sessions with example.net, the latter as a certificate that
// has expired makes them.
func good() Session {
	return Session{Domain: "example.net", Policy: Policy{
		Type: STS, Strings: []string{"version: STSv1", "mode: enforce", "mx: *.example.net", "max_age: 86400"}, MXHosts: []string{"*.example.net"},
	}}
}

func bad() Session {
	s := good()
	s.Failures = []Failure{{
		Result: CertificateExpired, SendingIP: netip.MustParseAddr("192.0.2.1"), MXHost: "MX1.example.net.",
		ReceivingIP: netip.MustParseAddr("::ffff:198.51.100.1"), Reason: "expired, says jane@example.net <jane@example.net>",
	}}
	return s
}

func unzip(t testing.TB, zipped []byte) Report {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	var report Report
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&report); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if strings.Contains(string(text), "jane") {
		t.Errorf("an address in\n%s", text)
	}
	return report
}
