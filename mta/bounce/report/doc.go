// Package report reads what comes back for mail that was sent: delivery status
// notifications (RFC 3464), the bounces of systems that never heard of them,
// complaints (RFC 5965), and the replies of machines.
//
// It reads like somebody who wants to understand and believes little. A message
// may be truncated, wrongly labelled or hostile: whatever can be made out is
// made out, within bounds on size, depth and number, and what cannot is left
// empty. A report is evidence, not an order: whom it is about is for the token
// in the return path to say.
package report
