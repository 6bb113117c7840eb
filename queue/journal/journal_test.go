package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, o Options) *Journal {
	t.Helper()
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return j
}

func appendText(t testing.TB, j *Journal, text string) *Write {
	t.Helper()
	w := &Write{Kind: 7, Head: []byte(text[:len(text)/2]), Body: []byte(text[len(text)/2:])}
	if err := j.Append(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	return w
}

func replay(t testing.TB, j *Journal, from Position) ([]string, Report) {
	t.Helper()
	var texts []string
	report, err := j.Replay(from, func(r Record) error {
		texts = append(texts, string(r.Payload))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts, report
}

func wantTexts(t testing.TB, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("replayed %q, want %q", got, want)
	}
}

func TestAppendedRecordsAreReplayedInOrder(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, SegmentBytes: 200})
	var want []string
	var middle Position
	for i := range 20 {
		text := fmt.Sprintf("record number %d", i)
		w := appendText(t, j, text)
		if i == 9 {
			middle = w.End
		}
		want = append(want, text)
	}
	if n := j.Stats().Segments; n < 3 {
		t.Errorf("%d segments, want several", n)
	}
	j.Close()

	again := open(t, Options{Dir: dir, SegmentBytes: 200})
	got, report := replay(t, again, 0)
	wantTexts(t, got, want...)
	if report.Torn != 0 || report.Damaged != 0 || report.Missing != nil {
		t.Errorf("report %+v of a whole journal", report)
	}
	got, _ = replay(t, again, middle)
	wantTexts(t, got, want[10:]...)
}

func TestPositionsGrowOverRestarts(t *testing.T) {
	dir := t.TempDir()
	last := Position(0)
	for range 3 {
		j := open(t, Options{Dir: dir})
		for range 3 {
			w := appendText(t, j, "x")
			if w.Position <= last || w.End <= w.Position {
				t.Fatalf("position %v after %v, end %v", w.Position, last, w.End)
			}
			last = w.Position
		}
		j.Close()
	}
}

func TestRememberedPositionOutlivesTheJournal(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), After: MakePosition(41, 99)})
	if w := appendText(t, j, "x"); w.Position.Segment() != 42 {
		t.Errorf("first segment is %d, want 42", w.Position.Segment())
	}
}

func TestReadAt(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	first, second := appendText(t, j, "one"), appendText(t, j, "")
	got, err := j.ReadAt(first.Position)
	if err != nil || string(got.Payload) != "one" || got.Kind != 7 || got.End != second.Position {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := j.ReadAt(second.Position); err != nil || len(got.Payload) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := j.ReadAt(first.Position + 4); !errors.Is(err, ErrDamaged) {
		t.Errorf("a wrong position gave %v", err)
	}
	if _, err := j.ReadAt(MakePosition(9, 32)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing segment gave %v", err)
	}
}

func TestConcurrentWritersShareSyncs(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				appendText(t, j, "together")
			}
		})
	}
	wg.Wait()
	s := j.Stats()
	if s.Records != 1000 || s.Syncs >= s.Records {
		t.Errorf("%d records with %d syncs", s.Records, s.Syncs)
	}
	texts, _ := replay(t, j, 0)
	if len(texts) != 1000 {
		t.Errorf("%d records replayed", len(texts))
	}
}

// TestGroupsUnderLoadAreAnsweredInOrder: where so much waits that a group is
// written beside the answers of the one before, Committed still sees one after
// the other and before its writers go on, failed ones not at all, and Close
// waits for the last.
func TestGroupsUnderLoadAreAnsweredInOrder(t *testing.T) {
	system := &faulty{}
	var committing, seen, last atomic.Int64
	var applied sync.Map
	j := open(t, Options{Dir: t.TempDir(), Files: system, RetryPause: -1, Committed: func(group []*Write) {
		if committing.Add(1) != 1 {
			t.Error("two groups are committed at once")
		}
		for _, w := range group {
			if before := last.Swap(int64(w.Position)); before >= int64(w.Position) {
				t.Errorf("%s comes behind %s", w.Position, Position(before))
			}
			applied.Store(w, true)
			seen.Add(1)
		}
		committing.Add(-1)
	}})
	var taken atomic.Int64
	var group sync.WaitGroup
	for range 40 {
		group.Go(func() {
			for i := range 50 {
				w := &Write{Kind: 1, Body: make([]byte, 200+i%2*10_000)}
				err := j.Append(context.Background(), w)
				if _, ok := applied.Load(w); ok != (err == nil) {
					t.Errorf("answered with %v, committed: %v", err, ok)
				}
				if err == nil {
					taken.Add(1)
				}
			}
		})
	}
	for range 10 {
		time.Sleep(time.Millisecond)
		system.set(func(f *faulty) { f.sync = errors.New("broken") })
		time.Sleep(time.Millisecond)
		system.set(func(f *faulty) { f.sync = nil })
	}
	group.Wait()
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if seen.Load() != taken.Load() || taken.Load() == 0 {
		t.Errorf("%d committed, %d answered well", seen.Load(), taken.Load())
	}
}

func TestCommittedSeesGroupsInOrderBeforeTheAnswer(t *testing.T) {
	var seen []Position
	j := open(t, Options{Dir: t.TempDir(), Committed: func(group []*Write) {
		for _, w := range group {
			seen = append(seen, w.Position)
		}
	}})
	for i := range 5 {
		w := appendText(t, j, "x")
		if len(seen) != i+1 || seen[i] != w.Position {
			t.Fatalf("after append %d the callback saw %v", i, seen)
		}
	}
}

func TestRecordLargerThanASegmentGetsItsOwn(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), SegmentBytes: 1000})
	appendText(t, j, "small")
	large := string(bytes.Repeat([]byte("0123456789"), 1000))
	w := appendText(t, j, large)
	after := appendText(t, j, "small")
	if w.Position.Offset() != segmentHeaderSize || after.Position.Segment() != w.Position.Segment()+1 {
		t.Errorf("large record at %v, next at %v", w.Position, after.Position)
	}
	texts, _ := replay(t, j, 0)
	wantTexts(t, texts, "small", large, "small")
}

func TestRemove(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), SegmentBytes: 100})
	first := appendText(t, j, string(make([]byte, 90)))
	second := appendText(t, j, string(make([]byte, 90)))
	before := j.Stats().Bytes
	if err := j.Remove(second.Position.Segment()); err == nil {
		t.Error("the active segment was removed")
	}
	if err := j.Remove(first.Position.Segment()); err != nil {
		t.Error(err)
	}
	if s := j.Stats(); s.Segments != 1 || s.Bytes >= before {
		t.Errorf("after removal %+v", s)
	}
	if _, err := j.ReadAt(first.Position); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed record gave %v", err)
	}
}

func TestAppendAfterCloseAndAfterCancel(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := j.Append(ctx, &Write{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	j.Close()
	if err := j.Append(context.Background(), &Write{}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// damage cases work on a closed journal of five records in one segment.
func fiveRecords(t *testing.T) (dir, file string, writes []*Write) {
	t.Helper()
	dir = t.TempDir()
	j := open(t, Options{Dir: dir})
	for i := range 5 {
		writes = append(writes, appendText(t, j, fmt.Sprintf("the text of record %d", i)))
	}
	j.Close()
	return dir, filepath.Join(dir, segmentName(writes[0].Position.Segment())), writes
}

func change(t *testing.T, file string, edit func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, edit(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func asideFiles(t *testing.T, dir string) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, damagedDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func TestTornTailIsCut(t *testing.T) {
	for cut := 1; cut < 40; cut += 3 {
		dir, file, writes := fiveRecords(t)
		end := int(writes[4].Position.Offset()) + recordHeaderSize + len("the text of record 4")
		change(t, file, func(b []byte) []byte { return b[:end-cut] })
		j := open(t, Options{Dir: dir})
		texts, report := replay(t, j, 0)
		wantTexts(t, texts, "the text of record 0", "the text of record 1", "the text of record 2", "the text of record 3")
		if report.Torn == 0 || report.Damaged != 0 {
			t.Errorf("cut %d: report %+v", cut, report)
		}
		if info, _ := os.Stat(file); info.Size() != int64(writes[4].Position.Offset()) {
			t.Errorf("cut %d: file has %d octets", cut, info.Size())
		}
		appendText(t, j, "more")
		j.Close()
		again := open(t, Options{Dir: dir})
		texts, report = replay(t, again, 0)
		if len(texts) != 5 || texts[4] != "more" || report.Torn+report.Damaged != 0 {
			t.Errorf("cut %d: then %q, %+v", cut, texts, report)
		}
	}
}

func TestZerosBehindTheLastRecordAreNoDamage(t *testing.T) {
	dir, file, _ := fiveRecords(t)
	change(t, file, func(b []byte) []byte { return append(b, make([]byte, 5000)...) })
	texts, report := replay(t, open(t, Options{Dir: dir}), 0)
	if len(texts) != 5 || report.Torn != 0 || report.Damaged != 0 {
		t.Errorf("%d records, %+v", len(texts), report)
	}
}

func TestFlippedBitSetsOneRecordAside(t *testing.T) {
	dir, file, writes := fiveRecords(t)
	start := int(writes[2].Position.Offset())
	end := start + recordHeaderSize + len("the text of record 2") // the padding is not checked
	for at := start; at < end; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			change(t, file, func(b []byte) []byte { b[at] ^= 0x10; return b })
			defer change(t, file, func(b []byte) []byte { b[at] ^= 0x10; return b })
			defer os.RemoveAll(filepath.Join(dir, damagedDir))
			j := open(t, Options{Dir: dir})
			texts, report := replay(t, j, 0)
			wantTexts(t, texts, "the text of record 0", "the text of record 1", "the text of record 3", "the text of record 4")
			if report.Damaged != 1 || report.Torn != 0 || asideFiles(t, dir) != 1 || j.Stats().Damaged != 1 {
				t.Errorf("report %+v, %d files aside", report, asideFiles(t, dir))
			}
			if _, err := j.ReadAt(writes[2].Position); !errors.Is(err, ErrDamaged) {
				t.Errorf("ReadAt gave %v", err)
			}
		})
	}
}

// groupOfThree holds the committer back until three writes wait for it, and
// returns them in the order of the file; what was written before and, if asked
// for, after stands in groups of its own.
func groupOfThree(t *testing.T, after bool) (dir, file string, group []*Write) {
	t.Helper()
	dir = t.TempDir()
	held := make(chan struct{})
	first := true
	j := open(t, Options{Dir: dir, Committed: func(writes []*Write) {
		if first {
			first = false
			<-held
		}
		if len(writes) == 3 {
			group = writes
		}
	}})
	var wait sync.WaitGroup
	wait.Go(func() { appendText(t, j, "before") })
	for j.End() == MakePosition(0, 0) { // written, and held back
		runtime.Gosched()
	}
	for range 3 {
		wait.Go(func() { appendText(t, j, "together") })
	}
	for waiting := 0; waiting < 3; runtime.Gosched() {
		j.mu.Lock()
		waiting = len(j.pending)
		j.mu.Unlock()
	}
	close(held)
	wait.Wait()
	if after {
		appendText(t, j, "after")
	}
	j.Close()
	if len(group) != 3 {
		t.Fatalf("%d writes in the group", len(group))
	}
	return dir, filepath.Join(dir, segmentName(group[0].Position.Segment())), group
}

// TestDamageInsideAGroupIsTornOnlyInTheLast tells bytes that a crash never
// finished from bytes that were synced, which somebody relies on: a later group
// proves the sync.
func TestDamageInsideAGroupIsTornOnlyInTheLast(t *testing.T) {
	for _, after := range []bool{false, true} {
		for i := range 2 { // the third is the tail where nothing follows
			dir, file, group := groupOfThree(t, after)
			change(t, file, func(b []byte) []byte { b[group[i].Position.Offset()+recordHeaderSize] ^= 0x10; return b })
			_, report := replay(t, open(t, Options{Dir: dir}), 0)
			if (report.Damaged == 1) != after || (report.Torn > 0) == after || asideFiles(t, dir) != 1 {
				t.Errorf("a group after it: %v, record %d: %+v", after, i, report)
			}
		}
	}
}

// TestSetAsideBytesAreDurable: the copy may be the only one before long.
func TestSetAsideBytesAreDurable(t *testing.T) {
	dir, file, writes := fiveRecords(t)
	change(t, file, func(b []byte) []byte { b[writes[2].Position.Offset()+recordHeaderSize] ^= 0x10; return b })
	files := &faulty{}
	synced := map[string]bool{}
	j := open(t, Options{Dir: dir, Files: syncedDirs{files, synced}})
	replay(t, j, 0)
	if !synced[filepath.Join(dir, damagedDir)] {
		t.Errorf("synced %v", synced)
	}
}

// syncedDirs notes the folders that were synced.
type syncedDirs struct {
	FileSystem
	seen map[string]bool
}

func (s syncedDirs) SyncDir(name string) error {
	s.seen[name] = true
	return s.FileSystem.SyncDir(name)
}

func TestDamagedSegmentHeaderLosesNoRecord(t *testing.T) {
	dir, file, _ := fiveRecords(t)
	salt := open(t, Options{Dir: dir}).Salt() // its keeper is beside the journal
	change(t, file, func(b []byte) []byte { copy(b, "garbage"); return b })
	if texts, _ := replay(t, open(t, Options{Dir: dir, Salt: salt}), 0); len(texts) != 5 {
		t.Errorf("%d records", len(texts))
	}
}

func TestCopiedBytesAreNoRecord(t *testing.T) {
	dir, file, writes := fiveRecords(t)
	one := writes[1]
	change(t, file, func(b []byte) []byte {
		return append(b, b[one.Position.Offset():one.End.Offset()]...)
	})
	texts, report := replay(t, open(t, Options{Dir: dir}), 0)
	if len(texts) != 5 || report.Torn == 0 {
		t.Errorf("%q, %+v", texts, report)
	}
}

func TestMissingAndShortenedSegmentsAreReported(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, SegmentBytes: 100})
	var writes []*Write
	for i := range 5 {
		writes = append(writes, appendText(t, j, fmt.Sprintf("%d%090d", i, 0)))
	}
	j.Close()
	os.Remove(filepath.Join(dir, segmentName(writes[1].Position.Segment())))
	change(t, filepath.Join(dir, segmentName(writes[3].Position.Segment())), func(b []byte) []byte { return b[:100] })
	texts, report := replay(t, open(t, Options{Dir: dir}), MakePosition(1, segmentHeaderSize))
	if len(texts) != 3 || len(report.Missing) != 1 || report.Missing[0] != 2 || report.Damaged == 0 {
		t.Errorf("%d records, %+v", len(texts), report)
	}
}

// faulty is the real file system with faults on demand.
type faulty struct {
	OS
	mu    sync.Mutex
	write error // fails after half of the octets
	sync  error
	open  error
	dir   error
	trunc error
}

func (f *faulty) set(edit func(*faulty)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	edit(f)
}

func (f *faulty) get(pick func(*faulty) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pick(f)
}

func (f *faulty) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if err := f.get(func(f *faulty) error { return f.open }); err != nil && flag&os.O_CREATE != 0 {
		return nil, err
	}
	file, err := f.OS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return faultyFile{file, f}, nil
}

func (f *faulty) SyncDir(name string) error {
	if err := f.get(func(f *faulty) error { return f.dir }); err != nil {
		return err
	}
	return f.OS.SyncDir(name)
}

type faultyFile struct {
	File
	system *faulty
}

func (f faultyFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.system.get(func(f *faulty) error { return f.write }); err != nil {
		n, _ := f.File.WriteAt(b[:len(b)/2], at)
		return n, err
	}
	return f.File.WriteAt(b, at)
}

func (f faultyFile) Sync() error {
	if err := f.system.get(func(f *faulty) error { return f.sync }); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f faultyFile) Truncate(size int64) error {
	if err := f.system.get(func(f *faulty) error { return f.trunc }); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func TestFailedWriteIsNeverReadAndTheJournalRecovers(t *testing.T) {
	faults := map[string]func(*faulty, error){
		"write":              func(f *faulty, err error) { f.write = err },
		"sync":               func(f *faulty, err error) { f.sync = err },
		"sync and truncate":  func(f *faulty, err error) { f.sync, f.trunc = err, err },
		"write and truncate": func(f *faulty, err error) { f.write, f.trunc = err, err },
		"open":               func(f *faulty, err error) { f.sync, f.open = err, err },
		"directory":          func(f *faulty, err error) { f.sync, f.dir = err, err },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			files := &faulty{}
			dir := t.TempDir()
			j := open(t, Options{Dir: dir, Files: files, RetryPause: -1})
			appendText(t, j, "before")
			files.set(func(f *faulty) { fault(f, syscall.ENOSPC) })
			for range 3 {
				err := j.Append(context.Background(), &Write{Head: []byte("lost")})
				if !errors.Is(err, ErrFault) || !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("append gave %v", err)
				}
			}
			if j.Fault() == nil {
				t.Error("no fault is shown")
			}
			files.set(func(f *faulty) { fault(f, nil) })
			w := appendText(t, j, "after")
			if j.Fault() != nil {
				t.Errorf("fault stays: %v", j.Fault())
			}
			if got, err := j.ReadAt(w.Position); err != nil || string(got.Payload) != "after" {
				t.Errorf("got %v", err)
			}
			j.Close()
			again := open(t, Options{Dir: dir})
			texts, report := replay(t, again, 0)
			wantTexts(t, texts, "before", "after")
			if report.Damaged != 0 || report.Torn != 0 {
				t.Errorf("report %+v", report)
			}
		})
	}
}

func TestFaultAnswersAtOnceDuringThePause(t *testing.T) {
	files := &faulty{}
	j := open(t, Options{Dir: t.TempDir(), Files: files, RetryPause: 1 << 40})
	files.set(func(f *faulty) { f.sync = syscall.EIO })
	j.Append(context.Background(), &Write{})
	files.set(func(f *faulty) { f.sync = nil })
	if err := j.Append(context.Background(), &Write{}); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want the fault", err)
	}
	if n := j.Stats().Segments; n != 0 {
		t.Errorf("%d segments left by failed writes", n)
	}
}

// badSectors cannot be read between from and to.
type badSectors struct {
	*bytes.Reader
	from, to int64
}

func (b badSectors) ReadAt(p []byte, at int64) (int, error) {
	if at < b.to && at+int64(len(p)) > b.from {
		return 0, syscall.EIO
	}
	return b.Reader.ReadAt(p, at)
}

func TestUnreadableSectorsLoseOnlyTheirRecords(t *testing.T) {
	var c committer
	c.number, c.size = 3, segmentHeaderSize
	file := make([]byte, segmentHeaderSize)
	for i := range 8 {
		payload := bytes.Repeat([]byte{byte('a' + i)}, 3000)
		w := &Write{Body: payload, sum: checksum(0, payload)}
		b, end := c.encode(nil, []*Write{w}, 0)
		file = append(file, b...)
		c.size = end
	}
	var bad []stretch
	s := scanner{
		file: badSectors{bytes.NewReader(file), 8192, 8704}, segment: 3, offset: segmentHeaderSize, limit: int64(len(file)),
		bad: func(b stretch) error { bad = append(bad, b); return nil },
	}
	var seen []byte
	for {
		r, err := s.next()
		if err != nil {
			break
		}
		seen = append(seen, r.Payload[0])
	}
	if string(seen) != "abdefgh" {
		t.Errorf("read %q", seen)
	}
	if len(bad) != 1 || bad[0].unsynced || bad[0].zeros {
		t.Errorf("bad %+v", bad)
	}
}

func FuzzScanner(f *testing.F) {
	var c committer
	c.number, c.size = 1, segmentHeaderSize
	b, _ := c.encode(nil, []*Write{{Head: []byte("hello"), sum: checksum(0, []byte("hello"))}, {}}, 0)
	f.Add(append(make([]byte, segmentHeaderSize), b...))
	f.Add([]byte(nil))
	f.Add(segmentHeader{number: 1}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeSegmentHeader(b)
		covered := int64(segmentHeaderSize)
		s := scanner{file: bytes.NewReader(b), segment: 1, offset: segmentHeaderSize, limit: int64(len(b))}
		s.bad = func(bad stretch) error {
			if bad.from != covered || bad.to <= bad.from {
				t.Fatalf("stretch %+v after %d", bad, covered)
			}
			covered = bad.to
			return nil
		}
		for {
			r, err := s.next()
			if err != nil {
				break
			}
			if int64(r.Position.Offset()) != covered {
				t.Fatalf("record at %v after %d", r.Position, covered)
			}
			covered = int64(r.End.Offset())
		}
		if covered < int64(len(b)) {
			t.Fatalf("%d of %d octets accounted for", covered, len(b))
		}
	})
}

func TestRecordWithoutItsPaddingIsWhole(t *testing.T) {
	dir, file, writes := fiveRecords(t)
	change(t, file, func(b []byte) []byte { return b[:len(b)-100] })
	j := open(t, Options{Dir: dir})
	if texts, report := replay(t, j, 0); len(texts) != 5 || report.Torn+report.Damaged != 0 {
		t.Errorf("%d records, %+v", len(texts), report)
	}
	if r, err := j.ReadAt(writes[4].Position); err != nil || string(r.Payload) != "the text of record 4" {
		t.Errorf("%q, %v", r.Payload, err)
	}
}

func TestGroupsEndWithABlock(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	for n := range 60 {
		if w := appendText(t, j, strings.Repeat("x", n*397)); w.End.Offset()%blockSize != 0 || j.End() != w.End {
			t.Errorf("%d octets end at %v, the journal at %v", n*397, w.End, j.End())
		}
	}
}
