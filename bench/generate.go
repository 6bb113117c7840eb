package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/postrider-mta/postrider/bench/load"
)

// generateCommand is the hidden argument that makes this program the
// generator: a process of its own, so that its processor time is known apart.
const generateCommand = "generate"

// runGenerator is the generator's process: work in, span out.
func runGenerator(ctx context.Context, in io.Reader, out io.Writer) error {
	var work load.Work
	if err := json.NewDecoder(in).Decode(&work); err != nil {
		return err
	}
	span, err := work.Generate(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(span)
}

// generate starts this program anew as a generator, and returns when the work
// was done and what it cost the generator.
func generate(ctx context.Context, work load.Work) (load.Span, time.Duration, error) {
	var span load.Span
	self, err := os.Executable()
	if err != nil {
		return span, 0, err
	}
	input, err := json.Marshal(work)
	if err != nil {
		return span, 0, err
	}
	var out, failure bytes.Buffer
	cmd := exec.CommandContext(ctx, self, generateCommand)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &failure
	if err := cmd.Run(); err != nil {
		return span, 0, fmt.Errorf("generator: %w: %s", err, bytes.TrimSpace(failure.Bytes()))
	}
	if err := json.Unmarshal(out.Bytes(), &span); err != nil {
		return span, 0, fmt.Errorf("generator: %w", err)
	}
	return span, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
