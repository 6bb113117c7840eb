package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func spareFiles(t *testing.T, dir string) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, sparePrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// copyOf is the folder as a crash at this moment leaves it.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// recycled returns a journal whose active segment lies in the file of an older
// one, and holds one record behind which more of the older one follows.
func recycled(t *testing.T, dir string) (j *Journal, record *Write) {
	t.Helper()
	j = open(t, Options{Dir: dir, SegmentBytes: 6 * blockSize, Spares: 2, Salt: 99})
	first := appendText(t, j, strings.Repeat("old mail ", 1500))
	appendText(t, j, strings.Repeat("old mail ", 500))
	second := appendText(t, j, strings.Repeat("-", 5*blockSize)) // the next segment
	if err := j.Remove(first.Position.Segment()); err != nil {
		t.Fatal(err)
	}
	if spareFiles(t, dir) != 1 || j.Stats().SpareBytes < 5*blockSize {
		t.Fatalf("%d spares, %+v", spareFiles(t, dir), j.Stats())
	}
	record = appendText(t, j, "the new text, which is longer than the end mark")
	if record.Position.Segment() != second.Position.Segment()+1 || spareFiles(t, dir) != 0 {
		t.Fatalf("written at %v, %d spares left", record.Position, spareFiles(t, dir))
	}
	return j, record
}

func TestFreedSegmentIsWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	j, record := recycled(t, dir)
	file := j.path(record.Position.Segment())
	b, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(b, []byte("old mail")) {
		t.Fatalf("the file was not reused: %v", err)
	}
	if r, err := j.ReadAt(record.Position); err != nil || !strings.HasPrefix(string(r.Payload), "the new") {
		t.Errorf("read %q, %v", r.Payload, err)
	}
	j.Close()
	if b, _ = os.ReadFile(file); bytes.Contains(b, []byte("old mail")) {
		t.Error("the closed segment still holds the older one")
	}
}

func TestCrashBesideAnOlderSegmentIsNoDamage(t *testing.T) {
	dir := t.TempDir()
	_, record := recycled(t, dir)
	crashed := copyOf(t, dir)
	j := open(t, Options{Dir: crashed})
	texts, report := replay(t, j, MakePosition(2, 0))
	if len(texts) != 2 || report.Torn+report.Damaged != 0 || asideFiles(t, crashed) != 0 {
		t.Errorf("%d records, %+v, %d aside", len(texts), report, asideFiles(t, crashed))
	}
	if j.End() != record.End {
		t.Errorf("ends at %v, want %v", j.End(), record.End)
	}
	if next := appendText(t, j, "more"); next.Position.Segment() != record.Position.Segment()+1 {
		t.Errorf("more at %v", next.Position)
	}
	if texts, _ := replay(t, open(t, Options{Dir: copyOf(t, crashed)}), record.Position); len(texts) != 2 {
		t.Errorf("then %q", texts)
	}
}

func TestWriteTornOverAnOlderSegmentIsCut(t *testing.T) {
	dir := t.TempDir()
	j, record := recycled(t, dir)
	before := copyOf(t, dir)
	appendText(t, j, "the last text, which the crash tears")
	name := segmentName(record.Position.Segment())
	whole, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < 56; cut += 5 {
		crashed := copyOf(t, before)
		at := int(record.End.Offset())
		change(t, filepath.Join(crashed, name), func(b []byte) []byte { copy(b[at:], whole[at:at+cut]); return b })
		again := open(t, Options{Dir: crashed})
		texts, report := replay(t, again, record.Position)
		if len(texts) != 1 || report.Torn == 0 || report.Damaged != 0 || again.End() != record.End {
			t.Errorf("cut at %d: %d records, %+v, end %v", cut, len(texts), report, again.End())
		}
	}
}

func TestCrashOnTheWayToANewNameLosesNothing(t *testing.T) {
	dir := t.TempDir()
	j, record := recycled(t, dir)
	j.Close()
	// The header was written and the rename was not.
	unfinished := filepath.Join(dir, sparePrefix+segmentName(1))
	if err := os.WriteFile(unfinished, segmentHeader{number: record.Position.Segment() + 1}.encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, Options{Dir: dir})
	if texts, report := replay(t, again, MakePosition(2, 0)); len(texts) != 2 || report.Damaged != 0 || spareFiles(t, dir) != 0 {
		t.Errorf("%d records, %+v, %d spares", len(texts), report, spareFiles(t, dir))
	}
}

func TestSegmentThatIsReadOrOlderThanTheProcessIsNoSpare(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, SegmentBytes: 100, Spares: 5, Salt: 1})
	first := appendText(t, j, string(make([]byte, 90)))
	second := appendText(t, j, string(make([]byte, 90)))
	third := appendText(t, j, string(make([]byte, 90)))
	h, err := j.handles.acquire(first.Position.Segment())
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Remove(first.Position.Segment()); err != nil || spareFiles(t, dir) != 0 {
		t.Errorf("a segment in use: %v, %d spares", err, spareFiles(t, dir))
	}
	b := make([]byte, 8)
	if _, err := h.file.ReadAt(b, 0); err != nil || string(b) != segmentMagic {
		t.Errorf("its reader got %q, %v", b, err)
	}
	j.handles.release(h)
	j.Close()
	j = open(t, Options{Dir: dir, SegmentBytes: 100, Spares: 5})
	replay(t, j, 0)
	fourth := appendText(t, j, string(make([]byte, 90)))
	appendText(t, j, string(make([]byte, 90)))
	for _, w := range []*Write{second, third} {
		if err := j.Remove(w.Position.Segment()); err != nil || spareFiles(t, dir) != 0 {
			t.Errorf("a segment of an earlier process: %v, %d spares", err, spareFiles(t, dir))
		}
	}
	if err := j.Remove(fourth.Position.Segment()); err != nil || spareFiles(t, dir) != 1 {
		t.Errorf("a segment of this process: %v, %d spares", err, spareFiles(t, dir))
	}
}

func TestForgetLeavesNoTraceInSpares(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, SegmentBytes: 100, Spares: 5})
	var all []*Write
	for range 4 {
		all = append(all, appendText(t, j, string(make([]byte, 90))))
	}
	remove := func(i int) {
		t.Helper()
		if err := j.Remove(all[i].Position.Segment()); err != nil {
			t.Fatal(err)
		}
	}
	remove(0)
	if err := j.Forget(); err != nil || spareFiles(t, dir) != 0 {
		t.Errorf("%d spares, %v", spareFiles(t, dir), err)
	}
	remove(1)
	if spareFiles(t, dir) != 0 {
		t.Error("what was written before became a spare")
	}
	all = append(all, appendText(t, j, string(make([]byte, 90))), appendText(t, j, string(make([]byte, 90))))
	remove(4)
	if spareFiles(t, dir) != 1 {
		t.Error("what was written after did not become a spare")
	}
}

func TestIdleSparesAreReleased(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j := open(t, Options{Dir: dir, SegmentBytes: 100, Spares: 5})
		first := appendText(t, j, string(make([]byte, 90)))
		appendText(t, j, string(make([]byte, 90)))
		if err := j.Remove(first.Position.Segment()); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			pause time.Duration
			want  int
		}{{time.Minute, 1}, {time.Hour, 0}} {
			time.Sleep(c.pause)
			if err := j.ReleaseIdle(10 * time.Minute); err != nil || spareFiles(t, dir) != c.want {
				t.Errorf("after %v: %d spares, %v", c.pause, spareFiles(t, dir), err)
			}
		}
		j.Close()
	})
}

// Whoever hands in a payload does not know the salt.
func TestForgedRecordIsNone(t *testing.T) {
	const secret = 4711
	// A record for a place in segment 3, where the older segment will shine
	// through behind the mark.
	forged := func(salt uint32) string {
		at := MakePosition(3, 3*blockSize)
		payload := []byte("forged")
		h := recordHeader{length: uint32(len(payload)), group: segmentHeaderSize, sum: checksum(0, payload), kind: 7}
		b := make([]byte, 3*blockSize-segmentHeaderSize-recordHeaderSize)
		b = append(b, h.append(nil, at, salt)...)
		return string(append(b, payload...)) + strings.Repeat(".", 1000)
	}
	for _, c := range []struct {
		salt uint32
		want int
	}{{0, 1}, {secret, 2}} {
		t.Run(fmt.Sprint(c.want), func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, Options{Dir: dir, SegmentBytes: 4 * blockSize, Spares: 2, Salt: secret})
			first := appendText(t, j, forged(c.salt))
			appendText(t, j, strings.Repeat("-", 3*blockSize))
			if err := j.Remove(first.Position.Segment()); err != nil {
				t.Fatal(err)
			}
			record := appendText(t, j, "true")
			texts, _ := replay(t, open(t, Options{Dir: copyOf(t, dir)}), record.Position)
			if len(texts) != c.want {
				t.Errorf("read %q", texts)
			}
		})
	}
}

func TestSegmentMissingBehindTheScanIsReported(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, SegmentBytes: 100})
	var writes []*Write
	for i := range 5 {
		writes = append(writes, appendText(t, j, fmt.Sprintf("%d%090d", i, 0)))
	}
	j.Close()
	os.Remove(filepath.Join(dir, segmentName(writes[1].Position.Segment())))
	change(t, filepath.Join(dir, segmentName(writes[2].Position.Segment())), func(b []byte) []byte { return b[:100] })
	from := writes[4].Position
	_, report := replay(t, open(t, Options{Dir: copyOf(t, dir)}), from)
	if len(report.Missing) != 0 || report.Damaged != 0 {
		t.Errorf("nobody will read them, and yet %+v", report)
	}
	_, report = replay(t, open(t, Options{Dir: dir, Scanned: writes[0].Position}), from)
	if len(report.Missing) != 1 || report.Missing[0] != 2 || report.Damaged != 1 || report.Records != 1 {
		t.Errorf("%+v", report)
	}
}

func TestSegmentHeaderKeepsItsFields(t *testing.T) {
	h := segmentHeader{number: 5, previous: 4, previousEnd: 1 << 31, salt: 0xfeedbeef, older: 1 << 30}
	got, ok := decodeSegmentHeader(h.encode())
	if !ok || got != h {
		t.Errorf("%+v, %t", got, ok)
	}
	b := h.encode()
	binary.LittleEndian.PutUint32(b[20:], 1)
	if _, ok := decodeSegmentHeader(b); ok {
		t.Error("a changed header was taken")
	}
}
