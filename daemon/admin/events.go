package admin

import (
	"net/http"
	"strconv"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
)

// eventPage is how many events are read at a time.
const eventPage = 1_000

// events streams them from after a position to the end, or for as long as the
// client listens and the daemon runs.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.ParseUint(r.FormValue("after"), 10, 64)
	if err != nil {
		s.refuse(w, fail(http.StatusBadRequest, "after is not a position"))
		return
	}
	if after == api.Newest {
		if after, err = s.options.Events.Position(); err != nil {
			s.refuse(w, err)
			return
		}
	}
	follow, err := strconv.ParseBool(r.FormValue("follow"))
	if err != nil {
		s.refuse(w, fail(http.StatusBadRequest, "follow is not true or false"))
		return
	}
	lines := s.stream(w)
	write := func(records []event.Record) error {
		for _, record := range records {
			if err := lines.write(api.Record{Position: record.Position, Event: record.Event}); err != nil {
				return err
			}
		}
		return lines.flush()
	}
	if follow {
		lines.begin()
		_ = lines.flush() // the client learns at once that it is heard
		err = s.options.Events.Follow(r.Context(), after, write)
	} else {
		err = s.readEvents(r, after, write)
	}
	lines.end(r, err)
}

func (s *Server) readEvents(r *http.Request, after uint64, write func([]event.Record) error) error {
	for {
		records, err := s.options.Events.Read(r.Context(), after, eventPage)
		if err != nil || len(records) == 0 {
			return err
		}
		if err := write(records); err != nil {
			return err
		}
		after = records[len(records)-1].Position
	}
}
