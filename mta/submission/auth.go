package submission

import (
	"bytes"
	"errors"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const mechanismLogin = "LOGIN"

// AuthMechanisms offers nothing where a password could be overheard.
func (s *session) AuthMechanisms() []string {
	if !s.peer.mayLogIn() {
		return nil
	}
	return []string{sasl.Plain, mechanismLogin}
}

// mayLogIn reports that nobody listens: TLS, this machine, or a network that
// the operator trusts. A Receiver has nobody log in.
func (p *peer) mayLogIn() bool {
	return p.server.options.Receiver == nil && (p.secure || p.local || p.trusted)
}

// Auth begins a login (RFC 4954).
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	switch {
	case s.tx != nil:
		return nil, s.answer(refuse(503, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "AUTH is not allowed in a transaction"))
	case s.peer.server.options.Receiver != nil:
		return nil, s.answer(refuse(502, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "nobody logs in here"))
	case !s.peer.mayLogIn():
		return nil, s.answer(refuse(538, smtp.EnhancedCode{5, 7, 11}, reasonAuth, "AUTH needs TLS"))
	case mechanism == sasl.Plain:
		return answering{s, plain{s}}, nil
	case mechanism == mechanismLogin:
		return answering{s, &loginMechanism{session: s}}, nil
	}
	return nil, s.answer(refuse(504, smtp.EnhancedCode{5, 5, 4}, reasonAuth, "mechanisms are PLAIN and LOGIN"))
}

// answering makes the errors of a mechanism replies.
type answering struct {
	session *session
	server  sasl.Server
}

func (a answering) Next(response []byte) (challenge []byte, done bool, err error) {
	challenge, done, err = a.server.Next(response)
	return challenge, done, a.session.answer(err)
}

// plain is RFC 4616.
type plain struct{ session *session }

func (p plain) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil {
		return nil, false, nil
	}
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 {
		return nil, false, badResponse()
	}
	if len(parts[0]) > 0 && !bytes.Equal(parts[0], parts[1]) {
		return nil, false, wrongPassword()
	}
	return nil, true, p.session.logIn(string(parts[1]), string(parts[2]))
}

func badResponse() *refusal {
	return refuse(501, smtp.EnhancedCode{5, 5, 2}, reasonSyntax, "malformed response")
}

func wrongPassword() *refusal {
	return refuse(535, smtp.EnhancedCode{5, 7, 8}, reasonAuth, "wrong user name or password")
}

// loginMechanism is draft-murchison-sasl-login: two questions whose text
// clients expect to be this.
type loginMechanism struct {
	session  *session
	username []byte
}

func (l *loginMechanism) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil:
		return []byte("Username:"), false, nil
	case l.username == nil && len(response) == 0:
		return nil, false, badResponse()
	case l.username == nil:
		l.username = response
		return []byte("Password:"), false, nil
	}
	return nil, true, l.session.logIn(string(l.username), string(response))
}

// logIn verifies, and slows and counts those who guess.
func (s *session) logIn(username, password string) error {
	p := s.peer
	if p.server.failures.blocked(p.address, p.limits, time.Now()) {
		p.metrics.authFailures.WithLabelValues(authBlocked).Inc()
		return refuse(421, smtp.EnhancedCode{4, 7, 0}, reasonAuth, "too many failed logins from your address, try again later")
	}
	credential, known := p.server.state.Load().accounts.Credential(username)
	credential.Username = username
	err := p.server.verifier.verify(p.server.background, credential, known, password, p.limits.AuthWait)
	switch {
	case err == nil:
		s.login, s.hash = username, credential.PasswordHash
		return nil
	case errors.Is(err, errBusy):
		p.metrics.authFailures.WithLabelValues(authBusy).Inc()
		return refuse(454, smtp.EnhancedCode{4, 7, 0}, reasonAuth, "too many logins at once, try again")
	case errors.Is(err, errWrong):
		return s.loginFailed()
	}
	p.metrics.authFailures.WithLabelValues(authBroken).Inc()
	p.server.logger.Error("credential cannot be verified", "tenant", credential.Tenant, "error", err)
	return refuse(454, smtp.EnhancedCode{4, 7, 0}, reasonAuth, "the credential cannot be verified now")
}

func (s *session) loginFailed() error {
	p := s.peer
	p.metrics.authFailures.WithLabelValues(authPassword).Inc()
	p.authFailures++
	p.server.failures.add(p.address, p.limits, time.Now())
	p.server.logger.Warn("login failed", "listener", p.listener.Name, "client", p.address)
	select {
	case <-time.After(p.limits.AuthDelay):
	case <-p.server.background.Done():
	}
	if p.authFailures >= p.limits.AuthFailures {
		return refuse(421, smtp.EnhancedCode{4, 7, 0}, reasonAuth, "too many failed logins, closing the connection")
	}
	return wrongPassword()
}
