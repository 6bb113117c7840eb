package inbound

import (
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/mta/bounce/report"
)

// asksToLeave reports a reader's reply whose subject is a wish to be left alone
// and nothing else: some mail programs answer the return path. A text that
// mentions it somewhere proves nothing.
func asksToLeave(header report.Fields) bool {
	subject := header.Text("Subject")
	if mark, rest, found := strings.Cut(subject, ":"); found && len(mark) <= maxReplyMark {
		subject = rest
	}
	return slices.Contains(wishes(), strings.Trim(strings.ToLower(subject), " \t\r\n.!\"'"))
}

// maxReplyMark is the length of what stands for "Re" in other languages.
const maxReplyMark = 3

// wishes are in the languages of the unsubscribe page.
func wishes() []string {
	return []string{
		"unsubscribe", "stop", "remove", "remove me",
		"abmelden", "abbestellen", "abmeldung", "austragen",
		"désabonnement", "désabonner", "désinscription", "desabonnement", "desinscription",
		"baja", "darme de baja", "cancelar suscripción", "cancelar suscripcion",
		"disiscrizione", "cancella iscrizione", "cancellami", "disiscrivimi",
	}
}
