package smtpclient

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"pgregory.net/rapid"
)

// oracle is another implementation of the server's side.
type oracle struct {
	mu       sync.Mutex
	messages []oracleMessage
}

type oracleMessage struct {
	from string
	mail smtp.MailOptions
	to   []string
	rcpt []smtp.RcptOptions
	data []byte
	user string
}

type oracleSession struct {
	oracle  *oracle
	message oracleMessage
	user    string
}

func (o *oracle) NewSession(*smtp.Conn) (smtp.Session, error) { return &oracleSession{oracle: o}, nil }

func (s *oracleSession) Reset()        { s.message = oracleMessage{} }
func (s *oracleSession) Logout() error { return nil }

func (s *oracleSession) Mail(from string, o *smtp.MailOptions) error {
	s.message.from, s.message.mail, s.message.user = from, *o, s.user
	return nil
}

func (s *oracleSession) Rcpt(to string, o *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "unknown") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.message.to = append(s.message.to, to)
	s.message.rcpt = append(s.message.rcpt, *o)
	return nil
}

func (s *oracleSession) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.message.data = data
	s.oracle.mu.Lock()
	defer s.oracle.mu.Unlock()
	s.oracle.messages = append(s.oracle.messages, s.message)
	return nil
}

func (s *oracleSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *oracleSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != "secret" {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

func startOracle(t testing.TB) (*oracle, net.Listener) { return startOracleWith(t, 16<<10) }

func startOracleWith(t testing.TB, lineLength int) (*oracle, net.Listener) {
	t.Helper()
	config, _ := certificate(t, "mx.test")
	o := &oracle{}
	server := smtp.NewServer(o)
	server.Domain, server.TLSConfig = "mx.test", config
	server.EnableSMTPUTF8, server.EnableDSN = true, true
	if lineLength > 0 {
		server.MaxLineLength = lineLength // see TestOracleThatStumbles
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // it ends by Close
	}()
	t.Cleanup(func() {
		_ = server.Close() // in a test, there is nothing to save
		<-done
	})
	return o, l
}

func TestOracle(t *testing.T) {
	o, l := startOracle(t)
	c := dial(t, tcpAddr(l), Options{Username: "user", Password: "secret"})
	if c.TLS() == nil {
		t.Fatal("in the clear")
	}
	tx := dsnTransaction(t)
	tx.Recipients = append(tx.Recipients, recipients(t, "unknown@one.example")...)
	tx.Message = [][]byte{[]byte(".a\r\n"), []byte(".\r\n..\r\n\r\nb.\r\n")}
	for range 2 {
		if got := codes(send(t, c, tx)); got != "message 250 2.0.0, message 250 2.0.0, RCPT 550 5.1.1" {
			t.Fatal(got)
		}
	}
	m := o.messages[1]
	if !bytes.Equal(m.data, join(tx.Message)) {
		t.Errorf("got %q", m.data)
	}
	if m.user != "user" || m.from != "sender@example.com" || m.mail.EnvelopeID != "id+1=x y" || m.mail.Return != smtp.DSNReturnHeaders ||
		m.mail.Body != smtp.Body8BitMIME || m.mail.Size != int64(len(m.data)) {
		t.Errorf("MAIL: %+v", m)
	}
	if len(m.to) != 2 || m.rcpt[0].OriginalRecipient != "old+tag@one.example" || len(m.rcpt[0].Notify) != 2 {
		t.Errorf("RCPT: %+v", m.rcpt)
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Error(err)
	}
}

// inFlight sends 200 messages, a tenth of them to nobody, and a tenth to
// somebody beside nobody.
func inFlight(t *testing.T, c *Client) (all []*Transaction, results []Result) {
	t.Helper()
	all = numbered(t, 200)
	for i, tx := range all {
		switch i % 10 {
		case 3:
			tx.Recipients = recipients(t, "unknown@one.example")
		case 7:
			tx.Recipients[1].Address = address(t, "unknown@two.example")
		}
	}
	return all, begin(t.Context(), t, c, all)
}

func TestOracleInFlight(t *testing.T) {
	o, l := startOracle(t)
	all, results := inFlight(t, dial(t, tcpAddr(l), Options{}))
	noErrors(t, results)
	o.mu.Lock()
	defer o.mu.Unlock()
	taken := map[string]oracleMessage{}
	for _, m := range o.messages {
		taken[m.from] = m
	}
	for i, tx := range all {
		m, arrived := taken[tx.Envelope.From.String()]
		want := map[int]int{3: 0, 7: 1}
		recipients, limited := want[i%10]
		if !limited {
			recipients = 2
		}
		if arrived != (recipients > 0) || len(m.to) != recipients {
			t.Errorf("%d: arrived: %v, for %d", i, arrived, len(m.to))
		}
		if arrived && !bytes.Equal(m.data, append(join(tx.Message), "\r\n"...)) {
			t.Errorf("%d: %q", i, m.data)
		}
		for j, a := range results[i].Answers {
			if unknown := strings.HasPrefix(tx.Recipients[j].Address.String(), "unknown"); a.Reply.Positive() == unknown {
				t.Errorf("%d: %v", i, results[i].Answers)
			}
		}
	}
	if len(o.messages) != 180 {
		t.Errorf("%d messages", len(o.messages))
	}
}

// TestOracleThatStumbles: as it comes, the oracle takes a long line of a chunk
// that follows its envelope at once for a command that is too long. That is not
// the message's fault.
func TestOracleThatStumbles(t *testing.T) {
	_, l := startOracleWith(t, 0)
	c := dial(t, tcpAddr(l), Options{})
	tx := transactionTo(t, "a@one.example")
	tx.Message = [][]byte{[]byte("Subject: x\r\n\r\n"), bytes.Repeat([]byte("0123456789abcdef"), 1000)}
	r := begin(t.Context(), t, c, []*Transaction{&tx})[0]
	if codes(r.Answers) != "-" || !r.Again || !c.OneAtATime() || !errors.Is(r.Err, ErrInFlight) {
		t.Errorf("%s, %v", codes(r.Answers), r.Err)
	}
}

func TestOracleGetsWhatWasSent(t *testing.T) {
	o, l := startOracle(t)
	c := dial(t, tcpAddr(l), Options{})
	rapid.Check(t, func(rt *rapid.T) {
		lines := rapid.SliceOfN(rapid.StringMatching(`[a.]{0,4}`), 0, 8).Draw(rt, "lines")
		message := []byte("A: b\r\n" + strings.Join(append(lines, ""), "\r\n"))
		tx := transactionTo(t, "a@one.example")
		cut := rapid.IntRange(0, len(message)).Draw(rt, "cut")
		tx.Message = [][]byte{message[:cut], message[cut:]}
		send(t, c, tx)
		if got := o.messages[len(o.messages)-1].data; !bytes.Equal(got, message) {
			rt.Fatalf("%q arrived as %q", message, got)
		}
	})
}
