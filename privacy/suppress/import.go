package suppress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Import says whose list it is that is read, and what its lines leave out.
type Import struct {
	Format Format
	// Tenant that the entries are kept for, or AllTenants.
	Tenant string
	// Stream and Reason of lines without; Manual if Reason is empty.
	Stream string
	Reason Reason
}

// Imported is what became of a list.
type Imported struct {
	// Added entries and those that were Known: they stayed as they were.
	Added, Known int
	// Expired before they came; nothing is kept of them.
	Expired int
	// Refused lines; Problems tells of the first ones.
	Refused  int
	Problems []Problem
}

// Problem is what is wrong with a line.
type Problem struct {
	Line int
	Err  error
}

const (
	maxProblems = 20
	// importBatch is how many entries are written in one transaction.
	importBatch = 50_000
)

// Import adds the entries of a list, in parts that are durable one by one. A
// line that cannot be kept is counted and passed over. Done again, all of
// them are known. After an error what it returns was done before.
func (s *Store) Import(ctx context.Context, from io.Reader, o Import) (Imported, error) {
	if o.Reason == "" {
		o.Reason = Manual
	}
	job := &importJob{store: s, options: o, now: time.Now()}
	job.sorted.limit = runBytes
	list, err := newReader(from, o.Format)
	if err != nil {
		return job.done, fmt.Errorf("import: %w", err)
	}
	for err == nil {
		if err = ctx.Err(); err != nil {
			break
		}
		err = job.read(ctx, list)
	}
	if errors.Is(err, io.EOF) {
		err = job.flush(ctx)
	}
	if err != nil {
		return job.done, fmt.Errorf("import: %w", err)
	}
	return job.done, nil
}

type importJob struct {
	store   *Store
	options Import
	now     time.Time
	sorted  run
	done    Imported
}

// read takes one line.
func (j *importJob) read(ctx context.Context, list *reader) error {
	line, err := list.next()
	if err != nil {
		return err
	}
	p, err := j.place(list, line)
	if err != nil {
		j.done.Refused++
		if len(j.done.Problems) < maxProblems {
			j.done.Problems = append(j.done.Problems, Problem{list.line, err})
		}
		return nil
	}
	if over(p.expires, j.now) {
		j.done.Expired++
		return nil
	}
	if j.sorted.add(p); j.sorted.full() {
		return j.flush(ctx)
	}
	return nil
}

func (j *importJob) place(list *reader, line []byte) (placed, error) {
	e, err := list.parse(line)
	if err != nil {
		return placed{}, err
	}
	if e.Tenant != "" && e.Tenant != j.options.Tenant {
		return placed{}, fmt.Errorf("%w: it is another tenant's", ErrEntry)
	}
	e.Tenant = j.options.Tenant
	if !e.Address.IsZero() {
		e.Hash = Hash{}
	}
	if e.Reason == "" {
		e.Reason = j.options.Reason
	}
	if e.Stream == "" {
		e.Stream = j.options.Stream
	}
	if e.Time.IsZero() {
		e.Time = j.now
	}
	return j.store.place(&e)
}

// flush writes what was gathered in the order of its keys, so that what lies
// together is written together: bbolt writes each page that a transaction
// touches.
func (j *importJob) flush(ctx context.Context) error {
	j.sorted.sort()
	for from := 0; from < j.sorted.len(); from += importBatch {
		to := min(from+importBatch, j.sorted.len())
		added := 0
		err := j.store.committer.do(ctx, func(w *write) error {
			added = 0
			for i := from; i < to; i++ {
				p, err := j.sorted.at(i)
				if err != nil {
					return err
				}
				p.tenant = j.options.Tenant
				changed, err := w.add(p, j.now)
				if err != nil {
					return err
				}
				if changed {
					added++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		j.done.Added += added
		j.done.Known += to - from - added
	}
	j.sorted.reset()
	return nil
}
