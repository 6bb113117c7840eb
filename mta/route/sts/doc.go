// Package sts is MTA-STS (RFC 8461) as a sender keeps to it: it finds the
// policies of domains, remembers them over restarts, and says whether a host
// is one that a policy names. It asks DNS and policy hosts, and knows no mail
// connection.
package sts
