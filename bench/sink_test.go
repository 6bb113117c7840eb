package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/bench/load"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSinkAndGenerator plays both processes in this one: the sink counts what
// the generator sends to any of its addresses, and keeps the probe's.
func TestSinkAndGenerator(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs all of 127.0.0.0/8 on the loopback device")
	}
	plan := jobs()[1].sinkPlan()
	theirs, questions := io.Pipe()
	answers, ours := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- runSink(theirs, ours)
		ours.Close()
	}()
	s := &sink{input: questions, questions: json.NewEncoder(questions), answers: json.NewDecoder(answers)}
	var ready sinkReady
	if err := s.questions.Encode(plan); err != nil {
		t.Fatal(err)
	}
	if err := s.answers.Decode(&ready); err != nil {
		t.Fatal(err)
	}
	for _, address := range append(plan.Addresses[:2], plan.Probe) {
		handIn(t, load.Work{
			Address: fmt.Sprintf("%s:%d", address, ready.Port), Sessions: 2, Messages: 10, Size: 2000,
			Domains: []string{"a.example"}, Sender: sender,
		})
	}
	if at, err := s.await(20, time.Minute); err != nil || at.IsZero() {
		t.Error(at, err)
	}
	if _, err := s.await(21, time.Millisecond); err == nil {
		t.Error("a message too few passed")
	}
	if message, err := s.probe(time.Minute); err != nil || !bytes.Contains(message, []byte("Harbour Books")) {
		t.Errorf("%q, %v", message, err)
	}
	questions.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// handIn is what the generator's process does.
func handIn(t *testing.T, work load.Work) {
	t.Helper()
	input, err := json.Marshal(work)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := runGenerator(t.Context(), bytes.NewReader(input), &out); err != nil {
		t.Fatal(err)
	}
	var span load.Span
	if err := json.Unmarshal(out.Bytes(), &span); err != nil || span.First.IsZero() {
		t.Error(out.String(), err)
	}
}

// TestKey proves that the check of signatures sees one that is missing.
func TestKey(t *testing.T) {
	key, err := newSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := key.verify([]byte("From: <a@bench.example>\r\n\r\nunsigned\r\n")); err == nil {
		t.Error("an unsigned message passed")
	}
}
