package smtpclient

import (
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
)

func dsnTransaction(t testing.TB) Transaction {
	tx := transactionTo(t, "a@one.example", "b@one.example")
	tx.Envelope.Return = "HDRS"
	tx.Envelope.ID = "id+1=x y"
	tx.Envelope.EightBit = true
	tx.Recipients[0].Notify = mail.NotifyFailure | mail.NotifyDelay
	tx.Recipients[0].OriginalType = "rfc822"
	tx.Recipients[0].Original = "old+tag@one.example"
	return tx
}

func TestParametersOffered(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{})
	tx := dsnTransaction(t)
	send(t, dial(t, addr, Options{}), tx)
	m := server.Messages()[0]
	if got, want := strings.Join(m.Parameters, " "), "SIZE=24 BODY=8BITMIME RET=HDRS ENVID=id+2B1+3Dx+20y"; got != want {
		t.Errorf("MAIL %s, want %s", got, want)
	}
	if got, want := strings.Join(m.Recipients[0].Parameters, " "), "NOTIFY=FAILURE,DELAY ORCPT=rfc822;old+2Btag@one.example"; got != want {
		t.Errorf("RCPT %s, want %s", got, want)
	}
	if got := m.Recipients[1].Parameters; len(got) != 0 {
		t.Errorf("RCPT %s", got)
	}
	noViolations(t, server)
}

func TestParametersNotOffered(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{Without: testmx.Extensions{DSN: true, Size: true, SMTPUTF8: true, Chunking: true}})
	tx := dsnTransaction(t)
	tx.Envelope.EightBit = false
	send(t, dial(t, addr, Options{}), tx)
	if m := server.Messages()[0]; len(m.Parameters) != 0 || len(m.Recipients[0].Parameters) != 0 {
		t.Errorf("%q %q", m.Parameters, m.Recipients[0].Parameters)
	}
	noViolations(t, server)
}

// TestParametersCannotInject: what came from a submitter never ends a command.
func TestParametersCannotInject(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{})
	tx := dsnTransaction(t)
	tx.Envelope.ID = "x\r\nRSET\r\n"
	tx.Envelope.Return = "FULL\r\nRSET"
	tx.Recipients[0].OriginalType = "rfc822;x\r\nRSET"
	tx.Recipients[1].OriginalType = "rfc822"
	tx.Recipients[1].Original = "b\r\n\x00\x7f >@one.example"
	send(t, dial(t, addr, Options{}), tx)
	m := server.Messages()[0]
	if id, _ := m.Parameter("ENVID"); id != "x+0D+0ARSET+0D+0A" {
		t.Errorf("ENVID=%s", id)
	}
	if _, ok := m.Parameter("RET"); ok {
		t.Error("RET was sent")
	}
	if _, ok := m.Recipients[0].Parameter("ORCPT"); ok {
		t.Error("ORCPT of a bad type was sent")
	}
	if original, _ := m.Recipients[1].Parameter("ORCPT"); original != "rfc822;b+0D+0A+00+7F+20>@one.example" {
		t.Errorf("ORCPT=%s", original)
	}
	noViolations(t, server)
}

func TestQuotedAddresses(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{})
	send(t, dial(t, addr, Options{}), transactionTo(t, `"c> NOTIFY=NEVER <d"@one.example`, `"a b\"c\\"@one.example`))
	r := server.Messages()[0].Recipients
	if len(r) != 2 || r[0].Address != `"c> NOTIFY=NEVER <d"@one.example` || r[1].Address != `"a b\"c\\"@one.example` || len(r[0].Parameters) != 0 {
		t.Errorf("%+v", r)
	}
	noViolations(t, server)
}

func TestInternationalised(t *testing.T) {
	const no, ok = "550 5.6.7", "message 250 2.0.0"
	for name, test := range map[string]struct {
		from, to string
		utf8     bool
		offered  bool
		want     string
		// parameter holds if SMTPUTF8 is asked for.
		parameter bool
	}{
		"plain":                 {"a@example.com", "b@example.com", false, true, ok + ", " + ok, false},
		"domain only":           {"a@bücher.example", "b@bücher.example", false, false, ok + ", " + ok, false},
		"envelope":              {"a@example.com", "b@example.com", true, true, ok + ", " + ok, true},
		"envelope, not offered": {"a@example.com", "b@example.com", true, false, "MAIL " + no + ", MAIL " + no, false},
		"sender":                {"ä@example.com", "b@example.com", false, true, ok + ", " + ok, true},
		"sender, not offered":   {"ä@example.com", "b@example.com", false, false, "MAIL " + no + ", MAIL " + no, false},
		"one":                   {"a@example.com", "ü@example.com", false, true, ok + ", " + ok, true},
		"one, not offered":      {"a@example.com", "ü@example.com", false, false, "RCPT " + no + ", " + ok, false},
	} {
		t.Run(name, func(t *testing.T) {
			server, addr := testmx.Start(t, testmx.Options{Without: testmx.Extensions{SMTPUTF8: !test.offered}})
			tx := transactionTo(t, test.to, "c@example.com")
			tx.Envelope.From = address(t, test.from)
			tx.Envelope.SMTPUTF8 = test.utf8
			if got := codes(send(t, dial(t, addr, Options{}), tx)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			for _, m := range server.Messages() {
				if _, asked := m.Parameter("SMTPUTF8"); asked != test.parameter {
					t.Errorf("SMTPUTF8 asked for: %v", asked)
				}
			}
			noViolations(t, server)
		})
	}
}

func TestLocalRefusals(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{MaxSize: 100, Without: testmx.Extensions{EightBitMIME: true}})
	c := dial(t, addr, Options{})
	large := transactionTo(t, "a@one.example", "b@one.example")
	large.Message = [][]byte{make([]byte, 60), make([]byte, 60)}
	if got := codes(send(t, c, large)); got != "MAIL 552 5.3.4, MAIL 552 5.3.4" {
		t.Error(got)
	}
	eight := transactionTo(t, "a@one.example")
	eight.Envelope.EightBit = true
	if got := codes(send(t, c, eight)); got != "MAIL 554 5.6.3" {
		t.Error(got)
	}
	if n := server.Counters().Refused; n != 0 {
		t.Errorf("server was asked %d times", n)
	}
	if got := codes(send(t, c, transactionTo(t, "a@one.example"))); got != "message 250 2.0.0" {
		t.Error(got)
	}
}
