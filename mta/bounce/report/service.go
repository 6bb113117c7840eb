package report

import (
	"encoding/json"
	"strings"
)

// serviceNotice is the JSON in which Amazon SES tells of bounces and complaints
// where it is asked to do so by mail.
type serviceNotice struct {
	// Message holds the notice as text when it came through SNS.
	Message          string
	NotificationType string
	Bounce           struct {
		BouncedRecipients []struct{ EmailAddress, Action, Status, DiagnosticCode string }
		ReportingMTA      string
	}
	Complaint struct {
		ComplainedRecipients             []struct{ EmailAddress string }
		ComplaintFeedbackType, UserAgent string
		ArrivalDate                      string
	}
	Mail struct {
		Source  string
		Headers []struct{ Name, Value string }
	}
}

// readService reads such a notice from the words, or nil.
func readService(words string) *serviceNotice {
	words = strings.TrimSpace(words)
	if !strings.HasPrefix(words, "{") || !strings.Contains(words, "notificationType") {
		return nil
	}
	// Old mailers break long lines with an exclamation mark.
	end := strings.LastIndexByte(words, '}')
	words = strings.ReplaceAll(strings.ReplaceAll(words[:end+1], "!\n ", ""), "\n", " ")
	var s serviceNotice
	if err := json.NewDecoder(strings.NewReader(words)).Decode(&s); err != nil {
		return nil
	}
	if s.NotificationType == "" {
		var inner serviceNotice
		if err := json.Unmarshal([]byte(s.Message), &inner); err != nil {
			return nil
		}
		return &inner
	}
	return &s
}

// fill makes the report of it, and reports whether there was one.
func (s *serviceNotice) fill(n *notice, r *Report) bool {
	if s == nil {
		return false
	}
	const sign = "JSON of Amazon SES"
	for _, field := range s.Mail.Headers {
		if len(n.returned) < maxFields {
			n.returned = append(n.returned, Field{field.Name, limit(clean([]byte(field.Value)), maxValue)})
		}
	}
	switch s.NotificationType {
	case "Bounce":
		r.Kind, r.Sign, r.Standard = DSN, sign, true
		r.ReportingMTA = clean([]byte(s.Bounce.ReportingMTA))
		for _, one := range s.Bounce.BouncedRecipients {
			addRecipient(Fields{
				{"Final-Recipient", clean([]byte(one.EmailAddress))},
				{"Action", one.Action},
				{"Status", clean([]byte(one.Status))},
				{"Diagnostic-Code", clean([]byte(one.DiagnosticCode))},
			}, r)
		}
		return true
	case "Complaint":
		r.Kind, r.Sign = ARF, sign
		r.Feedback = &Feedback{
			Type: strings.ToLower(orElse(s.Complaint.ComplaintFeedbackType, "abuse")), UserAgent: s.Complaint.UserAgent,
			OriginalMailFrom: s.Mail.Source, Arrival: readDate(s.Complaint.ArrivalDate), Incidents: 1,
		}
		for _, one := range s.Complaint.ComplainedRecipients {
			r.Feedback.OriginalRcptTo = append(r.Feedback.OriginalRcptTo, clean([]byte(one.EmailAddress)))
		}
		return true
	}
	return false
}
