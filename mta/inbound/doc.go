// Package inbound takes what comes back by mail: bounces, complaints and
// requests to unsubscribe. It accepts mail for addresses that only we can have
// made, for the complaint address and for the postmaster, and for nothing else;
// nothing is relayed.
//
// Whom a message is about is known by the token in the address that it came to
// or, for a complaint, by a token of ours in what it complains about. What the
// text says of addresses convinces nobody.
//
// The SMTP server is that of mta/submission with a Receiver in the queue's
// place. The 250 is sent when what the message means is on disk.
package inbound
