package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// sink is the other end: the sink's process as the benchmark sees it.
type sink struct {
	cmd       *exec.Cmd
	input     io.WriteCloser
	questions *json.Encoder
	answers   *json.Decoder
	port      int
}

// startSink starts this program anew as a sink.
func startSink(ctx context.Context, plan sinkPlan) (*sink, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &sink{cmd: exec.CommandContext(ctx, self, sinkCommand)}
	s.cmd.Stderr = os.Stderr
	if s.input, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.questions, s.answers = json.NewEncoder(s.input), json.NewDecoder(output)
	var ready sinkReady
	if err := errors.Join(s.questions.Encode(plan), s.answers.Decode(&ready)); err != nil {
		return nil, errors.Join(fmt.Errorf("start the sink: %w", err), s.close())
	}
	s.port = ready.Port
	return s, nil
}

func (s *sink) pid() int { return s.cmd.Process.Pid }

func (s *sink) ask(q sinkQuestion) (sinkAnswer, error) {
	var a sinkAnswer
	if err := errors.Join(s.questions.Encode(q), s.answers.Decode(&a)); err != nil {
		return a, fmt.Errorf("ask the sink: %w", err)
	}
	return a, nil
}

// await returns the time at which the sink had so many messages.
func (s *sink) await(messages int, within time.Duration) (time.Time, error) {
	a, err := s.ask(sinkQuestion{Messages: int64(messages), Within: within})
	if err == nil && a.Messages != int64(messages) {
		err = fmt.Errorf("the sink has %d of %d messages after %v", a.Messages, messages, within)
	}
	return a.At, err
}

// probe returns the message that went to the probe's address.
func (s *sink) probe(within time.Duration) ([]byte, error) {
	a, err := s.ask(sinkQuestion{Probe: true, Within: within})
	if err == nil && a.Probe == nil {
		err = fmt.Errorf("the first message did not come within %v", within)
	}
	return a.Probe, err
}

// close lets the process end and waits for it.
func (s *sink) close() error {
	_ = s.input.Close()
	return s.cmd.Wait()
}
