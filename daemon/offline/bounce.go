package offline

import (
	"errors"
	"io"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/report"
)

// Bounced is what was read of one message that came back.
type Bounced struct {
	// File it came from; empty for standard input.
	File string `json:"file,omitempty"`
	// Kind is dsn, arf, auto-reply or other.
	Kind report.Kind `json:"kind,omitempty"`
	// Sign names what told the kind.
	Sign string `json:"sign,omitempty"`
	// Standard: the recipients come from fields of RFC 3464, not from words.
	Standard     bool               `json:"standard,omitempty"`
	ReportingMTA string             `json:"reporting_mta,omitempty"`
	EnvelopeID   string             `json:"envelope_id,omitempty"`
	Recipients   []BouncedRecipient `json:"recipients,omitempty"`
	Feedback     *Complaint         `json:"feedback,omitempty"`
	Original     *Original          `json:"original,omitempty"`
	// Truncated: a bound was met, and something was not read.
	Truncated bool `json:"truncated,omitempty"`
	// Error says why nothing could be read.
	Error string `json:"error,omitempty"`
}

// BouncedRecipient is what a report says of one recipient, and what follows.
type BouncedRecipient struct {
	Recipient         string        `json:"recipient"`
	FinalRecipient    string        `json:"final_recipient,omitempty"`
	OriginalRecipient string        `json:"original_recipient,omitempty"`
	Action            bounce.Action `json:"action"`
	Status            string        `json:"status"`
	StatusComment     string        `json:"status_comment,omitempty"`
	Diagnostic        string        `json:"diagnostic"`
	RemoteMTA         string        `json:"remote_mta,omitempty"`
	Category          string        `json:"category,omitempty"`
	// Rule that decided the category; empty for the codes alone.
	Rule string `json:"rule,omitempty"`
	// Bounce is hard or soft, and empty where mail arrived.
	Bounce report.Strength `json:"bounce,omitempty"`
	// Suppresses: the address would get no more mail.
	Suppresses bool `json:"suppresses"`
}

// Complaint is a report in the abuse reporting format.
type Complaint struct {
	Type             string     `json:"type"`
	UserAgent        string     `json:"user_agent,omitempty"`
	Version          string     `json:"version,omitempty"`
	OriginalMailFrom string     `json:"original_mail_from,omitempty"`
	OriginalRcptTo   []string   `json:"original_rcpt_to,omitempty"`
	Arrival          *time.Time `json:"arrival,omitempty"`
	SourceIP         string     `json:"source_ip,omitempty"`
	Incidents        int        `json:"incidents"`
	AuthFailure      string     `json:"auth_failure,omitempty"`
	DeliveryResult   string     `json:"delivery_result,omitempty"`
	// Fields are all of them by their names in lower case; the values of a
	// repeated one stand in lines.
	Fields map[string]string `json:"fields,omitempty"`
}

// Original is what identifies the message that came back.
type Original struct {
	MessageID      string `json:"message_id,omitempty"`
	ReturnPath     string `json:"return_path,omitempty"`
	FeedbackID     string `json:"feedback_id,omitempty"`
	CFBLFeedbackID string `json:"cfbl_feedback_id,omitempty"`
}

// BounceParser returns a function that reads one message. Its errors are those
// of reading, and that it is no message; they are in the result too.
func BounceParser() func(file string, message io.Reader) (Bounced, error) {
	parser := report.New(bounce.New())
	return func(file string, message io.Reader) (Bounced, error) {
		content, err := io.ReadAll(io.LimitReader(message, report.MaxRead+1))
		if err != nil {
			return FailedBounce(file, err), err
		}
		parsed, err := parser.Parse(content)
		if err != nil {
			return FailedBounce(file, err), err
		}
		return makeBounced(file, parsed), nil
	}
}

// FailedBounce is the line for a file of which nothing could be read.
func FailedBounce(file string, err error) Bounced {
	if inner := errors.Unwrap(err); inner != nil && file != "" {
		err = inner // without the name a second time
	}
	return Bounced{File: file, Error: err.Error()}
}

func makeBounced(file string, r report.Report) Bounced {
	b := Bounced{
		File: file, Kind: r.Kind, Sign: r.Sign, Standard: r.Standard, Truncated: r.Truncated,
		ReportingMTA: r.ReportingMTA, EnvelopeID: r.EnvelopeID, Feedback: makeComplaint(r.Feedback),
	}
	for _, one := range r.Recipients {
		b.Recipients = append(b.Recipients, BouncedRecipient{
			Recipient: one.Address, FinalRecipient: one.FinalRecipient, OriginalRecipient: one.OriginalRecipient,
			Action: one.Action, Status: one.Status, StatusComment: one.StatusComment, Diagnostic: one.Diagnostic, RemoteMTA: one.RemoteMTA,
			Category: string(one.Category), Rule: one.Rule, Bounce: one.Bounce, Suppresses: one.Suppresses,
		})
	}
	o := Original{r.Original.MessageID, r.Original.ReturnPath, r.Original.FeedbackID, r.Original.CFBLFeedbackID}
	if o != (Original{}) {
		b.Original = &o
	}
	return b
}

func makeComplaint(f *report.Feedback) *Complaint {
	if f == nil {
		return nil
	}
	c := &Complaint{
		Type: f.Type, UserAgent: f.UserAgent, Version: f.Version, OriginalMailFrom: f.OriginalMailFrom, OriginalRcptTo: f.OriginalRcptTo,
		Incidents: max(f.Incidents, 1), Fields: make(map[string]string),
	}
	if !f.Arrival.IsZero() {
		c.Arrival = &f.Arrival
	}
	if f.SourceIP.IsValid() {
		c.SourceIP = f.SourceIP.String()
	}
	if f.Failure != nil {
		c.AuthFailure, c.DeliveryResult = f.Failure.Auth, f.Failure.DeliveryResult
	}
	for _, field := range f.Fields {
		name := strings.ToLower(field.Name)
		if before, ok := c.Fields[name]; ok {
			field.Value = before + "\n" + field.Value
		}
		c.Fields[name] = field.Value
	}
	return c
}
