// Package tlsreport tells domains how the TLS of the mail sent to them went:
// SMTP TLS Reporting (RFC 8460). It counts sessions by day, domain and policy,
// asks in DNS who wants to know, and reports once a day by HTTPS and by mail.
//
// What is counted are sessions: connections, not messages. No address of a
// recipient comes near it, and what servers say is stripped of addresses.
package tlsreport
