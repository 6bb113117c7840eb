package shape

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/smtpclient"
)

// TestSamplesOverTheWire holds that the samples are read from the file as the
// client reads them from a connection: a rule that matched only the former
// would be dead.
func TestSamplesOverTheWire(t *testing.T) {
	samples := everySample(shipped(t))
	options := testmx.Options{}
	for i, sample := range samples {
		options.Rules = append(options.Rules, testmx.Rule{
			Command: testmx.RCPT, Pattern: fmt.Sprintf("r%d@example.org", i), Action: testmx.Action{Reply: sample.String()},
		})
	}
	server := testmx.New(options)
	addr, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for i, sample := range samples {
		if got := refused(t, addr, fmt.Sprintf("r%d@example.org", i)); got != sample {
			t.Errorf("got  %#v\nwant %#v", got, sample)
		}
	}
}

func everySample(providers *Providers) []mail.Reply {
	var samples []mail.Reply
	add := func(rules []Rule) {
		for _, r := range rules {
			samples = append(samples, r.Samples...)
		}
	}
	for _, p := range providers.All() {
		add(p.Rules)
	}
	add(providers.General())
	return samples
}

// refused sends a message to one recipient, and returns what the server says.
func refused(t *testing.T, addr netip.AddrPort, to string) mail.Reply {
	t.Helper()
	client, err := smtpclient.Dial(t.Context(), addr, "mx.test", smtpclient.Options{LocalName: "client.test", TLS: mail.TLSNone})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	from, _ := mail.ParseAddress("sender@example.org")
	recipient, err := mail.ParseAddress(to)
	if err != nil {
		t.Fatal(err)
	}
	answers, _ := client.Send(context.WithoutCancel(t.Context()), smtpclient.Transaction{
		Envelope: mail.Envelope{From: from}, Recipients: []mail.Recipient{{Address: recipient}}, Message: [][]byte{[]byte("Subject: a\r\n\r\nb\r\n")},
	})
	if len(answers) != 1 {
		t.Fatalf("%d answers", len(answers))
	}
	return answers[0].Reply
}
