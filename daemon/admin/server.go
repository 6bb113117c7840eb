// Package admin serves the operator: the control interface on a unix socket,
// whose file permissions are the credential, and metrics and health on a
// listener of their own.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
	"github.com/postrider-mta/postrider/privacy"
	"github.com/postrider-mta/postrider/queue"
)

// maxRequest bounds the body of a control request: a message to send is the
// largest, and it comes in base64.
const maxRequest = 64 << 20

// Store is what the operator asks of the queue; queue.Store has it.
type Store interface {
	Queues(ctx context.Context) ([]queue.Status, error)
	List(ctx context.Context, s queue.Selector, after string, limit int) ([]queue.Entry, string, error)
	Cancel(ctx context.Context, s queue.Selector, reason string) (int, error)
	Retry(ctx context.Context, s queue.Selector) (int, error)
	Hold(ctx context.Context, h queue.Hold) error
	Release(ctx context.Context, id queue.ID) (int, error)
	Holds(ctx context.Context) ([]queue.Hold, error)
	Stats() queue.Stats
}

// Events is the log that the operator reads.
type Events interface {
	Position() (uint64, error)
	Read(ctx context.Context, after uint64, limit int) ([]event.Record, error)
	Follow(ctx context.Context, after uint64, yield func([]event.Record) error) error
}

// Privacy does the duties of the law over every store of personal data.
type Privacy interface {
	Find(ctx context.Context, subject person.Subject) ([]privacy.Count, error)
	Export(ctx context.Context, subject person.Subject, yield func(holder string, record person.Record) error) error
	Rectify(ctx context.Context, subject person.Subject, to mail.Address) ([]privacy.Count, error)
	Erase(ctx context.Context, subject person.Subject) ([]privacy.Count, error)
}

// Options of a Server. All are required.
type Options struct {
	Store    Store
	Events   Events
	Privacy  Privacy
	Delivery Delivery
	// Suppressions say who is not mailed.
	Suppressions Suppressions
	// Consents say what readers allow to be measured.
	Consents Consents
	// Statistics tells what was counted.
	Statistics Statistics
	// Rates tells which shares of the mail bounced or were complained about.
	Rates Rates
	// TrackingDomains tells which tracking domains answer.
	TrackingDomains func() []api.TrackingDomain
	// Send hands in a message as submission would take it.
	Send func(ctx context.Context, request api.SendRequest) (id string, err error)
	// Reload reads the configuration again; on an error nothing has changed.
	Reload func(ctx context.Context) error
	// Ready returns nil while the daemon can accept mail.
	Ready    func() error
	Gatherer prometheus.Gatherer
	Version  string
	Started  time.Time
	Logger   *slog.Logger
}

// Server answers the operator.
type Server struct {
	options    Options
	maxRequest int64
}

// New returns a Server that listens nowhere yet: Control and Health are its
// handlers.
func New(options Options) *Server { return &Server{options: options, maxRequest: maxRequest} }

// Control is the handler for the unix socket.
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/version", s.answer(s.version))
	mux.Handle("GET /v1/queues", s.answer(s.queues))
	mux.Handle("GET /v1/sites", s.answer(s.sites))
	mux.Handle("GET /v1/sites/{site}", s.answer(s.site))
	mux.Handle("GET /v1/sites/{site}/trace", http.HandlerFunc(s.trace))
	mux.Handle("GET /v1/sources", s.answer(s.sources))
	mux.Handle("POST /v1/sources/lift", s.answer(s.liftSource))
	mux.Handle("GET /v1/throttles", s.answer(s.throttles))
	mux.Handle("POST /v1/throttles/lift", s.answer(s.lift))
	mux.Handle("POST /v1/why", s.answer(s.why))
	mux.Handle("GET /v1/diversions", s.answer(s.diversions))
	mux.Handle("POST /v1/diversions", s.answer(s.divert))
	mux.Handle("DELETE /v1/diversions/{id}", s.answer(s.endDiversion))
	mux.Handle("POST /v1/route", s.answer(s.route))
	mux.Handle("POST /v1/recipients", s.answer(s.recipients))
	mux.Handle("POST /v1/retry", s.answer(s.retry))
	mux.Handle("POST /v1/cancel", s.answer(s.cancel))
	mux.Handle("GET /v1/holds", s.answer(s.holds))
	mux.Handle("POST /v1/holds", s.answer(s.hold))
	mux.Handle("DELETE /v1/holds/{id}", s.answer(s.release))
	mux.Handle("GET /v1/totals", s.answer(s.totals))
	mux.Handle("GET /v1/stats", s.answer(s.stats))
	mux.Handle("GET /v1/rates", s.answer(s.rates))
	mux.Handle("GET /v1/tracking/domains", s.answer(s.trackingDomains))
	mux.Handle("POST /v1/messages", s.answer(s.send))
	mux.Handle("POST /v1/reload", s.answer(s.reload))
	mux.Handle("POST /v1/subjects/export", http.HandlerFunc(s.export))
	mux.Handle("POST /v1/subjects/{duty}", s.answer(s.subject))
	mux.Handle("POST /v1/suppressions", s.answer(s.suppress))
	mux.Handle("POST /v1/suppressions/check", s.answer(s.checkSuppression))
	mux.Handle("POST /v1/suppressions/remove", s.answer(s.unsuppress))
	mux.Handle("POST /v1/suppressions/list", s.answer(s.suppressions))
	mux.Handle("POST /v1/suppressions/export", http.HandlerFunc(s.exportSuppressions))
	mux.Handle("POST /v1/consents", s.answer(s.setConsent))
	mux.Handle("POST /v1/consents/check", s.answer(s.checkConsent))
	mux.Handle("POST /v1/consents/remove", s.answer(s.removeConsent))
	mux.Handle("POST /v1/consents/list", s.answer(s.consents))
	mux.Handle("POST /v1/consents/unopened", s.answer(s.unopened))
	mux.Handle("GET /v1/events", http.HandlerFunc(s.events))
	mux.Handle("/", s.answer(func(*http.Request) (any, error) {
		return nil, fail(http.StatusNotFound, "no such resource")
	}))
	// A list is read as it comes, and may be of any length.
	all := http.NewServeMux()
	all.Handle("POST /v1/suppressions/import", s.answer(s.importSuppressions))
	all.Handle("/", http.MaxBytesHandler(mux, s.maxRequest))
	return all
}

// Health is the handler for the metrics listener. It changes nothing and
// tells of nobody.
func (s *Server) Health() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.options.Gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.options.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	return mux
}

// answer turns a function of a request into a handler that speaks JSON.
func (s *Server) answer(respond func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := respond(r)
		if err != nil {
			s.refuse(w, err)
			return
		}
		writeJSON(w, http.StatusOK, body)
	})
}

func (s *Server) refuse(w http.ResponseWriter, err error) {
	var failure *api.Error
	switch {
	case errors.As(err, &failure):
	case errors.Is(err, queue.ErrNotFound):
		failure = fail(http.StatusNotFound, err.Error())
	case errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrUnavailable), errors.Is(err, queue.ErrClosed):
		failure = fail(http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, context.Canceled):
		// The client has gone, or the daemon stops: no fault to log.
		failure = fail(http.StatusServiceUnavailable, "cut short: "+err.Error())
	default:
		s.options.Logger.Error("admin request failed", "error", err)
		failure = fail(http.StatusInternalServerError, err.Error())
	}
	writeJSON(w, failure.Status, failure)
}

func fail(status int, message string) *api.Error {
	return &api.Error{Status: status, Message: message}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client may have gone: there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(body)
}

// decode reads the request's JSON: one value, in which unknown fields are
// mistakes.
func decode[Request any](r *http.Request) (Request, error) {
	var request Request
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&request)
	if err == nil {
		if _, err = decoder.Token(); err == nil {
			err = errors.New("there is more than one value")
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF) && decoder.InputOffset() > 0:
		return request, nil
	case errors.As(err, &large):
		return request, fail(http.StatusRequestEntityTooLarge, fmt.Sprintf("request body: it is larger than %d octets", large.Limit))
	default:
		return request, fail(http.StatusBadRequest, "request body: "+err.Error())
	}
}

func (s *Server) version(*http.Request) (any, error) {
	return api.Version{Version: s.options.Version, Go: runtime.Version(), Started: s.options.Started}, nil
}

func (s *Server) reload(r *http.Request) (any, error) {
	if err := s.options.Reload(r.Context()); err != nil {
		return nil, fail(http.StatusUnprocessableEntity, err.Error())
	}
	return struct{}{}, nil
}

func (s *Server) send(r *http.Request) (any, error) {
	request, err := decode[api.SendRequest](r)
	if err != nil {
		return nil, err
	}
	id, err := s.options.Send(r.Context(), request)
	if err != nil {
		return nil, err
	}
	return api.Sent{Message: id}, nil
}
