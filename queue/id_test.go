package queue_test

import (
	"bytes"
	"encoding/base32"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/queue"
)

func TestIDText(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	id := queue.NewID(now)
	if got := id.Time(); !got.Equal(now.Truncate(time.Millisecond)) {
		t.Errorf("time %v instead of %v", got, now)
	}
	text := id.String()
	if len(text) != 20 || strings.Trim(text, "0123456789abcdefghijklmnopqrstuv") != "" {
		t.Errorf("text %q", text)
	}
	if back, err := queue.ParseID(text); err != nil || back != id {
		t.Errorf("%v becomes %v, %v", id, back, err)
	}
	if id.IsZero() || !(queue.ID{}).IsZero() {
		t.Error("IsZero")
	}
	if queue.NewID(now) == id {
		t.Error("two ids of one instant are equal")
	}
}

// TestIDOrder proves that ids, as bytes and as text, are in the order of their
// times.
func TestIDOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const years = 200 * 365 * 24 * 3600 * 1000
		earlier := rapid.Int64Range(0, years).Draw(t, "earlier")
		later := earlier + rapid.Int64Range(1, years).Draw(t, "gap")
		a, b := queue.NewID(time.UnixMilli(earlier)), queue.NewID(time.UnixMilli(later))
		if bytes.Compare(a[:], b[:]) >= 0 || a.String() >= b.String() {
			t.Fatalf("%v is not before %v", a, b)
		}
	})
}

func TestParseIDRefuses(t *testing.T) {
	good := queue.NewID(time.Now()).String()
	for _, in := range []string{"", good[1:], good + "0", strings.ToUpper(good[:19]) + "W", good[:19] + "w", good[:19] + "-", good[:19] + "1", good[:18] + "\r\n", strings.Repeat("é", 10)} {
		if id, err := queue.ParseID(in); !errors.Is(err, queue.ErrID) || !id.IsZero() {
			t.Errorf("%q passed as %v, %v", in, id, err)
		}
	}
}

func TestIDJSON(t *testing.T) {
	id := queue.NewID(time.Now())
	data, err := json.Marshal(map[queue.ID]queue.ID{id: id})
	if err != nil {
		t.Fatal(err)
	}
	var back map[queue.ID]queue.ID
	if err := json.Unmarshal(data, &back); err != nil || back[id] != id {
		t.Errorf("%s: %v, %v", data, back, err)
	}
	if err := json.Unmarshal([]byte(`{"x":"y"}`), &back); !errors.Is(err, queue.ErrID) {
		t.Error(err)
	}
}

// FuzzParseID holds that text which passes is the one text of its id.
func FuzzParseID(f *testing.F) {
	f.Add("00000000000000000000")
	f.Add("vvvvvvvvvvvvvvvvvvvg")
	f.Add(queue.NewID(time.Unix(1772366400, 0)).String())
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := queue.ParseID(s); err == nil && id.String() != s {
			t.Errorf("%q becomes %q", s, id)
		}
	})
}

// TestIDEncoding compares the text of an id with the library's encoding.
func TestIDEncoding(t *testing.T) {
	oracle := base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)
	for range 1000 {
		id := queue.NewID(time.Now())
		if got, want := id.String(), oracle.EncodeToString(id[:]); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}
