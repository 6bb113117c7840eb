package inbound

import (
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
	"github.com/postrider-mta/postrider/queue"
)

// purpose is what an address of ours is for, as metrics have it.
type purpose string

const (
	toReturnPath  purpose = "return_path"
	toComplaints  purpose = "complaint"
	toUnsubscribe purpose = "unsubscribe"
	toPostmaster  purpose = "postmaster"
)

// target is an address of ours that mail came to.
type target struct {
	purpose purpose
	// returned is whom the address is about; nil where it has no token.
	returned *returned
}

// returned is a recipient that something came back for, by its token.
type returned struct {
	message queue.ID
	index   int
	tenant  string
}

// target says what an address is for, or why no mail is taken for it.
func (s *Server) target(address mail.Address) (target, error) {
	local := strings.ToLower(address.Local())
	person := local == "postmaster" || local == "abuse"
	switch {
	case !s.options.Domains(address.Domain()) && !(person && string(address.Domain()) == strings.ToLower(s.options.Hostname)):
		return target{}, refuse(550, smtp.EnhancedCode{5, 7, 1}, "relaying denied: no mail is taken for that domain")
	case person && s.options.Postmaster.To.IsZero():
		return target{}, refuse(550, smtp.EnhancedCode{5, 1, 1}, "nobody reads mail here: this domain takes bounces and complaints only")
	case person:
		return target{purpose: toPostmaster}, nil
	case local == strings.ToLower(s.options.Complaints):
		return target{purpose: toComplaints}, nil
	}
	kind, id, err := s.options.Codec.Decode(local)
	if err != nil {
		return target{}, noSuchAddress()
	}
	r, ok := s.returned(id)
	if !ok {
		return target{}, noSuchAddress()
	}
	purposes := map[verp.Kind]purpose{verp.Bounce: toReturnPath, verp.Complaint: toComplaints, verp.Unsubscribe: toUnsubscribe}
	return target{purposes[kind], r}, nil
}

// noSuchAddress does not tell which check failed.
func noSuchAddress() *smtp.SMTPError {
	return refuse(550, smtp.EnhancedCode{5, 1, 1}, "no such address")
}

// returned makes of a token's content what the rest of the daemon knows.
func (s *Server) returned(id verp.ID) (*returned, bool) {
	tenant, ok := s.options.Tenant(id.Tenant)
	return &returned{message: id.Message, index: int(id.Index), tenant: tenant}, ok
}

// event begins an event about the recipient. Whoever sends the same report
// again makes the same one. What it leaves out is filled in from the accepted
// event by the log.
func (r *returned) event(kind event.Type, by string) event.Event {
	id := queue.RecipientID{Message: r.message, Index: r.index}
	return event.Event{
		ID: strings.ReplaceAll(id.String(), "/", "-") + "-" + by + "-" + string(kind), Type: kind,
		Tenant: r.tenant, Message: r.message.String(), Index: r.index,
	}
}
