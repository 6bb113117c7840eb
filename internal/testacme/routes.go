package testacme

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// The states of orders and authorizations (RFC 8555 section 7.1.6).
const (
	pending = "pending"
	ready   = "ready"
	valid   = "valid"
	invalid = "invalid"
)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /directory", func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, http.StatusOK, map[string]any{
			"newNonce": s.base + "/nonce", "newAccount": s.base + "/account", "newOrder": s.base + "/order",
			"revokeCert": s.base + "/revoke", "keyChange": s.base + "/key",
			"meta": map[string]any{"termsOfService": s.base + "/terms"},
		})
	})
	mux.HandleFunc("/nonce", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Replay-Nonce", s.nonce())
	})
	mux.HandleFunc("POST /account", s.signed(s.newAccount))
	mux.HandleFunc("POST /order", s.signed(s.newOrder))
	mux.HandleFunc("POST /order/{order}", s.signed(s.ofOrder(s.showOrder)))
	mux.HandleFunc("POST /authorization/{order}", s.signed(s.ofOrder(s.showAuthorization)))
	mux.HandleFunc("POST /challenge/{order}/{kind}", s.signed(s.ofOrder(s.challenge)))
	mux.HandleFunc("POST /finalize/{order}", s.signed(s.ofOrder(s.finalize)))
	mux.HandleFunc("POST /certificate/{order}", s.signed(s.ofOrder(s.certificate)))
	return mux
}

type handler func(w http.ResponseWriter, r *http.Request, q *request)

func (s *Server) signed(do handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q, wrong := s.read(r)
		if wrong != nil {
			s.answer(w, 0, wrong)
			return
		}
		do(w, r, q)
	}
}

func (s *Server) ofOrder(do func(w http.ResponseWriter, r *http.Request, q *request, o *order)) handler {
	return func(w http.ResponseWriter, r *http.Request, q *request) {
		number, err := strconv.Atoi(r.PathValue("order"))
		var o *order
		s.change(func() {
			if err == nil && number < len(s.orders) && s.orders[number].account == q.account {
				o = s.orders[number]
			}
		})
		if o == nil {
			s.answer(w, 0, fail(http.StatusNotFound, "malformed", "no such order of yours"))
			return
		}
		do(w, r, q, o)
	}
}

func (s *Server) newAccount(w http.ResponseWriter, _ *http.Request, q *request) {
	var wish struct {
		Agreed   bool `json:"termsOfServiceAgreed"`
		Existing bool `json:"onlyReturnExisting"`
	}
	if json.Unmarshal(q.payload, &wish) != nil {
		s.answer(w, 0, fail(http.StatusBadRequest, "malformed", "account"))
		return
	}
	location, status := "", http.StatusOK
	s.change(func() {
		for url, key := range s.accounts {
			if key.Equal(q.key) {
				location = url
			}
		}
		if location == "" && !wish.Existing && wish.Agreed {
			location, status = fmt.Sprintf("%s/account/%d", s.base, len(s.accounts)), http.StatusCreated
			s.accounts[location] = q.key
		}
	})
	switch {
	case location != "":
		w.Header().Set("Location", location)
		s.answer(w, status, map[string]any{"status": valid, "orders": location + "/orders"})
	case wish.Existing:
		s.answer(w, 0, fail(http.StatusBadRequest, "accountDoesNotExist", "no account"))
	default:
		s.answer(w, 0, fail(http.StatusForbidden, "userActionRequired", "agree to the terms"))
	}
}

func (s *Server) newOrder(w http.ResponseWriter, r *http.Request, q *request) {
	var wish struct {
		Identifiers []struct{ Type, Value string } `json:"identifiers"`
	}
	if json.Unmarshal(q.payload, &wish) != nil || len(wish.Identifiers) != 1 || wish.Identifiers[0].Type != "dns" || q.account == "" {
		s.answer(w, 0, fail(http.StatusBadRequest, "malformed", "order"))
		return
	}
	o := &order{account: q.account, host: wish.Identifiers[0].Value, status: pending, authorized: pending, tokens: map[string]string{}}
	for _, kind := range []string{tlsALPN, http01} {
		o.tokens[kind] = rand.Text()
	}
	var refused bool
	s.change(func() {
		s.asked[o.host]++
		refused = s.refuse
		o.number = len(s.orders)
		s.orders = append(s.orders, o)
	})
	if refused {
		s.answer(w, 0, fail(http.StatusForbidden, "rejectedIdentifier", "not today"))
		return
	}
	w.Header().Set("Location", fmt.Sprintf("%s/order/%d", s.base, o.number))
	s.answer(w, http.StatusCreated, s.order(o))
}

// order is one as the protocol writes it.
func (s *Server) order(o *order) map[string]any {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	shown := map[string]any{
		"status":         o.status,
		"identifiers":    []any{map[string]string{"type": "dns", "value": o.host}},
		"authorizations": []string{fmt.Sprintf("%s/authorization/%d", s.base, o.number)},
		"finalize":       fmt.Sprintf("%s/finalize/%d", s.base, o.number),
	}
	if o.status == valid {
		shown["certificate"] = fmt.Sprintf("%s/certificate/%d", s.base, o.number)
	}
	return shown
}

func (s *Server) showOrder(w http.ResponseWriter, _ *http.Request, _ *request, o *order) {
	w.Header().Set("Location", fmt.Sprintf("%s/order/%d", s.base, o.number))
	s.answer(w, http.StatusOK, s.order(o))
}

func (s *Server) showAuthorization(w http.ResponseWriter, _ *http.Request, _ *request, o *order) {
	var challenges []any
	for kind := range o.tokens {
		challenges = append(challenges, s.shown(o, kind))
	}
	var status string
	s.change(func() { status = o.authorized })
	s.answer(w, http.StatusOK, map[string]any{
		"status": status, "identifier": map[string]string{"type": "dns", "value": o.host}, "challenges": challenges,
	})
}

// shown is a challenge as the protocol writes it.
func (s *Server) shown(o *order, kind string) map[string]any {
	var status string
	s.change(func() { status = o.authorized })
	return map[string]any{
		"type": kind, "status": status, "token": o.tokens[kind],
		"url": fmt.Sprintf("%s/challenge/%d/%s", s.base, o.number, kind),
	}
}

// challenge validates before it answers.
func (s *Server) challenge(w http.ResponseWriter, r *http.Request, q *request, o *order) {
	kind := r.PathValue("kind")
	err := s.validate(r.Context(), q.key, kind, o)
	s.change(func() {
		if err != nil {
			o.authorized, o.status = invalid, invalid
			return
		}
		o.authorized, o.status = valid, ready
		s.validated[kind]++
	})
	s.answer(w, http.StatusOK, s.shown(o, kind))
}

func (s *Server) finalize(w http.ResponseWriter, _ *http.Request, q *request, o *order) {
	var wish struct{ CSR string }
	var status string
	s.change(func() { status = o.status })
	if json.Unmarshal(q.payload, &wish) != nil || status != ready {
		s.answer(w, 0, fail(http.StatusForbidden, "orderNotReady", "it is %s", status))
		return
	}
	der, err := decode(wish.CSR)
	if err != nil {
		s.answer(w, 0, fail(http.StatusBadRequest, "badCSR", "base64"))
		return
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || csr.CheckSignature() != nil || len(csr.DNSNames) != 1 || csr.DNSNames[0] != o.host {
		s.answer(w, 0, fail(http.StatusBadRequest, "badCSR", "not for %s", o.host))
		return
	}
	chain, err := s.authority.issue(csr)
	if err != nil {
		s.answer(w, 0, fail(http.StatusInternalServerError, "serverInternal", "%v", err))
		return
	}
	s.change(func() {
		o.chain, o.status = chain, valid
		s.issued[o.host]++
	})
	w.Header().Set("Location", fmt.Sprintf("%s/order/%d", s.base, o.number))
	s.answer(w, http.StatusOK, s.order(o))
}

func (s *Server) certificate(w http.ResponseWriter, _ *http.Request, _ *request, o *order) {
	w.Header().Set("Replay-Nonce", s.nonce())
	w.Header().Set("Content-Type", "application/pem-certificate-chain")
	_, _ = w.Write(o.chain)
}
