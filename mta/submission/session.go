package submission

import (
	"io"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
)

// Limits of RFC 3461 sections 4.2 and 4.4.
const (
	maxEnvelopeID = 100
	maxOriginal   = 500
)

// session executes the commands of one client for go-smtp. STARTTLS begins a
// new one.
type session struct {
	peer  *peer
	conn  *smtp.Conn
	login string // the credential's user name; empty before AUTH
	hash  string // the password hash that login was verified with
	tx    *transaction
}

// transaction is what lies between MAIL and the end of the message.
type transaction struct {
	sender     sender
	envelope   mail.Envelope
	recipients []mail.Recipient
	seen       map[mail.Address]struct{}
	body       *body // reserved by DATA or BDAT
	chunked    bool  // BDAT has begun
}

// sender is who submits, and what they may.
type sender struct {
	tenant  account.Tenant
	domains []mail.Domain
	any     bool
	// vendors are those whose control headers are understood.
	vendors []string
}

func (s sender) may(domain mail.Domain) bool {
	return s.any || account.Credential{FromDomains: s.domains}.MaySend(domain)
}

var _ smtp.AuthSession = (*session)(nil)

// answer makes err a reply of go-smtp's and counts it. The result must stay an
// untyped nil for no error.
func (s *session) answer(err error) error {
	if err == nil {
		return nil
	}
	refused := asRefusal(err)
	s.peer.metrics.refused(refused)
	if refused.cause != nil {
		s.peer.logStorage(refused.cause)
	}
	return refused.reply()
}

// Reset ends the transaction.
func (s *session) Reset() {
	if s.tx != nil {
		s.tx.body.release()
	}
	s.tx = nil
}

// Logout is called when the connection ends or turns to TLS.
func (s *session) Logout() error { return nil }

// Mail begins a transaction.
func (s *session) Mail(_ string, options *smtp.MailOptions) error {
	return s.answer(s.mail(options))
}

func (s *session) mail(options *smtp.MailOptions) error {
	if s.tx != nil {
		return refuse(503, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "a transaction is already open")
	}
	if s.peer.messages >= s.peer.limits.Messages {
		return refuse(421, smtp.EnhancedCode{4, 7, 0}, reasonLimit, "enough messages on one connection, connect again")
	}
	who, err := s.sender()
	if err != nil {
		return err
	}
	from, err := parsePath(s.peer.argument, options.UTF8, smtp.EnhancedCode{5, 1, 7})
	if err != nil {
		return err
	}
	if !from.IsZero() && !who.may(from.Domain()) {
		return notAllowed("MAIL FROM", from.Domain())
	}
	if len(options.EnvelopeID) > maxEnvelopeID {
		return refuse(501, smtp.EnhancedCode{5, 5, 4}, reasonSyntax, "ENVID longer than %d characters", maxEnvelopeID)
	}
	s.tx = &transaction{
		sender: who,
		envelope: mail.Envelope{
			From: from, SMTPUTF8: options.UTF8, RequireTLS: options.RequireTLS, Return: string(options.Return), ID: options.EnvelopeID,
		},
		seen: make(map[mail.Address]struct{}, 1),
	}
	return nil
}

func notAllowed(where string, domain mail.Domain) *refusal {
	return refuse(550, smtp.EnhancedCode{5, 7, 1}, reasonPolicy, "%s: %s is not a domain that you may send from", where, domain)
}

// sender asks the directory anew, so that what was withdrawn is withdrawn at
// once.
func (s *session) sender() (sender, error) {
	if receiver := s.peer.server.options.Receiver; receiver != nil {
		return sender{any: true}, receiver.Sender(s.peer.address)
	}
	accounts := s.peer.server.state.Load().accounts
	who := sender{domains: s.peer.listener.FromDomains, any: s.peer.listener.AnyFrom}
	name := s.peer.listener.Tenant
	switch {
	case s.login != "":
		credential, ok := accounts.Credential(s.login)
		if !ok || credential.PasswordHash != s.hash {
			return sender{}, refuse(421, smtp.EnhancedCode{4, 7, 0}, reasonAuth, "the credential has changed, log in again")
		}
		who = sender{domains: credential.FromDomains, vendors: credential.VendorHeaders}
		name = credential.Tenant
	case !s.peer.trusted || s.peer.listener.RequireAuth:
		return sender{}, refuse(530, smtp.EnhancedCode{5, 7, 0}, reasonAuth, "authentication required")
	}
	tenant, ok := accounts.Tenant(name)
	if !ok {
		return sender{}, refuse(451, smtp.EnhancedCode{4, 3, 5}, reasonPolicy, "the account is not set up, try again later")
	}
	who.tenant = tenant
	return who, nil
}

// parsePath reads the mailbox as the client wrote it. detail is the enhanced
// code of bad syntax.
func parsePath(argument string, utf8 bool, detail smtp.EnhancedCode) (mail.Address, error) {
	text := path(argument)
	if text == "" {
		return mail.Address{}, nil
	}
	if !utf8 && strings.ContainsFunc(text, func(r rune) bool { return r > '~' }) {
		return mail.Address{}, refuse(553, smtp.EnhancedCode{5, 6, 7}, reasonSyntax, "an address outside ASCII needs SMTPUTF8")
	}
	address, err := mail.ParseAddress(text)
	if err != nil {
		return mail.Address{}, refuse(501, detail, reasonSyntax, "bad mailbox: %s", err)
	}
	return address, nil
}

// Rcpt adds a recipient.
func (s *session) Rcpt(_ string, options *smtp.RcptOptions) error {
	return s.answer(s.rcpt(options))
}

func (s *session) rcpt(options *smtp.RcptOptions) error {
	switch {
	case s.tx == nil:
		return refuse(503, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "MAIL comes first")
	case s.tx.chunked:
		return refuse(503, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "RCPT is not allowed after BDAT")
	}
	address, err := parsePath(s.peer.argument, s.tx.envelope.SMTPUTF8, smtp.EnhancedCode{5, 1, 3})
	if err != nil {
		return err
	}
	if address.IsZero() {
		return refuse(501, smtp.EnhancedCode{5, 1, 3}, reasonSyntax, "bad mailbox: empty")
	}
	if _, again := s.tx.seen[address]; again {
		return nil
	}
	if len(s.tx.recipients) >= s.peer.limits.Recipients {
		return refuse(452, smtp.EnhancedCode{4, 5, 3}, reasonLimit, "no more than %d recipients a message", s.peer.limits.Recipients)
	}
	recipient, err := withNotification(address, options)
	if err != nil {
		return err
	}
	if err := s.peer.server.refuseRecipient(s.tx.sender.tenant, address); err != nil {
		return err
	}
	s.tx.seen[address] = struct{}{}
	s.tx.recipients = append(s.tx.recipients, recipient)
	return nil
}

// withNotification keeps what RFC 3461 lets a client ask for.
func withNotification(address mail.Address, options *smtp.RcptOptions) (mail.Recipient, error) {
	recipient := mail.Recipient{
		Address:      address,
		OriginalType: strings.ToLower(string(options.OriginalRecipientType)),
		Original:     options.OriginalRecipient,
	}
	if len(recipient.Original) > maxOriginal {
		return recipient, refuse(501, smtp.EnhancedCode{5, 5, 4}, reasonSyntax, "ORCPT longer than %d characters", maxOriginal)
	}
	if len(options.Notify) == 0 {
		return recipient, nil
	}
	words := make([]string, len(options.Notify))
	for i, word := range options.Notify {
		words[i] = string(word)
	}
	notify, err := mail.ParseNotify(strings.Join(words, ","))
	if err != nil {
		return recipient, refuse(501, smtp.EnhancedCode{5, 5, 4}, reasonSyntax, "%s", err)
	}
	recipient.Notify = notify
	return recipient, nil
}

// ready reports whether a message may follow.
func (s *session) ready() bool { return s.tx != nil && len(s.tx.recipients) > 0 }

// reserve takes memory for the body.
func (s *session) reserve() *refusal {
	if s.tx.body != nil {
		return nil
	}
	if s.tx.body = s.peer.server.buffers.lend(); s.tx.body == nil {
		return noMemory()
	}
	return nil
}

// Data receives the message that follows DATA. It reads beside go-smtp, which
// is left with an end of data to find.
func (s *session) Data(io.Reader) error {
	defer func() { s.peer.wire.line = []byte(".\r\n") }()
	limits := s.peer.limits
	err := s.peer.wire.readDotted(s.tx.body, limits.MessageSize, limits.Drain, s.peer.tooLarge())
	if err != nil {
		return s.answer(err)
	}
	done, err := s.submit(s.tx.body)
	if err != nil {
		return s.answer(err)
	}
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: done}
}

// submit turns the body into a submission and hands it to the store, or to the
// Receiver where there is one. It returns what to say of it.
func (s *session) submit(b *body) (done string, err error) {
	if s.peer.server.options.Receiver != nil {
		return "received", s.receive(b)
	}
	submission, err := s.draft().compose(b)
	if err != nil {
		return "", err
	}
	if err := s.peer.server.accept(s.peer.server.background, s.tx.sender.tenant, submission); err != nil {
		return "", err
	}
	s.peer.taken(submission.Message.Size)
	return "queued as " + submission.Message.ID.String(), nil
}

func (s *session) draft() *draft {
	return &draft{
		transaction: s.tx, server: s.peer.server,
		origin: origin{greeted: s.conn.Hostname(), address: s.peer.address, protocol: s.protocol()},
	}
}

// protocol is the keyword of RFC 3848, or of RFC 6531 section 4.3.
func (s *session) protocol() string {
	var b strings.Builder
	switch {
	case !s.peer.extended:
		return "SMTP"
	case s.tx.envelope.SMTPUTF8:
		b.WriteString("UTF8SMTP")
	default:
		b.WriteString("ESMTP")
	}
	if s.peer.secure {
		b.WriteByte('S')
	}
	if s.login != "" {
		b.WriteByte('A')
	}
	return b.String()
}
