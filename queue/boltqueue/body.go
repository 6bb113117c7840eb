package boltqueue

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// readBody returns the body in the accept record at a position.
func (s *Store) readBody(at journal.Position) ([]byte, error) {
	record, err := s.journal.ReadAt(at)
	switch {
	case errors.Is(err, journal.ErrDamaged), errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", queue.ErrDamaged, err)
	case err != nil:
		return nil, err
	}
	_, body, err := splitAcceptance(record.Payload)
	if err != nil || record.Kind != kindAccept && record.Kind != kindCopy {
		return nil, fmt.Errorf("%w: no body at %s", queue.ErrDamaged, at)
	}
	return body, nil
}
