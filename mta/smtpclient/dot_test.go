package smtpclient

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// written returns what arrives when the pieces are sent.
func written(t testing.TB, pieces ...[]byte) []byte {
	near, far := net.Pipe()
	arrived := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(far) // it ends by Close
		arrived <- all
	}()
	d := newDataWriter(newWire(near), time.Minute)
	for _, p := range pieces {
		if err := d.write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	if err := d.flush(); err != nil {
		t.Fatal(err)
	}
	if err := near.Close(); err != nil {
		t.Fatal(err)
	}
	return <-arrived
}

func TestDotStuffing(t *testing.T) {
	for name, test := range map[string]struct {
		pieces []string
		want   string
	}{
		"nothing":              {nil, ".\r\n"},
		"plain":                {[]string{"a\r\n"}, "a\r\n.\r\n"},
		"no end":               {[]string{"a"}, "a\r\n.\r\n"},
		"ends in CR":           {[]string{"a\r"}, "a\r\n.\r\n"},
		"ends in LF":           {[]string{"a\n"}, "a\n\r\n.\r\n"},
		"end across pieces":    {[]string{"a\r", "\n"}, "a\r\n.\r\n"},
		"dot first":            {[]string{".a\r\n"}, "..a\r\n.\r\n"},
		"lone dot":             {[]string{"a\r\n.\r\nb\r\n"}, "a\r\n..\r\nb\r\n.\r\n"},
		"two dots":             {[]string{"a\r\n..\r\n"}, "a\r\n...\r\n.\r\n"},
		"dot inside":           {[]string{"a.b\r\n"}, "a.b\r\n.\r\n"},
		"dot across pieces":    {[]string{"a\r\n", ".\r\n"}, "a\r\n..\r\n.\r\n"},
		"dot across each":      {[]string{"a", "\r", "\n", ".", "\r", "\n"}, "a\r\n..\r\n.\r\n"},
		"empty pieces between": {[]string{"a\r\n", "", "", ".", ""}, "a\r\n..\r\n.\r\n"},
		"bare LF":              {[]string{"a\n.\nb\r\n"}, "a\n..\nb\r\n.\r\n"},
		"bare CR":              {[]string{"a\r.\rb\r\n"}, "a\r..\rb\r\n.\r\n"},
		"NUL":                  {[]string{"a\r\n\x00.\r\n"}, "a\r\n\x00..\r\n.\r\n"},
		"only a dot":           {[]string{"."}, "..\r\n.\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var pieces [][]byte
			for _, p := range test.pieces {
				pieces = append(pieces, []byte(p))
			}
			if got := written(t, pieces...); string(got) != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestDotStuffingProperty: however the message is cut, the same octets leave;
// the data ends once, at the end, even for a server to which anything ends a
// line; and a message without stray CR, LF and NUL arrives as it was.
func TestDotStuffingProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		message := rapid.SliceOf(rapid.SampledFrom([]byte("a.\r\n\x00 "))).Draw(rt, "message")
		cut := rapid.IntRange(0, len(message)).Draw(rt, "cut")
		got := written(t, message[:cut], message[cut:])
		if whole := written(t, message); !bytes.Equal(got, whole) {
			rt.Fatalf("%q in two pieces, %q in one", got, whole)
		}
		content, ok := bytes.CutSuffix(got, []byte(".\r\n"))
		if !ok {
			rt.Fatalf("no end in %q", got)
		}
		lenient := bytes.FieldsFunc(content, func(r rune) bool { return r == '\r' || r == '\n' || r == 0 })
		for _, line := range lenient {
			if string(line) == "." {
				rt.Fatalf("lone dot in %q", got)
			}
		}
	})
}

func TestDotStuffingIsReversible(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lines := rapid.SliceOfN(rapid.StringMatching(`[a. ]{0,5}`), 1, 20).Draw(rt, "lines")
		var message, arrived []byte
		for _, line := range lines {
			message = append(append(message, line...), "\r\n"...)
		}
		content, _ := bytes.CutSuffix(written(t, message), []byte(".\r\n"))
		for line := range bytes.Lines(content) {
			arrived = append(arrived, bytes.TrimPrefix(line, []byte("."))...)
		}
		if !bytes.Equal(arrived, message) {
			rt.Fatalf("%q arrived as %q", message, arrived)
		}
	})
}

// TestSmuggling sends every known false end of data and looks for it among
// the octets that leave.
func TestSmuggling(t *testing.T) {
	file := corpusFile(t, "smtp/smuggling.json")
	var cases []struct {
		Bytes string `json:"bytes_b64"`
		Repr  string `json:"repr"`
	}
	if err := json.Unmarshal(file, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		sequence, err := base64.StdEncoding.DecodeString(c.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		message := bytes.Join([][]byte{[]byte("a"), sequence, []byte("MAIL FROM:<x@example.com>\r\n")}, nil)
		if got := written(t, message); bytes.Contains(got, append([]byte("a"), sequence...)) {
			t.Errorf("%s left as it was: %q", c.Repr, got)
		}
	}
}

func corpusFile(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("POSTRIDER_CORPUS")
	for root := "."; dir == "" && len(root) < 40; root = filepath.Join("..", root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			dir = filepath.Join(root, "..", "shared", "corpus")
		}
	}
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Skipf("corpus is absent: %v", err)
	}
	return content
}

func TestLargeMessageIsWrittenInBlocks(t *testing.T) {
	message := bytes.Repeat([]byte("0123456789abcde\r\n.dot\r\n"), 100_000)
	got := written(t, message[:70_001], message[70_001:])
	want := append(bytes.ReplaceAll(message, []byte("\n."), []byte("\n..")), ".\r\n"...)
	if !bytes.Equal(got, want) {
		t.Errorf("%d octets left, want %d", len(got), len(want))
	}
}
