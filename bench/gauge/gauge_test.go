package gauge

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"
)

func linux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc of Linux")
	}
}

func TestParseStat(t *testing.T) {
	const line = "4242 (a) b (c) S 17 4242 4242 0 -1 4194560 500 0 0 0 12 34 5 6 20 0 9 0 777 1000 200"
	fields, err := parseStat([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	if fields[fieldState] != "S" || fields[fieldParent] != "17" || fields[fieldUtime] != "12" || fields[fieldCstime] != "6" {
		t.Errorf("%q", fields)
	}
	for _, bad := range []string{"", "4242 (a", "4242 (a) S 1 2 3"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

func TestParseField(t *testing.T) {
	const status = "Name:\tRssAnon: 5 kB\nVmHWM:\t    2048 kB\nRssAnon:\t   3 kB\nThreads:\tmany\n"
	for name, want := range map[string]int64{"VmHWM": 2 << 20, "RssAnon": 3 << 10, "Threads": 0, "VmSwap": 0} {
		if got := parseField([]byte(status), name); got != want {
			t.Errorf("%s: %d instead of %d", name, got, want)
		}
	}
}

func TestCPU(t *testing.T) {
	linux(t)
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for spent := before; spent < before+5*tick; { // work until it shows
		for range 1_000_000 {
			runtime.KeepAlive(spent)
		}
		if spent, err = CPU(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Skip(err)
	}
	if spent, err := CPU(ended.Process.Pid); err != nil || spent != 0 {
		t.Error("a process that has ended:", spent, err)
	}
}

func TestFamily(t *testing.T) {
	linux(t)
	child := exec.Command("cat")
	input, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Skip(err)
	}
	family, err := Family(os.Getpid())
	if err != nil || !slices.Contains(family, os.Getpid()) || !slices.Contains(family, child.Process.Pid) {
		t.Error(family, err)
	}
	if !Running(child.Process.Pid) {
		t.Error("the child does not run")
	}
	input.Close()
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	if Running(child.Process.Pid) {
		t.Error("the child runs after its end")
	}
}

func TestWatch(t *testing.T) {
	linux(t)
	for name, pids := range map[string][]int{"one": {os.Getpid()}, "family": {os.Getpid(), os.Getppid()}} {
		memory := Watch(time.Millisecond, func() []int { return pids }).Stop()
		if memory.Peak <= 0 || memory.Anonymous <= 0 {
			t.Errorf("%s: %+v", name, memory)
		}
	}
}

func TestParseMount(t *testing.T) {
	const line = `36 35 98:0 / /mnt/a\040b rw,noatime shared:1 - ext4 /dev/vda rw`
	if point, kind := parseMount(line); point != "/mnt/a b" || kind != "ext4" {
		t.Error(point, kind)
	}
	if point, kind := parseMount("36 35 98:0"); point != "" || kind != "" {
		t.Error(point, kind)
	}
	if !holds("/", "/a") || !holds("/a", "/a") || !holds("/a", "/a/b") || holds("/a", "/ab") || holds("", "/a") {
		t.Error("holds")
	}
}
