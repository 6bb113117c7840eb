package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func hexadecimal(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, `\x%02x`, s[i])
	}
	return `"` + b.String() + `"`
}

// trace fills {} with strings in hexadecimal.
func trace(lines string, texts ...string) string {
	for _, s := range texts {
		lines = strings.Replace(lines, "{}", hexadecimal(s), 1)
	}
	return lines
}

func read(t *testing.T, begin Image, text string) []Step {
	t.Helper()
	steps, err := ReadTrace(strings.NewReader(text), "/data", begin, 3)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func describe(steps []Step) []string {
	var all []string
	for _, s := range steps {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%d %d %d %s%s", s.Action, s.Inode, s.Offset, s.Data, s.Name)))
	}
	return all
}

func TestReadTrace(t *testing.T) {
	steps := read(t, nil, trace(`10 openat(AT_FDCWD, {}, O_RDONLY|O_CLOEXEC) = 4
10 close(4) = 0
10 openat(AT_FDCWD, {}, O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 4
10 pwrite64(4, {}, 5, 7 <unfinished ...>
11 write(3, {}, 4) = 4
10 <... pwrite64 resumed>) = 3
11 pwritev(4, [{iov_base={}, iov_len=2}, {iov_base={}, iov_len=2}], 2, 0) = 4
10 fdatasync(4 <unfinished ...>
11 ftruncate(4, 9) = 0
10 <... fdatasync resumed>) = 0
10 fallocate(4, 0, 0, 100) = 0
10 fallocate(4, FALLOC_FL_KEEP_SIZE, 0, 200) = 0
11 unlinkat(AT_FDCWD, {}, 0) = -1 ENOENT (No such file or directory)
11 close(4) = 0
11 write(4, {}, 1) = 1
11 +++ exited with 0 +++
`, "/etc/passwd", "/data/a", "hello", "note", "ab", "cd", "/data/a", "x"))
	want := []string{
		fmt.Sprintf("%d 1 0 a", Enter), fmt.Sprintf("%d 0 0", Done),
		fmt.Sprintf("%d 2 7 hel", Write), fmt.Sprintf("%d 0 0 note", Note), fmt.Sprintf("%d 0 2", Done),
		fmt.Sprintf("%d 2 0 abcd", Write), fmt.Sprintf("%d 0 5", Done),
		fmt.Sprintf("%d 2 0", Sync), fmt.Sprintf("%d 2 9", Resize), fmt.Sprintf("%d 0 8", Done), fmt.Sprintf("%d 0 7", Done),
		fmt.Sprintf("%d 2 100", Extend), fmt.Sprintf("%d 0 11", Done),
	}
	if got := describe(steps); !slices.Equal(got, want) {
		t.Errorf("steps are\n%s\ninstead of\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestReadTraceConnections follows what is said and heard, and what has the
// same descriptor before and after.
func TestReadTraceConnections(t *testing.T) {
	steps := read(t, Image{"a": {Data: []byte("before")}}, trace(`1 socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0) = 4
1 bind(4, {sa_family=AF_UNIX, sun_path={}}, 16) = 0
1 accept4(4,  <unfinished ...>
2 read(5, "", 4096) = 0
1 <... accept4 resumed>{sa_family=AF_UNIX}, [112 => 2], SOCK_CLOEXEC) = 5
2 read(5,  <unfinished ...>
1 write(5, {}, 5) = 3
2 <... read resumed>{}, 4096) = 4
1 close(5) = 0
1 openat(AT_FDCWD, {}, O_RDWR|O_CLOEXEC) = 5
1 read(5, {}, 4) = 4
1 write(5, {}, 2) = 2
1 close(5) = 0
1 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 5
1 writev(5, [{iov_base={}, iov_len=1}, {iov_base={}, iov_len=1}], 2) = 2
1 read(5, 0x7f00, 10) = -1 EAGAIN (Resource temporarily unavailable)
`, "/data/s", "hello", "take", "/data/a", "befo", "XY", "a", "b"))
	want := []string{
		fmt.Sprintf("%d 1 0 s", Enter), fmt.Sprintf("%d 0 0", Done),
		fmt.Sprintf("%d 0 2 hel", Said), fmt.Sprintf("%d 0 2 take", Heard),
		fmt.Sprintf("%d 2 4 XY", Write), fmt.Sprintf("%d 0 4", Done),
		fmt.Sprintf("%d 0 3 ab", Said),
	}
	if got := describe(steps); !slices.Equal(got, want) {
		t.Errorf("steps are\n%s\ninstead of\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	m := NewModel(Image{"a": {Data: []byte("before")}})
	for _, s := range steps {
		if err := m.Apply(s); err != nil {
			t.Fatal(err)
		}
	}
	if image := m.Fail(All()); image["s"].Kind != Socket || string(image["a"].Whole()) != "befoXY" {
		t.Errorf("at the end there is %v", image)
	}
	if image := m.Fail(Nothing()); named(image) != "a" {
		t.Errorf("nothing was synced, and there is %q", named(image))
	}
}

func TestReadTraceNames(t *testing.T) {
	steps := read(t, Image{"d": {Kind: Directory}, "d/old": {}}, trace(`1 mkdirat(AT_FDCWD, {}, 0700) = 0
1 openat(AT_FDCWD, {}, O_WRONLY|O_CREAT|O_TRUNC, 0600) = 5
1 write(5, {}, 2) = 2
1 write(5, {}, 2) = 2
1 renameat(AT_FDCWD, {}, AT_FDCWD, {}) = 0
1 rename({}, {}) = 0
1 unlink({}) = 0
1 openat(AT_FDCWD, {}, O_RDONLY) = 6
1 fsync(6) = 0
`, "/data/e", "/data/e/new", "ab", "cd", "/data/e/new", "/data/d/new", "/data/d/new", "/data/d/old", "/data/d/old", "/data/d"))
	m := NewModel(Image{"d": {Kind: Directory}, "d/old": {}})
	for _, s := range steps {
		if err := m.Apply(s); err != nil {
			t.Fatal(err)
		}
	}
	if got := named(m.Fail(All())); got != "d e" {
		t.Errorf("at the end there is %q", got)
	}
	if got := m.Pending(); got != 3 { // the folder e, and the two writes
		t.Errorf("%d steps pending", got)
	}
	moves := slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return s.Action != Move })
	if len(moves) != 2 || moves[0].OldName != "new" || moves[1].Name != "old" {
		t.Errorf("moves are %+v", moves)
	}
}

func TestTraceRefuses(t *testing.T) {
	open := trace("1 openat(AT_FDCWD, {}, O_RDWR|O_CREAT, 0600) = 4\n", "/data/a")
	for name, tc := range map[string]struct {
		text string
		want error
	}{
		"garbage":          {"hello\n", errTrace},
		"no result":        {"1 fsync(4)\n", errTrace},
		"resumed alone":    {"1 <... fsync resumed>) = 0\n", errTrace},
		"string cut off":   {open + `1 pwrite64(4, "\x41"..., 5, 0) = 5` + "\n", errTrace},
		"string not hex":   {open + `1 pwrite64(4, "A", 1, 0) = 1` + "\n", errTrace},
		"shared map":       {open + "1 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 4, 0) = 0x7f0000000000\n", ErrNotModelled},
		"hole punched":     {open + "1 fallocate(4, FALLOC_FL_PUNCH_HOLE, 0, 1) = 0\n", ErrNotModelled},
		"io_uring":         {"1 io_uring_setup(8, 0x1) = 5\n", ErrNotModelled},
		"link":             {trace("1 linkat(AT_FDCWD, {}, AT_FDCWD, {}, 0) = 0\n", "/data/a", "/data/b"), ErrNotModelled},
		"append":           {trace("1 openat(AT_FDCWD, {}, O_WRONLY|O_CREAT|O_APPEND, 0600) = 4\n1 write(4, {}, 1) = 1\n", "/data/a", "x"), ErrNotModelled},
		"copy_file_range":  {open + "1 copy_file_range(5, NULL, 4, NULL, 10, 0) = 10\n", ErrNotModelled},
		"renamed out of":   {open + trace("1 rename({}, {}) = 0\n", "/data/a", "/tmp/a"), ErrNotModelled},
		"dup":              {open + "1 dup(4) = 5\n", ErrNotModelled},
		"argument missing": {open + trace("1 pwrite64(4, {}) = 1\n", "x"), errTrace},
	} {
		if _, err := ReadTrace(strings.NewReader(tc.text), "/data", nil, 3); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadTrace(strings.NewReader(open+"1 mmap(NULL, 4096, PROT_READ, MAP_SHARED, 4, 0) = 0x7f0000000000\n"), "/data", nil, 3); err != nil {
		t.Error(err)
	}
}

// FuzzReadTrace holds that no trace makes the reader fail otherwise than by an
// error.
func FuzzReadTrace(f *testing.F) {
	f.Add(trace("1 openat(AT_FDCWD, {}, O_RDWR|O_CREAT, 0600) = 4\n1 pwrite64(4, {}, 1, 0) = 1\n1 fsync(4) = 0\n", "/data/a", "x"))
	f.Add(trace("1 rename({}, {}) = 0\n1 mkdirat(4, {}, 0) = 0\n", "/data/a", "/data/b", "c"))
	f.Add("1 write(3, [{iov_base=\"\\x41\", iov_len=1}], 1 <unfinished ...>\n1 <... write resumed>) = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		steps, err := ReadTrace(strings.NewReader(text), "/data", Image{"a": {Data: []byte("x")}, "d": {Kind: Directory}}, 3)
		if err != nil {
			return
		}
		m := NewModel(Image{"a": {Data: []byte("x")}, "d": {Kind: Directory}})
		for _, s := range steps {
			if s.Offset > 1<<20 || s.Offset < 0 {
				return
			}
			if err := m.Apply(s); err != nil {
				t.Fatal(err)
			}
		}
		m.Fail(All())
	})
}

func TestImageOnDisk(t *testing.T) {
	sparse := make([]byte, 20000)
	copy(sparse[9000:], "in the middle")
	image := Image{"d": {Kind: Directory}, "d/e": {Kind: Directory}, "d/e/f": {Data: []byte("x")}, "empty": {Data: []byte{}}, "socket": {Kind: Socket}, "sparse": {Data: sparse, Zeros: 5000}}
	folder := t.TempDir()
	if err := image.Store(folder); err != nil {
		t.Fatal(err)
	}
	for name, file := range image {
		at := filepath.Join(folder, name)
		info, err := os.Stat(at)
		if err != nil || info.IsDir() != (file.Kind == Directory) || info.Mode().IsRegular() != (file.Kind == Regular) {
			t.Errorf("%s is not as it was stored: %v", name, err)
			continue
		}
		if file.Kind != Regular {
			continue
		}
		if data, err := os.ReadFile(at); err != nil || !bytes.Equal(data, file.Whole()) {
			t.Errorf("%s is not what was stored: %v", name, err)
		}
	}
	if err := image.Store(folder); err == nil {
		t.Error("files were overwritten")
	}
}
