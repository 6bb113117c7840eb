package submission

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
)

func injection(t *testing.T, to, message string) Injection {
	t.Helper()
	address, err := mail.ParseAddress(to)
	if err != nil {
		t.Fatal(err)
	}
	from, err := mail.ParseAddress("operator@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return Injection{
		Tenant: "acme", From: from, Recipients: []mail.Recipient{{Address: address}},
		Message: []byte(message), Protocol: "http",
	}
}

func TestInjectCompletesAndAccepts(t *testing.T) {
	f := startTrusted(t)
	id, err := f.server.Inject(t.Context(), injection(t, "ü@example.net", "From: operator@example.com\nSubject: x\n\nhello\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := f.store.last(t)
	if got.Message.ID != id || !got.Message.Envelope.SMTPUTF8 || len(got.Recipients) != 1 {
		t.Errorf("accepted %+v", got.Message)
	}
	body := string(got.Body)
	for _, want := range []string{"Received: ", " with HTTP id " + id.String(), "\r\nDate: ", "\r\nMessage-ID: ", "\r\n\r\nhello\r\n"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %q", want, body)
		}
	}
	if bytes.Count(got.Body, []byte("\n")) != bytes.Count(got.Body, []byte("\r\n")) {
		t.Errorf("bare LF in %q", body)
	}
}

func TestInjectSaysWhatIsWrong(t *testing.T) {
	f := startTrusted(t)
	const good = "From: operator@example.com\n\nx\n"
	nobody, unknown := injection(t, "a@example.net", good), injection(t, "a@example.net", good)
	nobody.Recipients = nil
	unknown.Tenant = "nobody"
	for want, i := range map[string]Injection{
		"no tenant":     unknown,
		"no recipient":  nobody,
		"0 From fields": injection(t, "a@example.net", "Subject: x\n\nx\n"),
		"X-Postrider-":  injection(t, "a@example.net", "X-Postrider-Steam: marketing\n"+good),
	} {
		_, err := f.server.Inject(t.Context(), i)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
