package route

import (
	"context"
	"errors"

	"github.com/postrider-mta/postrider/internal/mail"
)

// newError gives a cause the reply that the recipient's event will carry.
func newError(domain mail.Domain, cause error) *Error {
	return &Error{Domain: domain, Reply: replyFor(cause), Err: cause}
}

// replyFor is permanent only where DNS, or the operator, is sure.
func replyFor(cause error) mail.Reply {
	switch {
	case errors.Is(cause, ErrPolicy):
		return reply(451, 4, 7, 5, policyText(cause))
	case errors.Is(cause, context.Canceled), errors.Is(cause, context.DeadlineExceeded),
		errors.Is(cause, ErrResolver):
		return reply(451, 4, 4, 3, "name resolution failed")
	case errors.Is(cause, ErrNullMX):
		// RFC 7505 section 4.2.
		return reply(556, 5, 1, 10, "domain does not accept mail (null MX)")
	case errors.Is(cause, ErrNoDomain):
		return reply(550, 5, 1, 2, "domain does not exist")
	case errors.Is(cause, errMalformed):
		return reply(451, 4, 4, 3, "domain has only malformed MX records")
	case errors.Is(cause, ErrNoHosts):
		return reply(550, 5, 1, 2, "domain has no mail exchanger")
	case errors.Is(cause, ErrLoop):
		return reply(550, 5, 4, 6, "mail for the domain loops back to this host")
	case errors.Is(cause, ErrForbidden):
		return reply(550, 5, 4, 4, "mail exchanger has no allowed address")
	}
	return reply(451, 4, 4, 3, "no route")
}

// policyText says what the policy is about, without what name servers said.
func policyText(cause error) string {
	var refused *refusal
	if errors.As(cause, &refused) {
		return refused.text
	}
	return ErrPolicy.Error()
}

// refusal is an ErrPolicy with words for the public and causes for us.
type refusal struct {
	text   string
	causes []error
}

func (r *refusal) Error() string {
	text := r.text
	for _, cause := range r.causes {
		text += "; " + cause.Error()
	}
	return text
}

func (r *refusal) Unwrap() []error { return append([]error{ErrPolicy}, r.causes...) }

func reply(code, class, subject, detail int, text string) mail.Reply {
	return mail.Reply{
		Code:     code,
		Enhanced: mail.EnhancedCode{Class: class, Subject: subject, Detail: detail},
		Text:     text,
	}
}
