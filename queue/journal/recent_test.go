package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// Whatever is reserved, kept and forgotten, a position gives its octets or
// nothing, and the group kept last is there.
func TestRecentGivesWhatWasKeptOrNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := recentModel{kept: map[Position][]byte{}, at: MakePosition(1, segmentHeaderSize)}
		if err := m.recent.open(16 * blockSize); err != nil {
			t.Fatal(err)
		}
		defer m.recent.close()
		t.Repeat(map[string]func(*rapid.T){
			"groups": func(t *rapid.T) {
				for range rapid.IntRange(1, 12).Draw(t, "groups") {
					m.group(t)
				}
			},
			"forget":         m.forget,
			"forget segment": m.forgetSegment,
			"":               m.check,
		})
	})
}

// recentModel is a recent beside what was put into it.
type recentModel struct {
	recent recent
	groups int
	// kept are the octets at a position; nil if its segment is gone.
	kept map[Position][]byte
	// at is where the next group will lie, last where the newest does, or zero.
	at, last Position
}

func (m *recentModel) group(t *rapid.T) {
	size := rapid.OneOf(rapid.IntRange(1, 2*blockSize), rapid.IntRange(1, 10*blockSize)).Draw(t, "size")
	room := m.recent.reserve(size)
	if (room == nil) != (size > 8*blockSize) {
		t.Fatalf("%d octets of room for %d", cap(room), size)
	}
	if room == nil {
		return
	}
	if !aligned(room) || cap(room) < size {
		t.Fatalf("%d octets at %p", cap(room), room)
	}
	m.groups++
	fill := bytes.Repeat([]byte{byte(m.groups)}, size)
	copy(room[:size], fill)
	if rapid.IntRange(0, 5).Draw(t, "fails") == 0 {
		return
	}
	used := rapid.IntRange(1, size).Draw(t, "used")
	m.recent.keep(m.at, used)
	m.kept[m.at], m.last = fill[:used], m.at
	m.at += Position(used)
	if rapid.IntRange(0, 5).Draw(t, "next segment") == 0 {
		m.at = MakePosition(m.at.Segment()+1, segmentHeaderSize)
	}
}

func (m *recentModel) forget(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "forget") > 0 {
		return
	}
	m.recent.forget()
	rest := slices.Concat(m.recent.memory[:m.recent.from], m.recent.memory[m.recent.to:])
	if len(bytes.Trim(rest, "\x00")) > 0 {
		t.Fatal("something is left beside the room")
	}
	clear(m.kept)
	m.last = 0
}

func (m *recentModel) forgetSegment(t *rapid.T) {
	gone := rapid.Uint32Range(1, 2*m.at.Segment()+20).Draw(t, "segment")
	m.recent.forgetSegment(gone)
	for position := range m.kept {
		if position.Segment() == gone {
			m.kept[position] = nil
		}
	}
	if m.last.Segment() == gone {
		m.last = 0
	}
}

func (m *recentModel) check(t *rapid.T) {
	for position, want := range m.kept {
		if want == nil && m.recent.find(position) != nil {
			t.Fatalf("%v is of a segment that is gone", position)
		}
		for offset := 0; offset < len(want); offset += len(want)/3 + 1 {
			got := m.recent.find(position + Position(offset))
			if got != nil && !bytes.Equal(got, want[offset:]) {
				t.Fatalf("%v+%d gives other octets", position, offset)
			}
		}
	}
	if m.last != 0 && m.recent.find(m.last) == nil {
		t.Fatalf("the last group, at %v, is not there", m.last)
	}
	if m.recent.find(m.at) != nil {
		t.Fatalf("something is at %v, where nothing was written", m.at)
	}
}

func aligned(b []byte) bool { return uintptr(unsafe.Pointer(unsafe.SliceData(b)))%blockSize == 0 }

func TestRecentRecordIsReadWithoutItsFile(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), SegmentBytes: blockSize})
	one, two := appendText(t, j, "first text"), appendText(t, j, "second text")
	large := appendText(t, j, strings.Repeat("long ", recentBytes/8))
	if err := os.Remove(j.path(one.Position.Segment())); err != nil {
		t.Fatal(err)
	}
	r, err := j.ReadAt(one.Position)
	if err != nil || string(r.Payload) != "first text" || r.Kind != 7 || r.End != one.End {
		t.Errorf("read %+v, %v", r, err)
	}
	if err := j.Remove(two.Position.Segment()); err != nil {
		t.Fatal(err)
	}
	if _, err := j.ReadAt(two.Position); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a removed segment is read: %v", err)
	}
	if r, err := j.ReadAt(large.Position); err != nil || len(r.Payload) != recentBytes/8*5 {
		t.Errorf("a record too large to be kept: %d octets, %v", len(r.Payload), err)
	}
}

func TestForgetWipesMemory(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	w := appendText(t, j, "reader@example.com")
	if !bytes.Contains(j.recent.memory, []byte("reader@example.com")) {
		t.Fatal("nothing is kept")
	}
	if err := j.Forget(); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(j.recent.memory, []byte("reader@example.com")) {
		t.Error("what was forgotten is still in memory")
	}
	if r, err := j.ReadAt(w.Position); err != nil || string(r.Payload) != "reader@example.com" {
		t.Errorf("read %q, %v", r.Payload, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Forget(); err != nil {
		t.Errorf("an erasure that a stop overtook: %v", err)
	}
}

// directFiles watches the files that are opened past the page cache.
type directFiles struct {
	OS
	// openErr and writeErr, if set, are what they give.
	openErr, writeErr error

	mu             sync.Mutex
	opened, writes int
	misplaced      []string
}

func (f *directFiles) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&directFlag == 0 {
		return f.OS.OpenFile(name, flag, perm)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	if f.openErr != nil {
		return nil, f.openErr
	}
	// Without the flag, so that the test runs on any file system: what matters is
	// which way the journal takes.
	file, err := f.OS.OpenFile(name, flag&^directFlag, perm)
	return watchedFile{file, f}, err
}

type watchedFile struct {
	File
	files *directFiles
}

func (f watchedFile) WriteAt(b []byte, at int64) (int, error) {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	f.files.writes++
	if !aligned(b) || len(b)%blockSize != 0 || at%blockSize != 0 {
		f.files.misplaced = append(f.files.misplaced, fmt.Sprintf("%d octets from %p to %d", len(b), b, at))
	}
	if f.files.writeErr != nil {
		n, _ := f.File.WriteAt(b[:len(b)/2], at) // torn
		return n, f.files.writeErr
	}
	return f.File.WriteAt(b, at)
}

// cycle fills a segment and another, frees the first and begins a third in its
// file: with a record behind the header, and one in blocks of its own.
func cycle(t *testing.T, j *Journal, name string) []*Write {
	t.Helper()
	old := appendText(t, j, strings.Repeat("o", 7*blockSize))
	appendText(t, j, strings.Repeat("-", 7*blockSize))
	if err := j.Remove(old.Position.Segment()); err != nil {
		t.Fatal(err)
	}
	return []*Write{appendText(t, j, name+" first"), appendText(t, j, name+" second")}
}

func directJournal(t *testing.T, files *directFiles, recent int) *Journal {
	t.Helper()
	if directFlag == 0 {
		t.Skip("this system has no direct writes")
	}
	return open(t, Options{
		Dir: t.TempDir(), SegmentBytes: 8 * blockSize, Spares: 2, RecentBytes: recent, RetryPause: -1, Files: files,
	})
}

// wantOnDisk replays the journal's folder as a crash would leave it.
func wantOnDisk(t *testing.T, j *Journal, records ...*Write) {
	t.Helper()
	again := open(t, Options{Dir: copyOf(t, j.options.Dir), SegmentBytes: 8 * blockSize})
	texts, report := replay(t, again, 0)
	if report.Damaged != 0 {
		t.Errorf("report %+v", report)
	}
	on := strings.Join(texts, "\n")
	for _, w := range records {
		text := string(w.Head) + string(w.Body)
		if !strings.Contains(on, text) {
			t.Errorf("%q is not on disk", text)
		}
		if r, err := again.ReadAt(w.Position); err != nil || string(r.Payload) != text {
			t.Errorf("at %v is %q, %v; want %q", w.Position, r.Payload, err, text)
		}
	}
}

func TestSpareIsWrittenPastThePageCache(t *testing.T) {
	files := &directFiles{}
	j := directJournal(t, files, 0)
	records := cycle(t, j, "new")
	if files.opened != 1 || files.writes != 1 {
		t.Errorf("%d opened, %d writes: want one, of the record in blocks of its own", files.opened, files.writes)
	}
	if files.misplaced != nil {
		t.Errorf("not aligned: %v", files.misplaced)
	}
	wantOnDisk(t, j, records...)
}

// A spare shorter than a segment ends before it: what grows the file is no
// overwriting, and what reads miss would be in no cache.
func TestWhatGrowsASpareGoesThroughThePageCache(t *testing.T) {
	files := &directFiles{}
	j := directJournal(t, files, 0)
	short := appendText(t, j, strings.Repeat("o", 3*blockSize))
	appendText(t, j, strings.Repeat("-", 7*blockSize))
	if err := j.Remove(short.Position.Segment()); err != nil {
		t.Fatal(err)
	}
	var records []*Write
	for i := range 7 {
		records = append(records, appendText(t, j, fmt.Sprint("record ", i)))
	}
	if files.opened != 1 || files.writes != 3 {
		t.Errorf("%d opened, %d writes: want those inside the 4 blocks that were there", files.opened, files.writes)
	}
	wantOnDisk(t, j, records...)
}

// The real way, where the file system has it: what the page cache holds of the
// same file, for readers, must not go stale.
func TestDirectWritesAreReadBack(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), SegmentBytes: 16 * blockSize, Spares: 2})
	var written []*Write
	removed, direct := uint32(0), false
	for i := range 80 {
		written = append(written, appendText(t, j, strings.Repeat(fmt.Sprintf("%d,", i), 1000+97*i)))
		written = written[max(0, len(written)-6):]
		for _, w := range written {
			wantInFile(t, j, w)
		}
		for removed+1 < written[0].Position.Segment() {
			removed++
			if err := j.Remove(removed); err != nil {
				t.Fatal(err)
			}
		}
		direct = direct || j.committer.direct != nil
	}
	if !direct {
		t.Log("this file system has no direct writes")
	}
}

// wantInFile reads a record as if it were not in memory.
func wantInFile(t *testing.T, j *Journal, w *Write) {
	t.Helper()
	h, err := j.handles.acquire(w.Position.Segment())
	if err != nil {
		t.Fatal(err)
	}
	defer j.handles.release(h)
	b := make([]byte, int(w.End-w.Position))
	_, err = h.file.ReadAt(b, int64(w.Position.Offset()))
	r, ok := decodeRecord(b, w.Position, j.salt)
	if err != nil || !ok || string(r.Payload) != string(w.Head)+string(w.Body) {
		t.Fatalf("record %v is not in its file: %v", w.Position, err)
	}
}

// A file system may open such a file and then refuse the write, for its blocks
// are larger, or refuse to open it. Nothing is refused for that.
func TestWithoutDirectWritesTheCacheIsUsed(t *testing.T) {
	for _, c := range []struct {
		name              string
		openErr, writeErr error
		// opened and written is how often that is tried in three cycles.
		opened, written int
	}{
		{"no such flag", syscall.EINVAL, nil, 1, 0},
		{"other blocks", nil, syscall.EINVAL, 1, 1},
		{"too many files for a moment", syscall.EMFILE, nil, 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := &directFiles{openErr: c.openErr, writeErr: c.writeErr}
			j := directJournal(t, files, 0)
			for i := range 3 {
				wantOnDisk(t, j, cycle(t, j, fmt.Sprint("cycle ", i))...)
			}
			if files.opened != c.opened || files.writes != c.written {
				t.Errorf("%d opened, %d writes", files.opened, files.writes)
			}
		})
	}
}

func TestFailedDirectWriteIsAFault(t *testing.T) {
	files := &directFiles{}
	j := directJournal(t, files, 0)
	records := cycle(t, j, "new")
	files.writeErr = syscall.EIO
	err := j.Append(context.Background(), &Write{Body: []byte("refused")})
	if !errors.Is(err, ErrFault) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	if _, err := j.ReadAt(j.End()); err == nil {
		t.Error("what was refused can be read")
	}
	files.writeErr = nil
	wantOnDisk(t, j, append(records, appendText(t, j, "after the fault"))...)
}

// Bodies that wait so long that memory has others by then are better off in the
// page cache.
func TestReadsFromDiskBringThePageCacheBack(t *testing.T) {
	files := &directFiles{}
	j := directJournal(t, files, 32*blockSize)
	old := cycle(t, j, "old")[1]
	cycle(t, j, "2")
	cycle(t, j, "3") // what is old is not in memory any more
	opened := files.opened
	if opened != 3 {
		t.Fatalf("%d of three spares opened directly", opened)
	}
	if _, err := j.ReadAt(old.Position); err != nil {
		t.Fatal(err)
	}
	recent := cycle(t, j, "4")[1]
	if files.opened != opened {
		t.Error("written past the cache although reads miss it")
	}
	for range 100 {
		if _, err := j.ReadAt(recent.Position); err != nil {
			t.Fatal(err)
		}
	}
	cycle(t, j, "5")
	if files.opened != opened+1 {
		t.Error("not written past the cache although memory has all that is read")
	}
}

// Groups are read, overwritten and forgotten at once; whoever reads gets what
// was written.
func TestRecentUnderLoad(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), SegmentBytes: 1 << 20, RecentBytes: 16 * blockSize})
	stop := make(chan struct{})
	var forgetting, writing sync.WaitGroup
	forgetting.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := j.Forget(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for writer := range 8 {
		writing.Go(func() {
			var past []*Write
			for i := range 60 {
				text := strings.Repeat(fmt.Sprintf("writer %d record %d ", writer, i), 1+i*7)
				w := &Write{Body: []byte(text)}
				if err := j.Append(context.Background(), w); err != nil {
					t.Error(err)
					return
				}
				past = append(past, w)
				for _, w := range past[max(0, len(past)-3):] {
					if r, err := j.ReadAt(w.Position); err != nil || !bytes.Equal(r.Payload, w.Body) {
						t.Errorf("read of %v: %v", w.Position, err)
						return
					}
				}
			}
		})
	}
	writing.Wait()
	close(stop)
	forgetting.Wait()
}
