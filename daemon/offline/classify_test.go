package offline_test

import (
	"testing"

	"github.com/postrider-mta/postrider/daemon/offline"
)

func TestClassifier(t *testing.T) {
	classify := offline.Classifier()
	for line, want := range map[string]offline.Classified{
		"550 5.1.1 no such user":                   {Category: "invalid_recipient", Permanent: true, SuppressesAddress: true},
		"452-4.2.2 mailbox full":                   {Category: "mailbox_full"},
		"421 4.7.28 rate limited, come back later": {Category: "rate_limit"},
		"250 ok":   {},
		"hello":    {Error: "not an SMTP reply: it begins with no code from 200 to 599"},
		"999 what": {Error: "not an SMTP reply: it begins with no code from 200 to 599"},
		"55":       {Error: "not an SMTP reply: it begins with no code from 200 to 599"},
	} {
		got := classify(line)
		got.Rule, want.Reply = "", line
		if got != want {
			t.Errorf("%q: got %+v, want %+v", line, got, want)
		}
	}
}
