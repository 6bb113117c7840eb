// Package bulk holds messages against the rules that Google, Yahoo and
// Microsoft publish for bulk senders, as far as a message shows whether they
// are kept. It is pure: a message in, findings out. What follows from a finding
// is for others. docs/submission.md says where each rule comes from.
package bulk
