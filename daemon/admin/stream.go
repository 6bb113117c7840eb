package admin

import (
	"encoding/json"
	"net/http"
	"time"
)

// stallLimit is how long a stream waits for a client that does not read: what
// it reads from is held meanwhile.
const stallLimit = time.Minute

// stream is an answer of JSON objects, one a line, that may take long.
type stream struct {
	server     *Server
	w          http.ResponseWriter
	controller *http.ResponseController
	encoder    *json.Encoder
	begun      bool
}

func (s *Server) stream(w http.ResponseWriter) *stream {
	return &stream{server: s, w: w, controller: http.NewResponseController(w), encoder: json.NewEncoder(w)}
}

// begin answers that the request is good.
func (s *stream) begin() {
	s.begun = true
	if s.w.Header().Get("Content-Type") == "" {
		s.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	// Its deadline must not reach the next request.
	s.w.Header().Set("Connection", "close")
	s.w.WriteHeader(http.StatusOK)
}

// Write adds octets of a list that is not JSON a line.
func (s *stream) Write(octets []byte) (int, error) {
	if !s.begun {
		s.begin()
	}
	s.extend()
	return s.w.Write(octets)
}

// write adds a line. It reaches the client with the next flush at the latest.
func (s *stream) write(value any) error {
	if !s.begun {
		s.begin()
	}
	s.extend()
	return s.encoder.Encode(value)
}

func (s *stream) flush() error {
	s.extend()
	return s.controller.Flush()
}

// extend gives the client time again. A connection without deadlines, as tests
// have, waits for ever.
func (s *stream) extend() { _ = s.controller.SetWriteDeadline(time.Now().Add(stallLimit)) }

// end closes the answer. One that is not whole must not look so: it is refused
// while there is none, and broken off else.
func (s *stream) end(r *http.Request, err error) {
	switch {
	case err == nil && !s.begun:
		s.begin()
	case err == nil:
	case !s.begun:
		s.server.refuse(s.w, err)
	default:
		if r.Context().Err() == nil {
			s.server.options.Logger.Warn("answer broken off", "path", r.URL.Path, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}
