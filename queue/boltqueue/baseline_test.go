package boltqueue

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// The two ways to keep mail that the store is measured beside. Both take
// whatever waits into one group, as its own committer does.

// grouper lets one goroutine commit what many hand in.
type grouper struct {
	mu      sync.Mutex
	pending []*job
	wake    chan struct{}
	done    sync.WaitGroup
}

// job is one operation on its way; key is set by a commit that adds.
type job struct {
	body   []byte
	key    uint64
	remove bool
	result chan error
}

func newGrouper(commit func([]*job) error) *grouper {
	g := &grouper{wake: make(chan struct{}, 1)}
	g.done.Go(func() {
		for range g.wake {
			g.gather()
			g.mu.Lock()
			group := g.pending
			g.pending = nil
			g.mu.Unlock()
			if len(group) == 0 {
				continue
			}
			err := commit(group)
			for _, j := range group {
				j.result <- err
			}
		}
	})
	return g
}

// gather yields while that brings more, as the journal does.
func (g *grouper) gather() {
	for before := -1; ; runtime.Gosched() {
		g.mu.Lock()
		n := len(g.pending)
		g.mu.Unlock()
		if n <= before {
			return
		}
		before = n
	}
}

func (g *grouper) do(j *job) error {
	j.result = make(chan error, 1)
	g.mu.Lock()
	g.pending = append(g.pending, j)
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
	return <-j.result
}

func (g *grouper) close() {
	close(g.wake)
	g.done.Wait()
}

// bodyFile appends bodies to one file.
type bodyFile struct {
	file   *os.File
	size   int64
	buffer []byte
}

func newBodyFile(b *testing.B) *bodyFile {
	file, err := os.Create(filepath.Join(b.TempDir(), "bodies"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { file.Close() })
	return &bodyFile{file: file}
}

func (f *bodyFile) append(group []*job) error {
	f.buffer = f.buffer[:0]
	for _, j := range group {
		f.buffer = append(f.buffer, j.body...)
	}
	if len(f.buffer) == 0 {
		return nil
	}
	if _, err := f.file.WriteAt(f.buffer, f.size); err != nil {
		return err
	}
	f.size += int64(len(f.buffer))
	return unix.Fdatasync(int(f.file.Fd()))
}

// benchAppend: a bare append of the body with a shared fdatasync. One append
// stands for a whole pair of accept and settle.
func benchAppend(b *testing.B, writers int) {
	g := newGrouper(newBodyFile(b).append)
	b.Cleanup(g.close)
	body := make([]byte, benchBody)
	measure(b, writers, func() error { return g.do(&job{body: body}) })
}

// benchRows: rows of bbolt for what the store keeps too, the bodies in a file
// beside them, both committed by the group. An accept puts the message, the
// recipient and its place in the due index; a settle deletes them and puts the
// event.
func benchRows(b *testing.B, writers int) {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "rows.db"), 0o600, &bolt.Options{
		FreelistType: bolt.FreelistMapType, NoFreelistSync: true, InitialMmapSize: 1 << 30,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	r := &rows{db: db, bodies: newBodyFile(b)}
	if err := r.commit(nil); err != nil {
		b.Fatal(err)
	}
	g := newGrouper(r.commit)
	b.Cleanup(g.close)
	body := make([]byte, benchBody)
	measure(b, writers, func() error {
		accept := &job{body: body}
		if err := g.do(accept); err != nil {
			return err
		}
		return g.do(&job{key: accept.key, remove: true})
	})
}

type rows struct {
	db     *bolt.DB
	bodies *bodyFile
	next   uint64
}

const (
	// messageRowBytes, recipientRowBytes and eventRowBytes are about what the
	// store writes.
	messageRowBytes   = 200
	recipientRowBytes = 50
	eventRowBytes     = 450
)

func (r *rows) commit(group []*job) error {
	if err := r.bodies.append(group); err != nil {
		return err
	}
	return r.db.Update(func(tx *bolt.Tx) error {
		var buckets [4]*bolt.Bucket
		for i, name := range []string{"messages", "recipients", "due", "events"} {
			b, err := tx.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return err
			}
			buckets[i] = b
		}
		for _, j := range group {
			if err := r.apply(buckets, j); err != nil {
				return err
			}
		}
		return nil
	})
}

// apply scatters recipients over a thousand queues, as the store's own
// benchmark does.
func (r *rows) apply(buckets [4]*bolt.Bucket, j *job) error {
	messages, recipients, due, events := buckets[0], buckets[1], buckets[2], buckets[3]
	if !j.remove {
		r.next++
		j.key = r.next
	}
	key := binary.BigEndian.AppendUint64(nil, j.key)
	inQueue := append(binary.BigEndian.AppendUint64(nil, j.key%1000), key...)
	if j.remove {
		return errors.Join(messages.Delete(key), recipients.Delete(inQueue), due.Delete(inQueue),
			events.Put(key, make([]byte, eventRowBytes)))
	}
	return errors.Join(messages.Put(key, make([]byte, messageRowBytes)),
		recipients.Put(inQueue, make([]byte, recipientRowBytes)), due.Put(inQueue, nil))
}
