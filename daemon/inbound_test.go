package daemon

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/report"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
	"github.com/postrider-mta/postrider/privacy/suppress"
	"github.com/postrider-mta/postrider/queue"
)

// hearing is the configuration of a bounce server, and its address.
func hearing(t *testing.T) (address, text string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address = l.Addr().String()
	return address, fmt.Sprintf("[bounces]\ndomain = \"bounce.example.com\"\nlisten = %q\n", address)
}

// comeBack sends one message from the null sender, in the clear.
func comeBack(address string, to string, message []byte) error {
	c, err := smtp.Dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.Mail(""), c.Rcpt(to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = w.Write(message)
	return errors.Join(err, w.Close())
}

// expectation is what others read of a sample.
type expectation struct {
	File, Kind string
	Labels     []struct {
		Action     string
		HardBounce bool
	}
}

// noBounce reports complaints, automatic replies and delays.
func (e *expectation) noBounce() bool {
	for _, l := range e.Labels {
		if l.Action == "failed" || l.HardBounce {
			return false
		}
	}
	return len(e.Labels) > 0 || e.Kind == "arf" || e.Kind == "not-bounce"
}

func bounceCorpus(t *testing.T) (folder string, all []expectation) {
	t.Helper()
	root := os.Getenv("POSTRIDER_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "corpus")
	}
	file, err := os.Open(filepath.Join(root, "bounces", "expected.jsonl"))
	if err != nil {
		t.Skipf("no corpus at %s: set POSTRIDER_CORPUS", root)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var e expectation
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if len(all) < 100 {
		t.Fatalf("%d samples", len(all))
	}
	return filepath.Join(root, "bounces", "messages"), all
}

// sentTo hands in a message to so many readers, and returns its id.
func sentTo(t *testing.T, d *daemon, readers int) queue.ID {
	t.Helper()
	request := api.SendRequest{From: "a@example.com", Message: []byte("X-Postrider-Stream: marketing\n" + letter)}
	for i := range readers {
		request.To = append(request.To, fmt.Sprintf("reader%d@example.net", i))
	}
	text, err := d.send(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	id, err := queue.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestCorpusComesBack sends every sample to a return path of its own: those are
// suppressed whose report says for certain that the address is no good, and not
// one for what is no bounce.
func TestCorpusComesBack(t *testing.T) {
	folder, samples := bounceCorpus(t)
	_, exchanger := testmx.Start(t, testmx.Options{})
	address, bounces := hearing(t)
	d, _ := newSite(t, basic+bounces+fmt.Sprintf("[[route]]\nmatch = \"*\"\nvia = %q\n[[tenant]]\nname = \"shop\"\n", exchanger)).started()
	id := sentTo(t, d, len(samples))
	awaitDelivered(t, d, len(samples))
	codec, parser := verp.New(returnKeys{d.tokens}), report.New(bounce.New())
	var want, spared []string
	for i, sample := range samples {
		message, err := os.ReadFile(filepath.Join(folder, sample.File))
		if err != nil {
			t.Fatal(err)
		}
		to, err := codec.Address(verp.Bounce, verp.ID{Message: id, Index: uint32(i), Tenant: verp.TenantNumber("shop")}, "bounce.example.com")
		if err != nil {
			t.Fatal(err)
		}
		if err := comeBack(address, to.String(), message); err != nil {
			t.Errorf("%s: %v", sample.File, err)
		}
		r, err := parser.Parse(message)
		if err == nil && len(r.Recipients) == 1 && r.Recipients[0].Bounce == report.Hard {
			want = append(want, fmt.Sprintf("reader%d@example.net", i))
		}
		if sample.noBounce() {
			spared = append(spared, fmt.Sprintf("reader%d@example.net", i))
		}
	}
	slices.Sort(want)
	got := awaitSuppressed(t, d, len(want))
	if !slices.Equal(got, want) || len(want) < 50 {
		t.Errorf("%d suppressed instead of %d:\n%q\n%q", len(got), len(want), got, want)
	}
	if i := slices.IndexFunc(spared, func(a string) bool { return slices.Contains(got, a) }); i >= 0 || len(spared) < 30 {
		t.Errorf("%d samples are no bounces, and one of them suppresses: %d", len(spared), i)
	}
	t.Logf("%d of %d samples suppress; none of %d that are no bounces does", len(got), len(samples), len(spared))
}

// awaitSuppressed waits until the bounces have been read and so many addresses
// are on the list, and returns them.
func awaitSuppressed(t *testing.T, d *daemon, n int) (addresses []string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		addresses = nil
		err := d.suppress.Each(t.Context(), suppress.Selector{Tenant: "shop"}, func(e *suppress.Entry) error {
			addresses = append(addresses, e.Address.String())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(addresses) >= n && d.listened(t) {
			break
		}
	}
	slices.Sort(addresses)
	return addresses
}

// listened reports whether every bounce so far has an entry of its own or was
// passed over: nothing is on its way.
func (d *daemon) listened(t *testing.T) bool {
	t.Helper()
	records, err := d.events.Read(t.Context(), 0, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	suppressed := map[string]bool{}
	for _, r := range records {
		if r.Event.Type == event.Suppressed {
			suppressed[r.Event.ID] = true
		}
	}
	for i := range records {
		o, ok := observe(&records[i])
		if ok && o.Sign == suppress.SawHardBounce && !suppressed[records[i].Event.ID+"-suppressed"] {
			return false
		}
	}
	return true
}

// TestPostmaster: mail for people reaches the operator, and only there; without
// an address nobody takes it.
func TestPostmaster(t *testing.T) {
	mx, exchanger := testmx.Start(t, testmx.Options{})
	address, bounces := hearing(t)
	newSite(t, basic+bounces+"postmaster = \"ops@example.org\"\n"+fmt.Sprintf("[[route]]\nmatch = \"*\"\nvia = %q\n", exchanger)).started()
	const message = "From: someone@example.net\r\nTo: postmaster@bounce.example.com\r\nSubject: your mail\r\n\r\nHello\r\n"
	if err := comeBack(address, "postmaster@bounce.example.com", []byte(message)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); len(mx.Messages()) == 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	all := mx.Messages()
	if len(all) != 1 || all[0].From != "" || len(all[0].Recipients) != 1 || all[0].Recipients[0].Address != "ops@example.org" || !bytes.HasSuffix(all[0].Data, []byte(message)) {
		t.Errorf("%+v", all)
	}
	address, bounces = hearing(t)
	newSite(t, basic+bounces).started()
	if err := comeBack(address, "postmaster@bounce.example.com", []byte(message)); err == nil || !strings.Contains(err.Error(), "nobody reads mail here") {
		t.Errorf("%v", err)
	}
}

// TestReloadBounces: domains follow the file, the listener does not, and its
// certificate is the newest.
func TestReloadBounces(t *testing.T) {
	address, bounces := hearing(t)
	text := basic + "[[tenant]]\nname = \"first\"\n[[tenant]]\nname = \"second\"\n" +
		bounces + "certificate = \"a.crt\"\nkey = \"a.key\"\n"
	s := newSite(t, text)
	s.certificate("a", "a.example.com")
	d, _ := s.started()
	if got := startTLSName(t, address); got != "a.example.com" {
		t.Errorf("certificate of %s", got)
	}
	s.certificate("a", "b.example.com")
	_, elsewhere := hearing(t)
	s.write("postrider.toml", replaced(text, bounces, elsewhere+"complaints = \"spam\"\nfeedback_sender = \"senders\"\n",
		"name = \"second\"\n", "name = \"second\"\nbounce_domain = \"bounce.second.example\"\n"))
	waiting, err := d.reloaded(s)
	if err != nil || waiting != "[bounces.complaints bounces.listen]" {
		t.Errorf("%s, %v", waiting, err)
	}
	if got := startTLSName(t, address); got != "b.example.com" {
		t.Errorf("certificate of %s", got)
	}
	for domain, known := range map[string]bool{"bounce.second.example": true, "bounce.example.com": true, "bounce.third.example": false} {
		err := comeBack(address, "complaints@"+domain, []byte("Subject: x\r\n\r\nx\r\n"))
		if (err == nil) != known {
			t.Errorf("%s: %v", domain, err)
		}
	}
	if d.feedbackSender() != "senders" {
		t.Error("the sender of feedback is the old one")
	}
}

// TestBouncesUnheard: a reload cannot bring return paths that nobody hears.
func TestBouncesUnheard(t *testing.T) {
	s := newSite(t, basic)
	d, _ := s.started()
	_, bounces := hearing(t)
	s.write("postrider.toml", basic+bounces)
	waiting, err := d.reloaded(s)
	if tenant, _ := d.accounts.Tenant("default"); err != nil || waiting != "[bounces.listen]" || tenant.BounceDomain != "" {
		t.Errorf("%s, %v, %q", waiting, err, tenant.BounceDomain)
	}
}

// startTLSName is the host that the bounce server proves to be.
func startTLSName(t *testing.T, address string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClient(conn, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	state, _ := c.TLSConnectionState()
	return state.PeerCertificates[0].DNSNames[0]
}
