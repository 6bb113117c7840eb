package submission

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// draft is what is known of a message when its content has arrived.
type draft struct {
	*transaction
	server *Server
	origin origin
}

// origin is what the trace field tells of the submitting client.
type origin struct {
	// greeted is the name that the client gave.
	greeted string
	address netip.Addr
	// protocol is the keyword of RFC 3848, or of RFC 6531 section 4.3.
	protocol string
}

// compose checks what was received and completes it (RFC 6409 section 8).
func (d *draft) compose(b *body) (*queue.Submission, error) {
	if !bytes.HasSuffix(b.octets, []byte("\r\n")) { // BDAT may end anywhere
		b.octets = append(b.octets, '\r', '\n')
	}
	message := b.octets[b.start:]
	if err := checkContent(message); err != nil {
		return nil, err
	}
	h, err := parseHeader(message)
	if err != nil {
		return nil, err
	}
	if h.count("Received") > maxReceived {
		return nil, refuse(554, smtp.EnhancedCode{5, 4, 6}, reasonHeader, "more than %d Received fields: a mail loop", maxReceived)
	}
	from, err := checkSenders(h, d.sender, d.envelope.From.Domain())
	if err != nil {
		return nil, err
	}
	now := d.server.now()
	wishes, err := parseControls(h, d.sender, now)
	if err != nil {
		return nil, err
	}
	if err := d.checkBulk(h, message, wishes.stream, now); err != nil {
		return nil, err
	}
	if err := d.server.refuseSuppressed(d.sender.tenant, wishes.stream, d.recipients); err != nil {
		return nil, err
	}
	m, err := d.message(wishes, from, now)
	if err != nil {
		return nil, err
	}
	m.Envelope.EightBit = hasEightBit(message)
	m.Envelope.WaiveTLS = !m.Envelope.RequireTLS && h.waivesTLS()
	complete := b.prepend(h, d.header(h, m))
	m.Size = int64(len(complete))
	return &queue.Submission{Message: m, Recipients: d.recipients, Body: complete}, nil
}

func (d *draft) message(wishes controls, from mail.Domain, now time.Time) (queue.Message, error) {
	expires, err := d.expires(wishes, now)

	m := queue.Message{
		ID: queue.NewID(now), Envelope: d.envelope,
		Tenant: d.sender.tenant.Name, Stream: wishes.stream.Name,
		Campaign: wishes.campaign, Tags: wishes.tags, Metadata: wishes.metadata,
		HeaderFrom: from, Pool: wishes.pool, Track: wishes.track, Measure: wishes.measure, UTM: wishes.utm.String(), Accepted: now, NotBefore: wishes.sendAt,
		Expires: expires,
	}
	return m, err
}

// checkSenders returns the domain of the header From. Every mailbox in From
// and Sender must be one that the sender may use. Where any is allowed, a From
// that cannot be read is no obstacle.
func checkSenders(h header, who sender, envelope mail.Domain) (mail.Domain, error) {
	if n := h.count("From"); n != 1 {
		return "", badHeader("the message has %d From fields, it must have one", n)
	}
	if h.count("Sender") > 1 {
		return "", badHeader("the message has more than one Sender field")
	}
	from := envelope
	for _, f := range h.fields {
		if !f.is("From") && !f.is("Sender") {
			continue
		}
		domain, err := checkMailboxes(f, who)
		if err != nil {
			return "", err
		}
		if f.is("From") && domain != "" {
			from = domain
		}
	}
	return from, nil
}

func checkMailboxes(f field, who sender) (mail.Domain, error) {
	mailboxes, err := parseMailboxes(f.unfolded())
	switch {
	case (err != nil || len(mailboxes) == 0) && who.any:
		return "", nil
	case err != nil:
		return "", badHeader("%s cannot be read: %s", f.name, err)
	case len(mailboxes) == 0:
		return "", badHeader("%s holds no mailbox", f.name)
	}
	for _, mailbox := range mailboxes {
		if !who.may(mailbox.Domain()) {
			return "", notAllowed("header "+string(f.name), mailbox.Domain())
		}
	}
	return mailboxes[0].Domain(), nil
}

// header returns the complete header of a message: what is added, then all
// that is kept.
func (d *draft) header(h header, m queue.Message) []byte {
	out := make([]byte, 0, headroom)
	out = d.received(out, m)
	if !h.has("Date") {
		out = append(out, "Date: "...)
		out = m.Accepted.UTC().AppendFormat(out, time.RFC1123Z)
		out = append(out, "\r\n"...)
	}
	if !h.has("Message-ID") {
		out = append(out, "Message-ID: <"+m.ID.String()+"@"+d.server.options.Hostname+">\r\n"...)
	}
	for _, f := range h.fields {
		if !dropped(f) {
			out = append(out, f.raw...)
		}
	}
	return append(out, "\r\n"...)
}

// dropped reports fields that recipients must not see, that are ours, or that
// are written anew.
func dropped(f field) bool {
	switch {
	case f.is("Bcc"), f.is("Resent-Bcc"), f.is("Return-Path"), isControl(f), isVendors(f):
		return true
	case f.is("Date"), f.is("Message-ID"):
		return len(bytes.TrimSpace(f.value)) == 0
	}
	return false
}

// received appends the trace field (RFC 5321 section 4.4). It never names a
// recipient, of whom there may be many.
func (d *draft) received(out []byte, m queue.Message) []byte {
	out = append(out, "Received: "...)
	if !d.sender.tenant.HideClient {
		out = append(out, "from "+greetedAs(d.origin.greeted)...)
		if d.origin.address.IsValid() {
			out = append(out, " ("+literal(d.origin.address)+")"...)
		}
		out = append(out, "\r\n\t"...)
	}
	out = append(out, "by "+d.server.options.Hostname+" with "+d.origin.protocol+" id "+m.ID.String()+";\r\n\t"...)
	out = m.Accepted.UTC().AppendFormat(out, time.RFC1123Z)
	return append(out, "\r\n"...)
}

func greetedAs(name string) string {
	domain, err := mail.ParseDomain(name)
	if err != nil {
		return "unknown"
	}
	return string(domain)
}

func literal(address netip.Addr) string {
	if address.Is6() {
		return "[IPv6:" + address.String() + "]"
	}
	return "[" + address.String() + "]"
}

// prepend puts the complete header in front of the content, into the room
// that was kept there: the content does not move.
func (b *body) prepend(h header, complete []byte) []byte {
	content := len(b.octets) - len(h.content)
	begin := content - len(complete)
	if begin < 0 {
		return append(complete, h.content...)
	}
	copy(b.octets[begin:], complete)
	return b.octets[begin:]
}
