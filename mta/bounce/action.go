package bounce

// Action is what became of a recipient (RFC 3464 section 2.3.3).
type Action string

const (
	// Failed: given up.
	Failed Action = "failed"
	// Delayed: still tried.
	Delayed Action = "delayed"
	// Delivered: in the mailbox.
	Delivered Action = "delivered"
	// Relayed: handed to a system that sends no DSNs.
	Relayed Action = "relayed"
	// Expanded: handed to the members of a list.
	Expanded Action = "expanded"
)
