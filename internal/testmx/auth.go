package testmx

import (
	"encoding/base64"
	"strings"
)

// authenticate answers AUTH PLAIN and AUTH LOGIN (RFC 4954).
func (s *session) authenticate(argument string) error {
	fault := s.server.rules.fault(AUTH)
	if done, err := s.answer(fault); done {
		return err
	}
	mechanism, initial, _ := strings.Cut(argument, " ")
	var user, password string
	var err error
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		user, password, err = s.plain(initial)
	case "LOGIN":
		user, password, err = s.login()
	default:
		return s.reply(nil, "504 5.5.4 unknown mechanism")
	}
	if err != nil {
		return err
	}
	if known, ok := s.server.options.Accounts[user]; !ok || known != password {
		return s.reply(fault, "535 5.7.8 wrong user name or password")
	}
	s.user = user
	return s.reply(fault, "235 2.7.0 welcome")
}

func (s *session) plain(initial string) (user, password string, err error) {
	if initial == "" {
		if initial, err = s.ask(""); err != nil {
			return "", "", err
		}
	}
	parts := strings.Split(decode(initial), "\x00")
	if len(parts) != 3 {
		return "", "", nil
	}
	return parts[1], parts[2], nil
}

func (s *session) login() (user, password string, err error) {
	if user, err = s.ask("VXNlcm5hbWU6"); err != nil {
		return "", "", err
	}
	if password, err = s.ask("UGFzc3dvcmQ6"); err != nil {
		return "", "", err
	}
	return decode(user), decode(password), nil
}

// ask sends a challenge and returns the response.
func (s *session) ask(challenge string) (string, error) {
	if err := s.reply(nil, "334 "+challenge); err != nil {
		return "", err
	}
	return s.line()
}

func decode(s string) string {
	decoded, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return ""
	}
	return string(decoded)
}
