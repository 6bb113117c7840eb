package powerfail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// ErrNoTrace: system calls cannot be traced here.
var ErrNoTrace = errors.New("system calls cannot be traced")

// announceFD is the descriptor that the worker announces to.
const announceFD = 3

// longestString is the longest write that is traced whole, in octets.
const longestString = 64 << 20

// workVariable is the environment variable that holds a worker's Work as JSON.
const workVariable = "POSTRIDER_POWERFAIL_WORK"

// RunWorker does the work that the environment asks for. It reports false if
// there is none. Programs that call Record call it first.
func RunWorker() (asked bool, err error) {
	text := os.Getenv(workVariable)
	if text == "" {
		return false, nil
	}
	var w Work
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return true, err
	}
	return true, w.Do(context.Background(), os.NewFile(announceFD, "announcements"))
}

// CanTrace returns why Record would fail; nil if it should not.
func CanTrace(ctx context.Context) error {
	path, err := exec.LookPath("strace")
	if err != nil {
		return fmt.Errorf("%w: there is no strace", ErrNoTrace)
	}
	if out, err := exec.CommandContext(ctx, path, "-f", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNoTrace, bytes.TrimSpace(out), err)
	}
	return nil
}

// subject is what the power fails under.
type subject interface {
	// record lets it work once, and returns what it asked of the disk, with
	// notes of what was announced.
	record(ctx context.Context, r recording) ([]disk.Step, error)
	// group is how many journal records one sync may carry at most.
	group() int
}

// group implements subject: one of each who works.
func (w Work) group() int { return submitters + deliverers + 1 }

// recording is one life to record.
type recording struct {
	// number of the life, from 0, and begin the disk that it begins with.
	number int
	begin  disk.Image
	// firstNumber is above the numbers of earlier words.
	firstNumber int
	scratch     string
}

// record implements subject: this program works in a process of its own.
func (w Work) record(ctx context.Context, r recording) ([]disk.Step, error) {
	w.Seed += uint64(r.number)
	w.FirstNumber = r.firstNumber
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if w.Folder, err = prepare(r.begin, r.scratch); err != nil {
		return nil, err
	}
	trace := w.Folder + ".trace"
	if err := traceWork(ctx, w, program, trace); err != nil {
		return nil, err
	}
	file, err := os.Open(trace)
	if err != nil {
		return nil, err
	}
	steps, err := disk.ReadTrace(file, w.Folder, r.begin, announceFD)
	return steps, errors.Join(err, file.Close(), os.Remove(trace), os.RemoveAll(w.Folder))
}

// prepare makes a folder with the image in it.
func prepare(begin disk.Image, scratch string) (string, error) {
	folder, err := os.MkdirTemp(scratch, "store")
	if err != nil {
		return "", err
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return "", err
	}
	return folder, begin.Store(folder)
}

func traceWork(ctx context.Context, w Work, program, trace string) error {
	text, err := json.Marshal(w)
	if err != nil {
		return err
	}
	nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer nowhere.Close()
	cmd := exec.CommandContext(ctx, "strace", append(straceArguments(trace), program)...)
	// Preemption by signals would fill the trace.
	cmd.Env = append(os.Environ(), workVariable+"="+string(text), "GODEBUG=asyncpreemptoff=1", "GORACE=atexit_sleep_ms=0")
	cmd.ExtraFiles = []*os.File{nowhere}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("worker: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// straceArguments have strace write to a file what disk.ReadTrace reads.
func straceArguments(trace string) []string {
	return []string{
		"-f", "--seccomp-bpf", "-qq", "-xx", "-e", "signal=none",
		"-e", "trace=" + disk.Calls(), "-s", fmt.Sprint(longestString), "-o", trace,
	}
}
