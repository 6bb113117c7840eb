package main

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/tracking"
)

func TestPrint(t *testing.T) {
	at := func(answers int, p99 time.Duration) measured {
		return measured{turn: turn{answers: answers, took: time.Second, waits: []time.Duration{time.Millisecond, p99}}, cpu: time.Second / 2}
	}
	f := figures{
		rewriting: []rewriting{{encoding: "8bit", perSecond: 80e6}, {encoding: "base64", perSecond: 20.5e6}},
		tracker:   []measured{at(700, 4*time.Millisecond), at(900, 6*time.Millisecond), at(100, 5*time.Millisecond)},
		bare:      []measured{at(1000, 0), at(1000, 0), at(1000, 0)},
		events:    500_000, disk: 200e6,
	}
	var out strings.Builder
	if err := f.print(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if got, want := lines[len(lines)-1], "bench-tracking: vs_bare=0.70 p99_ms=5.00 rewrite_mb_s=20.5 disk_mb_per_million=400"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := new(figures).print(&strings.Builder{}); err != nil {
		t.Error(err)
	}
}

func TestRedirected(t *testing.T) {
	for text, ok := range map[string]bool{
		"HTTP/1.1 302 Found\r\nLocation: x\r\nContent-Length: 3\r\n\r\nabcHTTP": true, "HTTP/1.1 302 Found\r\n\r\nHTTP": true,
		"HTTP/1.1 404 Not Found\r\n\r\n": false, "HTTP/1.1 302 Found\r\nContent-Length: x\r\n\r\n": false, "HTTP/1.1 302 Found\r\n": false, "": false,
	} {
		r := bufio.NewReader(strings.NewReader(text))
		err := redirected(r)
		rest, _ := r.Peek(4)
		if (err == nil) != ok || ok && string(rest) != "HTTP" {
			t.Errorf("%q: %v, then %q", text, err, rest)
		}
	}
}

// TestMadeUp proves that the templates without a corpus have links to rewrite.
func TestMadeUp(t *testing.T) {
	made := madeUp()
	for _, encoding := range encodings() {
		messages, octets, err := made.messages(encoding)
		if err != nil || octets < 20_000 || len(messages) != 1 {
			t.Fatalf("%s: %d octets, %v", encoding, octets, err)
		}
		_, rendered, err := tracking.Render(messages[0], tracking.RenderOptions{})
		if err != nil || rendered.Untouched != nil {
			t.Errorf("%s: %v, %v", encoding, err, rendered.Untouched)
		}
	}
}
