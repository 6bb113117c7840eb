package dsn

import (
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
)

// Wanted reports whether a recipient's outcome is told to the sender: by NOTIFY
// (RFC 3461 section 4.1) or, where it was not given, by a default such as
// NotifyFailure|NotifyDelay. A default of zero or NotifyNever tells nothing.
func Wanted(notify, otherwise mail.Notify, action bounce.Action) bool {
	if notify == 0 {
		notify = otherwise
	}
	condition, known := conditionOf(action)
	return known && notify&mail.NotifyNever == 0 && notify&condition != 0
}

// conditionOf is under which condition an action is told. Relayed and expanded
// stand for success (RFC 3461 section 5.2.2).
func conditionOf(action bounce.Action) (condition mail.Notify, known bool) {
	switch action {
	case bounce.Failed:
		return mail.NotifyFailure, true
	case bounce.Delayed:
		return mail.NotifyDelay, true
	case bounce.Delivered, bounce.Relayed, bounce.Expanded:
		return mail.NotifySuccess, true
	}
	return 0, false
}

// Select returns the outcomes that the sender of an envelope is told of; none
// for the null reverse-path.
func Select(envelope mail.Envelope, otherwise mail.Notify, outcomes []Outcome) []Outcome {
	if envelope.From.IsZero() {
		return nil
	}
	var selected []Outcome
	for _, o := range outcomes {
		if Wanted(o.Recipient.Notify, otherwise, o.Action) {
			selected = append(selected, o)
		}
	}
	return selected
}
