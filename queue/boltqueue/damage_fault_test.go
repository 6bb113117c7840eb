package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// transcript is a log that tests read.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Whatever queue.db is instead of itself, the store does not open, says which
// file and what to do, and what it says to do brings everything back.
func TestRuinedDatabaseIsRefusedWithAdvice(t *testing.T) {
	write := func(content []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	foreign := func(t *testing.T, path string) {
		remove(path)
		db, err := bolt.Open(path, 0o600, nil)
		if err == nil {
			err = db.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	badRow := func(t *testing.T, path string) {
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error {
			return tx.Bucket([]byte(bucketQueues)).Put(queueRowKey(1), []byte{0xff})
		})
		if err = errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for name, ruin := range map[string]func(*testing.T, string){
		"missing": func(_ *testing.T, path string) { remove(path) },
		"empty":   write(nil),
		"a text":  write([]byte(strings.Repeat("not a database\n", 500))),
		"zeros":   write(make([]byte, 1<<20)),
		"one page": func(t *testing.T, path string) {
			if err := os.Truncate(path, pageSize); err != nil {
				t.Fatal(err)
			}
		},
		"half": func(t *testing.T, path string) {
			if err := os.Truncate(path, usedOctets(t, path)/2); err != nil {
				t.Fatal(err)
			}
		},
		"another's":            foreign,
		"an unreadable row":    badRow,
		"no pages behind meta": func(t *testing.T, path string) { ruinPages(t, path, func(page) bool { return true }) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newTestHarness(t, quiet)
			bodies := h.work(40)
			h.awaitEvents()
			want := h.owed()
			if err := h.store.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(h.options.Dir, databaseName)
			ruin(t, path)
			before, _ := os.ReadFile(path)
			s, err := Open(h.options)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if !errors.Is(err, ErrRebuild) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "postrider store rebuild") {
				t.Errorf("refused with: %v", err)
			}
			if after, _ := os.ReadFile(path); name != "an unreadable row" && name != "another's" && !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
			if _, err := Rebuild(t.Context(), h.options, h.log.past); err != nil {
				t.Fatal(err)
			}
			h.open()
			got := h.owed()
			if len(got) != len(want) {
				t.Errorf("%d owed, want %d", len(got), len(want))
			}
			for id := range want {
				body, err := h.store.Body(context.Background(), &queue.Message{ID: id.Message})
				if err != nil || string(body) != bodies[id.Message] {
					t.Errorf("%v is lost: %v", id, err)
				}
			}
			h.settleAll()
		})
	}
}

func TestDatabaseThatCannotBeHadIsNoDamage(t *testing.T) {
	h := newTestHarness(t, quiet)
	h.accept("a@example.com")
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(h.options.Dir, databaseName)
	for name, c := range map[string]struct {
		change, undo func() error
		want         string
	}{
		"another version": {func() error { return setFormat(path, formatVersion+1) }, func() error { return setFormat(path, formatVersion) }, "another version of postrider"},
		"a folder": {
			func() error { return errors.Join(os.Rename(path, path+".away"), os.Mkdir(path, 0o700)) },
			func() error { return errors.Join(os.Remove(path), os.Rename(path+".away", path)) }, "is a directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.change(); err != nil {
				t.Fatal(err)
			}
			s, err := Open(h.options)
			if err == nil {
				s.Close()
			}
			if err == nil || errors.Is(err, ErrRebuild) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("refused with: %v", err)
			}
			if err := c.undo(); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := advise(&fs.PathError{Op: "open", Path: path, Err: syscall.EACCES}); !strings.Contains(err.Error(), "give the data folder") {
		t.Errorf("no permission: %v", err)
	}
	h.open()
	h.settleAll()
}

func setFormat(path string, format uint64) error {
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error { return putNumber(tx.Bucket([]byte(bucketMeta)), metaFormat, format) })
	return errors.Join(err, db.Close())
}

func usedOctets(t testing.TB, path string) (used int64) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.View(func(tx *bolt.Tx) error { used = tx.Size(); return nil }), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	return used
}

// page is one of queue.db.
type page struct {
	id    int
	flags byte
	text  []byte
}

const (
	branchFlag = 0x01
	leafFlag   = 0x02
)

// ruinPages overwrites the pages behind the two of meta that which chooses, and
// returns how many.
func ruinPages(t testing.TB, path string, which func(page) bool) (n int) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for id := 2; ; id++ {
		b := make([]byte, pageSize)
		if read, _ := file.ReadAt(b, int64(id)*pageSize); read < len(b) {
			return n
		}
		if !which(page{id, b[8], b}) {
			continue
		}
		n++
		if _, err := file.WriteAt(bytes.Repeat([]byte{0xa5}, pageSize), int64(id)*pageSize); err != nil {
			t.Fatal(err)
		}
	}
}

// Pages that go bad under an open store cost what needs them, for now. All else
// is sent, new mail is taken, and a rebuild brings back the rest.
func TestPagesDamagedWhileOpen(t *testing.T) {
	for _, kind := range []struct {
		name  string
		which func(page) bool
	}{
		{"some leaves", func(p page) bool { return p.flags == leafFlag && p.id%7 == 0 }},
		{"all leaves", func(p page) bool { return p.flags == leafFlag && p.id > 40 }},
		{"branches", func(p page) bool { return p.flags == branchFlag }},
		{"everything", func(page) bool { return true }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			said := &transcript{}
			h := newTestHarness(t, func(o *Options) {
				quiet(o)
				o.Logger = slog.New(slog.NewTextHandler(said, nil))
			})
			const stored = 400
			for i := range stored {
				h.accept(fmt.Sprintf("reader%d@example.com", i))
			}
			h.checkpoint()
			path := filepath.Join(h.options.Dir, databaseName)
			if n := ruinPages(t, path, kind.which); n == 0 {
				t.Fatal("no page was damaged")
			}
			h.accept("new@example.org")
			h.accept("new@example.com")
			sent := map[queue.RecipientID]bool{}
			for range 3 * stored {
				for _, d := range h.leaseAny(20) {
					if _, err := h.store.Body(context.Background(), d.Message); err != nil {
						t.Fatal(err)
					}
					sent[d.ID()] = true
					h.settle(d)
				}
			}
			fresh := 0
			for id := range sent {
				if _, ok := h.store.entries[keyOf(id)]; !ok {
					fresh++
				}
			}
			if len(sent) < 2 || fresh < 2 || kind.name == "some leaves" && len(sent) < stored/2 {
				t.Errorf("%d were sent of %d stored and 2 new", len(sent), stored)
			}
			if len(sent) == stored+2 {
				t.Error("nothing was lacking: the test proves nothing")
			}
			if h.store.Stats().Damaged == 0 || !strings.Contains(said.String(), path) || !strings.Contains(said.String(), "store rebuild") {
				t.Errorf("damaged %d; said %s", h.store.Stats().Damaged, said)
			}
			if n := strings.Count(said.String(), "\n"); n > 20 {
				t.Errorf("%d lines were logged", n)
			}
			h.checkpointUnderDamage(path)
			t.Logf("%d of %d were sent", len(sent), stored+2)
			h.rebuild(keep, h.log.past)
			if got := h.owed(); len(got) != stored+2-len(sent) {
				t.Errorf("%d owed, want %d", len(got), stored+2-len(sent))
			}
			h.settleAll()
		})
	}
}

// checkpointUnderDamage wants failed checkpoints to be told, and mail to be
// taken as long as memory has room.
func (h *harness) checkpointUnderDamage(path string) {
	h.t.Helper()
	for range 3 {
		err := h.store.checkpoint(false)
		if err == nil {
			return // what it touched was whole
		}
		if !errors.Is(err, boltguard.ErrDamaged) || !strings.Contains(err.Error(), path) || h.store.checkpointFailed(err) < time.Second {
			h.t.Errorf("checkpoint: %v", err)
		}
		if !errors.Is(h.store.Stats().Fault, boltguard.ErrDamaged) {
			h.t.Errorf("fault: %v", h.store.Stats().Fault)
		}
	}
	s := submission(h.t, "later@example.com")
	if err := h.store.Accept(context.Background(), s); err != nil {
		h.t.Errorf("new mail: %v", err)
	}
	h.settle(h.lease(1)...)
	h.store.mu.Lock()
	h.store.coming += 2 * h.store.options.CheckpointChanges
	h.store.mu.Unlock()
	if err := h.store.Accept(context.Background(), submission(h.t, "refused@example.com")); !errors.Is(err, queue.ErrUnavailable) {
		h.t.Errorf("without room: %v", err)
	}
	h.store.mu.Lock()
	h.store.coming -= 2 * h.store.options.CheckpointChanges
	h.store.mu.Unlock()
}

func TestMissingSegmentIsReportedAtTheStart(t *testing.T) {
	said := &transcript{}
	h := newTestHarness(t, func(o *Options) {
		quiet(o)
		o.Logger = slog.New(slog.NewTextHandler(said, nil))
	})
	for i := range 100 {
		h.accept(fmt.Sprintf("reader%d@example.com", i))
	}
	h.checkpoint()
	number := h.store.journal.Segments()[0].Number
	row := h.store.segments[number]
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(h.options.Dir, journalDir, fmt.Sprintf("%08d", number))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	remove(path)
	h.open()
	if !strings.Contains(said.String(), path) || !strings.Contains(said.String(), fmt.Sprintf("messages=%d", row.messages)) || h.store.Stats().Damaged == 0 {
		t.Errorf("damaged %d; said %s", h.store.Stats().Damaged, said)
	}
	// Put back, it is as if it had never been away.
	lost := 0
	for _, d := range h.lease(100) {
		if _, err := h.store.Body(context.Background(), d.Message); errors.Is(err, queue.ErrDamaged) {
			lost++
		}
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if lost != int(row.messages) {
		t.Errorf("%d bodies are lost, %d messages were in the segment", lost, row.messages)
	}
	h.reopen()
	for _, d := range h.lease(100) {
		if _, err := h.store.Body(context.Background(), d.Message); err != nil {
			t.Error(err)
		}
	}
}

// brokenFiles fails one operation on the journal's files.
type brokenFiles struct {
	journal.OS
	mu  sync.Mutex
	op  string
	err error
}

func (f *brokenFiles) set(op string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.op, f.err = op, err
}

func (f *brokenFiles) fails(op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.op == op {
		return f.err
	}
	return nil
}

func (f *brokenFiles) OpenFile(name string, flag int, perm fs.FileMode) (journal.File, error) {
	op := "open"
	if flag&os.O_RDWR != 0 {
		op = "create"
	}
	if err := f.fails(op); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	file, err := f.OS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return brokenFile{file, f}, nil
}

func (f *brokenFiles) SyncDir(name string) error {
	if err := f.fails("syncdir"); err != nil {
		return err
	}
	return f.OS.SyncDir(name)
}

func (f *brokenFiles) FreeBytes(string) (int64, error) { return 1 << 40, nil }

type brokenFile struct {
	journal.File
	system *brokenFiles
}

func (f brokenFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.system.fails("write"); err != nil {
		n, _ := f.File.WriteAt(b[:len(b)/2], at) // torn
		return n, err
	}
	return f.File.WriteAt(b, at)
}

func (f brokenFile) Sync() error {
	if err := f.system.fails("sync"); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f brokenFile) Truncate(size int64) error {
	if err := f.system.fails("write"); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f brokenFile) ReadAt(b []byte, at int64) (int, error) {
	if err := f.system.fails("read"); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, at)
}

// Each fault of the journal refuses mail with the right name while it lasts,
// loses nothing, brings nothing back that was refused, and passes by itself.
func TestJournalFaults(t *testing.T) {
	for _, c := range []struct {
		op   string
		err  error
		want error
	}{
		{"write", syscall.EIO, queue.ErrUnavailable},
		{"write", syscall.EROFS, queue.ErrUnavailable},
		{"write", syscall.ENOSPC, queue.ErrFull},
		{"write", syscall.EDQUOT, queue.ErrFull},
		{"sync", syscall.EIO, queue.ErrUnavailable},
		{"sync", syscall.EDQUOT, queue.ErrFull},
		{"create", syscall.EMFILE, queue.ErrUnavailable},
		{"create", syscall.ENFILE, queue.ErrUnavailable},
		{"create", syscall.EROFS, queue.ErrUnavailable},
		{"create", syscall.ENOSPC, queue.ErrFull},
		{"syncdir", syscall.EIO, queue.ErrUnavailable},
	} {
		t.Run(fmt.Sprintf("%s %s", c.op, c.err), func(t *testing.T) {
			files := &brokenFiles{}
			h := newTestHarness(t, func(o *Options) { quiet(o); o.Files = files })
			want := map[queue.ID]string{}
			take := func() error {
				s := submission(t, "a@example.com")
				err := h.store.Accept(context.Background(), s)
				if err == nil {
					want[s.Message.ID] = string(s.Body)
				}
				return err
			}
			for range 20 {
				if err := take(); err != nil {
					t.Fatal(err)
				}
			}
			held := h.lease(1)
			files.set(c.op, c.err)
			var refused error
			for range 100 { // until the segment is full, where making one fails
				if refused = take(); refused != nil {
					break
				}
			}
			if !errors.Is(refused, c.want) || !errors.Is(refused, c.err) {
				t.Fatalf("refused with %v", refused)
			}
			if !errors.Is(h.store.Stats().Fault, c.err) {
				t.Errorf("fault: %v", h.store.Stats().Fault)
			}
			if err := h.store.Settle(context.Background(), delivered(held...)); err == nil {
				t.Error("an outcome was taken")
			}
			if _, err := h.store.Body(context.Background(), held[0].Message); err != nil {
				t.Errorf("body: %v", err)
			}
			files.set("", nil)
			if err := take(); err != nil {
				t.Fatalf("after the fault: %v", err)
			}
			h.settle(held...)
			delete(want, held[0].Message.ID)
			if f := h.store.Stats().Fault; f != nil {
				t.Errorf("fault stays: %v", f)
			}
			h.crash()
			got := h.owed()
			if len(got) != len(want) {
				t.Errorf("%d owed, want %d", len(got), len(want))
			}
			for id := range got {
				if body, err := h.store.Body(context.Background(), &queue.Message{ID: id.Message}); err != nil || string(body) != want[id.Message] {
					t.Errorf("body: %v", err)
				}
			}
		})
	}
}

// A body that cannot be read now is there when it can.
func TestReadFaultsPass(t *testing.T) {
	for _, op := range []string{"read", "open"} {
		files := &brokenFiles{}
		h := newTestHarness(t, func(o *Options) { quiet(o); o.Files = files; o.RecentBytes = -1 })
		s := h.accept("a@example.com")
		files.set(op, syscall.EIO)
		if _, err := h.store.Body(context.Background(), &s.Message); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", op, err)
		}
		files.set("", nil)
		if body, err := h.store.Body(context.Background(), &s.Message); err != nil || string(body) != string(s.Body) {
			t.Errorf("%s: %v", op, err)
		}
	}
}
