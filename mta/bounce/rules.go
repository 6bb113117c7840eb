package bounce

import "slices"

// rules is the table. The first line that matches decides, so what is certain
// comes before what is likely: words of providers, then phrases from the most
// to the least telling, then enhanced status codes, then bare reply codes.
func rules() []rule {
	return slices.Concat(
		quirks(),
		aboutTheSender(),
		aboutTheMessage(),
		aboutTheTraffic(),
		aboutTheWay(),
		byEnhancedCodeOfPolicy(),
		aboutTheAddress(),
		byEnhancedCode(),
		byCode(),
	)
}

// quirks are answers that mean something else than their codes say.
func quirks() []rule {
	return []rule{
		// 552 is "exceeded storage" everywhere else; here it never gets better.
		{name: "yahoo-552", category: InvalidRecipient, codes: "552 554", text: []string{"mailbox not found", "doesn't have a yahoo", "does not have a yahoo"}, decision: permanent},
		// RFC 5321 section 4.5.3.1.10: an old 552 that means 452.
		{name: "recipients-552", category: RateLimit, codes: "552", text: []string{"too many recipients"}, decision: temporary},
		{name: "too-many-recipients", category: RateLimit, text: []string{"too many recipients", "recipients this hour", "recipients per hour"}},
		// Outlook refuses addresses that its directory does not have this way.
		{name: "outlook-directory", category: InvalidRecipient, enhanced: "x.4.1", text: []string{"rejected*access denied"}},
		{name: "exchange-resolver", category: InvalidRecipient, text: []string{"resolver.adr.", "recipnotfound", "recipientnotfound"}},
		{name: "exchange-size", category: Size, text: []string{"recipsizelimit", "sendersizelimit", "rst.sizelimit"}},
		// The mailbox gets too much mail just now. It is there.
		{name: "qq-flooded", category: RateLimit, text: []string{"mailbox unavailable or access denied"}, decision: temporary},
		{name: "qq-frequency", category: RateLimit, text: []string{"frequency limited"}},
		// Codes that NetEase explains on its help pages.
		{name: "netease-limit", category: RateLimit, text: []string{
			"hl:icc", "hl:ifc", "hl:itc", "rp:orq", "mi:sfq", "rp:qrc", "mi:imf", "mi:dmc", "rp:drc", "mi:ccl", "rp:ccl", "mi:cel", "rp:cel",
		}},
		{name: "netease-blocklist", category: Blocklist, text: []string{"hl:rep", "hl:mep", "hl:ipb", "hl:ihu", "dt:rbl", "wm:bli"}},
		{name: "netease-spam", category: Spam, text: []string{"dt:spm"}},
		{name: "mimecast-greylisting", category: Greylisting, codes: "451", text: []string{"internal resource*temporarily unavailable"}},
		{name: "google-unsolicited", category: Spam, text: []string{"unusual rate of unsolicited mail", "unsolicited mail originating"}},
		{name: "outlook-policy", category: Blocklist, codes: "550 554", text: []string{
			"sc-001", "sc-002", "sc-003", "sc-004", "ou-001", "ou-002", "dy-001", "dy-002",
		}},
		{name: "outlook-limit", category: RateLimit, codes: "421 451", text: []string{"rp-001", "rp-002", "rp-003"}},
		{name: "yahoo-japan-blocklist", category: Blocklist, text: []string{"vs98-ip", "not allowed - vs"}},
		{name: "gmx-policy", category: Policy, text: []string{"reject due to policy"}},
		// A list of domains that are linked to, not of hosts that send.
		{name: "listed-domain", category: Spam, text: []string{"spamhaus dbl", "domain present in", "surbl", "uribl"}},
		{name: "full-code", category: MailboxFull, enhanced: "x.2.2", text: []string{"mailbox", "quota", "storage", "full"}},
		{name: "yahoo-reputation", category: Spam, text: []string{"[tss", "[ts0"}},
		{name: "yahoo-blocklist", category: Blocklist, text: []string{"[bl2"}},
		{name: "outlook-blocklist", category: Blocklist, text: []string{"(s3140)", "(s3150)", "(s3110)", "part of their network is on our block"}},
		{name: "recipient-form", category: InvalidRecipient, enhanced: "x.1.3"},
		// Clear words beside a clear code, before a hint in a footer can mislead.
		{name: "unknown-user", category: InvalidRecipient, enhanced: "x.1.1", text: []string{
			"user unknown", "unknown user", "no such user", "does not exist", "doesn't exist", "user doesn't exist",
			"no such mailbox", "no mailbox", "unknown recipient", "recipient unknown", "user not found",
		}},
	}
}

// aboutTheSender: who we are to them.
func aboutTheSender() []rule {
	return []rule{
		{name: "login", category: Authentication, codes: "534 535 538"},
		{name: "tls", category: TLS, text: []string{
			"issue a starttls", "starttls first", "starttls is required", "starttls required", "tls required", "requires tls",
			"tls is required", "encryption required", "encryption needed", "encryption is required", "must use tls",
			"tls negotiation", "tls handshake", "certificate verif", "verify certificate", "tls not available", "tls currently unavailable", "use starttls",
		}},
		{name: "form", category: Protocol, text: []string{
			"protocol violation", "rfc 5322 compliant", "rfc 5321 address", "rfc 822 compliant", "rfc compliant", "rfc2822 compliant",
			"duplicate headers", "disallowed header", "improperly-formatted", "improper use of 8-bit", "bare lf", "bare newline",
			"missing header", "header missing", "multiple from", "invalid header",
		}},
		{name: "sender-authentication", category: Authentication, text: []string{
			"spf", "dkim", "dmarc", "unauthenticated", "not authenticated", "sender id ", "arc validation",
			"authentication information", "authentication check", "authentication fail", "failed authentication",
			"authentication required", "authentication is required", "authenticate first", "required authentication level",
		}},
		{name: "reverse-dns", category: Authentication, text: []string{
			"reverse dns", "rdns", "ptr record", "dns ptr", "ptr lookup", "pointer (ptr)", "no ptr", "reverse lookup", "reverse hostname",
			"reverse ip", "cannot find your hostname", "cannot find your reverse", "cannot resolve your", "without a valid sender domain",
			"does not resolve to", "helo command rejected", "forward-confirmed", "fcrdns",
		}},
		{name: "traffic-of-host", category: RateLimit, text: []string{"client host rejected*slow", "client host rejected*too many"}},
		{name: "greylisting", category: Greylisting, text: []string{
			"greylist", "graylist", "grey list", "gray list", "grey-list", "gray-list", "postgrey", "try again in * seconds",
			"early retry", "first time sender", "triplet",
		}},
		{name: "blocklist-url", category: Blocklist, urls: []string{
			"spamhaus.", "dnsbl", "/rbl", "rbl.", "barracudacentral", "spamcop.", "sorbs.net", "abuseat.org", "uceprotect", "cloudmark.com",
			"surriel", "njabl", "/bl?", "senderscore", "invaluement", "abusix", "lookup.cgi?ip", "ipcheck.", "delist", "sender.office.com", "ipremoval",
		}},
		{name: "blocklist", category: Blocklist, text: []string{
			"blacklist", "black list", "black-list", "blocklist", "block list", "block-list", "blocked using", "spamhaus", "dnsbl", " rbl ",
			"spamcop", "sorbs", "barracuda reputation", "barracudanetworks", "abuseat.org", "is listed", "was listed", "listed by", "listed at", "due to listing",
			"currently listed", "open relay", "open proxy", "banned ip", "banned sending ip", "ip banned", "ip is blocked", "ip blocked", "ip address*blocked",
			"blocked*ip address", "address*has been blocked", "from ip address*rejected", "ip*has been blocked", "your ip*reject", "invalid ip for sending", "ip you're using",
			"not accepted from ip", "connections not accepted", "adresse ip source bloquee", "client host*blocked", "client host rejected",
			"no access from mail server", "service refuse", "poor reputation", "reputation of*ip", "host*is blocked", "server*is blocked",
			"connection refused by policy", "refused*your ip", "dynamic ip", "residential ip",
		}},
		{name: "sender-address", category: Policy, text: []string{
			"sender address", "domain of sender", "sender domain", "sender rejected", "sender denied", "sender not allowed", "sender verify failed",
			"sender is blocked", "blocked sender", "mail from domain", "envelope sender", "sender blocked", "from address", "return address",
		}},
	}
}

// aboutTheMessage: what is in it.
func aboutTheMessage() []rule {
	return []rule{
		{name: "size", category: Size, text: []string{
			"message too large", "message too big", "too large", "message size", "size limit", "message length exceeds", "size of the",
			"exceeds size", "exceeds the maximum", "exceeds maximum", "message exceeds", "number of attachments", "message is too big", "maximum message",
			"message file too big", "size exceeds", "larger than the", "fixed maximum",
		}},
		{name: "spam", category: Spam, text: []string{
			"spam", "unsolicited", "bulk mail", "junk mail", "junk e", "suspicious", "low reputation", "bad reputation", "user complaint",
			"complaints", "content rejected", "content filter", "spammy", "phishing", "phish", "classified as", "ube", "message*looks like",
			"unwanted", "bayes", "cloudmark", "reputation",
		}},
		{name: "content", category: Policy, text: []string{
			"virus", "malware", "infected", "trojan", "illegal attachment", "attachment", "security issue", "banned content", "banned file", "prohibited",
			"message filtered", "message refused", "message rejected due", "content policy", "unacceptable content", "content is not", "message content",
			"media error", "malicious", "dangerous",
		}},
	}
}

// aboutTheTraffic: how much and how often.
func aboutTheTraffic() []rule {
	return []rule{
		{name: "rate", category: RateLimit, text: []string{
			"rate limit", "rate-limit", "ratelimit", "rate control", "too many", "too quickly", "too fast", "too much mail", "too frequent", "unusual rate",
			"slow down", "slower", "throttl", "quota for sending", "sending limit", "sending quota", "relay limit", "message limit",
			"messages per connection", "message per connection", "per connection", "connection limit", "connection rate", "concurrent",
			"simultaneous", "maximum connections", "number of connections", "excessive volume", "daily*limit", "hourly*limit", "limit exceeded", "exceeded the rate", "denial of service",
			"resources restricted", "resources temporarily unavailable", "at a rate", "volume of", "unexpected volume",
		}},
	}
}

// aboutTheWay: how the message came.
func aboutTheWay() []rule {
	return []rule{
		{name: "relaying", category: Routing, text: []string{
			"relaying", "relay denied", "relay access denied", "unable to relay", "not configured to relay", "relay not permitted",
			"relay prohibited", "cannot relay", "not permitted to relay", "relay is not allowed", "will not relay", "relay operation", "authorized relay",
			"not local", "rcpthosts",
		}},
		{name: "service", category: System, text: []string{
			"service temporarily unavailable", "service is temporarily unavailable", "server temporarily unavailable", "server is temporarily unavailable",
			"system temporarily unavailable", "system is temporarily unavailable", "unable to process connection",
		}},
		{name: "loop", category: Routing, text: []string{"hop count", "mail loop", "loops back", "too many hops", "routing loop", "hops"}},
		{name: "reach", category: Routing, text: []string{
			"timed out", "timeout", "time-out", "connection refused", "unable to connect", "failed to connect", "no route to host",
			"network unreachable", "unrouteable mail domain", "couldn't connect", "establish an smtp connection", "temporary lookup failure",
			"temporarily unable to", "name service error", "dns error", "mx record", "lost connection", "connection dropped",
		}},
	}
}

// byEnhancedCodeOfPolicy stands before the phrases about addresses: x.7.x is
// the receiver's rule whatever it says (RFC 3463 section 3.8, RFC 7372, RFC
// 7489, and the codes of Google and Microsoft).
func byEnhancedCodeOfPolicy() []rule {
	return []rule{
		{name: "x.7-authentication", category: Authentication, enhanced: "x.7.8 x.7.9 x.7.20 x.7.21 x.7.22 x.7.23 x.7.24 x.7.25 x.7.26 x.7.27 x.7.29 x.7.30 x.7.31 x.7.32 x.7.40 x.7.509 x.7.515"},
		{name: "x.7-tls", category: TLS, enhanced: "x.7.4 x.7.5 x.7.10 x.7.11 x.7.323 x.7.324 x.7.325"},
		// Account disabled; mailbox or domain has another owner (RFC 7293).
		{name: "x.7-owner", category: Inactive, enhanced: "x.7.13 x.7.17 x.7.18"},
		{name: "x.7-rate", category: RateLimit, enhanced: "x.7.28 4.7.500 4.7.550 4.7.650 4.7.651 4.7.652 4.7.653 x.7.501 x.7.502 x.7.503 x.7.705 x.7.750"},
		{name: "x.7-blocklist", category: Blocklist, enhanced: "x.7.511 x.7.606 x.7.607 x.7.608 x.7.609 x.7.610 x.7.649 x.7.703 x.7.708"},
		{name: "x.7", category: Policy, enhanced: "x.7.*"},
	}
}

// aboutTheAddress: whom we write to.
func aboutTheAddress() []rule {
	return []rule{
		{name: "x.1.1", category: InvalidRecipient, enhanced: "x.1.1"},
		{name: "full", category: MailboxFull, text: []string{
			"mailbox full", "mailbox is full", "mailbox for user is full", "inbox is full", "inbox full", "over quota", "overquota", "over the quota", "over its quota",
			"quota exceeded", "exceeded*quota", "exceeds*quota", "disk quota", "quota full", "out of quota", "out of storage", "exceeded storage", "storage exceeded",
			"storage allocation", "over the maximum allowed", "not enough storage in mailbox", "enough space", "mailbox has exceeded", "account is full", "mailfolder is full",
			"maildrop is full", "mailbox*full", "boite pleine", "user is full",
		}},
		{name: "inactive", category: Inactive, text: []string{
			"disabled", "inactive", "not active", "no longer active", "suspend", "frozen", "deactivated", "dormant", "is no longer valid",
			"account is blocked", "account blocked", "account*locked", "account has been closed", "account closed", "account expired",
			"temporarily unavailable", "administratively prohibited", "discontinued", "not in use", "over inactivity",
		}},
		{name: "unknown-address", category: InvalidRecipient, codes: "450 550 551 553 554 501 511 521 525 542 552 556 571 577", text: []string{
			"user unknown", "unknown user", "unknown local", "unknown or illegal", "unknown recipient", "unknown address", "unknown mailbox", "unknown account",
			"unknown e-mail", "unknown email", "recipient unknown", "address unknown", "mailbox unknown", "account unknown", "user is unknown",
			"is unknown", "no such", "no mailbox", "no account", "mailbox not found", "user not found", "recipient not found", "address not found", "account not found",
			"mailbox unavailable", "not exist", "doesn't exist", "don't exist", "nonexistent", "non-existent", "non existent", "invalid recipient", "invalid user", "invalid mailbox",
			"invalid address", "invalid account", "illegal user", "bad recipient", "bad destination", "bad address", "malformed address",
			"not our user", "not our customer", "not a valid", "isn't a valid", "is not valid", "no longer on server", "no longer available", "no longer exists", "no longer employed",
			"no longer with", "host unknown", "unknown host", "domain not found", "unknown domain", "recipient domain", "not known", "not listed", "not have an account", "doesn't have a", "does not have a",
			"unrouteable address", "unroutable address", "undeliverable address", "address invalid", "recipient invalid", "no user", "no valid recipients", "no recipients",
			"unable to find", "cannot find", "could not find", "has moved", "moved to", "user reject", "recipient rejected", "recipient reject",
			"delivery to*not possible", "not found", "address no longer", "no one by", "not recognized", "can't find",
		}},
	}
}

// byEnhancedCode: RFC 3463 and the IANA registry.
func byEnhancedCode() []rule {
	return []rule{
		{name: "policy-text", category: Policy, text: []string{
			"policy", "policies", "not allowed", "denied", "your region", "not permitted", "not authorized", "unauthorized", "restricted", "prohibit", "not welcome", "refused by",
		}},
		{name: "sender", category: Policy, enhanced: "x.1.7 x.1.8 x.1.9"},
		{name: "destination", category: InvalidRecipient, enhanced: "x.1.0 x.1.2 x.1.4 x.1.6 x.1.10"},
		{name: "no-mail-host", category: InvalidRecipient, codes: "521 556", enhanced: "x.3.2"},
		{name: "x.2.1", category: Inactive, enhanced: "x.2.1"},
		{name: "x.2.2", category: MailboxFull, enhanced: "x.2.2"},
		{name: "size-code", category: Size, enhanced: "x.2.3 x.3.4"},
		{name: "x.2.0", category: Policy, enhanced: "5.2.0"},
		{name: "x.4.5", category: RateLimit, enhanced: "x.4.5"},
		{name: "x.3", category: System, enhanced: "x.3.*"},
		{name: "x.4", category: Routing, enhanced: "x.4.*"},
		{name: "recipients", category: RateLimit, enhanced: "x.5.3"},
		{name: "x.5", category: Protocol, enhanced: "x.5.*"},
		{name: "x.6", category: Protocol, enhanced: "x.6.*"},
	}
}

// byCode: RFC 5321 section 4.2, RFC 7504.
func byCode() []rule {
	return []rule{
		{name: "null-mx", category: InvalidRecipient, codes: "556"},
		{name: "system-text", category: System, text: []string{"system full", "system error", "transaction failed", "internal error", "server error", "try again", "try later", "not accepting", "local error", "disk full", "insufficient system"}},
		{name: "syntax", category: Protocol, codes: "500 501 502 503 504 523 555"},
		{name: "authentication", category: Authentication, codes: "530"},
		{name: "system", category: System, codes: "421 451 452 521"},
	}
}
