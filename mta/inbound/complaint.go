package inbound

import (
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/mta/bounce/report"
)

// complaint says what mail to the complaint address means. It concerns whoever
// the token in that address names or else a token in what it gives back of the
// message; without one it concerns nobody.
func (s *Server) complaint(c *consequence, r *report.Report) {
	if r.Kind != report.ARF || !isComplaint(r.Feedback.Type) {
		return
	}
	if c.about == nil {
		c.about = s.reported(r)
	}
	if c.about == nil {
		c.outcome = unidentified
		return
	}
	c.outcome = complained
	e := c.about.event(event.Complained, "report")
	e.Reason = "feedback report: " + r.Feedback.Type
	c.event = &e
}

// isComplaint leaves out those about authentication (RFC 6591), and those that
// say that the mail was none to complain about (RFC 5965 section 7.3, RFC 6430).
func isComplaint(kind string) bool {
	switch kind {
	case "abuse", "fraud", "other":
		return true
	}
	return false
}

// reported finds a token of ours in the message that the report is about: in its
// return path, in the fields that we add, in our List-Unsubscribe.
func (s *Server) reported(r *report.Report) *returned {
	o := &r.Original
	texts := []string{r.Feedback.OriginalMailFrom, o.ReturnPath, o.CFBLFeedbackID, o.CFBLAddress}
	texts = append(texts, o.Header.All("List-Unsubscribe")...)
	_, id, ok := s.options.Codec.Search("bcu", texts...)
	if !ok {
		return nil
	}
	if about, known := s.returned(id); known {
		return about
	}
	return nil
}
