package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/postrider-mta/postrider/internal/testmx"
)

// faultSettings make a daemon write often, so that a fault is met soon.
func faultSettings(disk string) settings {
	return settings{dataDir: disk, queue: "retry_first = \"3s\"\nretry_max = \"3s\"\nsegment_size = \"1MB\"\ncheckpoint_interval = \"100ms\"\ncheckpoint_size = \"256KB\"\n"}
}

// gate is a mail exchanger that takes mail when it is told to. While it is
// patient, mail waits at it instead of being turned away.
type gate struct {
	*testmx.Server
	open, patient atomic.Bool
}

func newGate(w *world) *gate {
	g := &gate{}
	g.Server = w.domain("reader.example", testmx.Options{OnMessage: func(*testmx.Message) error {
		for g.patient.Load() && !g.open.Load() && w.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if g.open.Load() {
			return nil
		}
		return errors.New("not now")
	}})
	return g
}

// trace is strace at work on the daemon.
type trace struct {
	cmd  *exec.Cmd
	done chan error
	once sync.Once
}

// inject lets system calls of the daemon fail from now on. It skips the test
// where that cannot be done.
func (w *world) inject(faults ...string) *trace {
	w.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		w.Skipf("system calls cannot be made to fail here: %v", err)
	}
	arguments := []string{"-f", "-qq", "-o", os.DevNull, "-p", fmt.Sprint(w.daemon.PID())}
	var calls []string
	for _, fault := range faults {
		call, _, _ := strings.Cut(fault, ":")
		calls = append(calls, call)
		arguments = append(arguments, "-e", "inject="+fault)
	}
	// Only what is injected is traced, and only that is slow.
	arguments = append(arguments, "-e", "signal=none", "-e", "trace="+strings.Join(calls, ","))
	t := &trace{cmd: exec.Command(path, arguments...), done: make(chan error, 1)}
	var said strings.Builder
	t.cmd.Stderr = &said
	if err := t.cmd.Start(); err != nil {
		w.Fatal(err)
	}
	go func() { t.done <- t.cmd.Wait() }()
	for deadline := time.Now().Add(patience); !w.traced(); time.Sleep(time.Millisecond) {
		select {
		case <-t.done:
			w.Skipf("system calls cannot be made to fail here: %s", strings.TrimSpace(said.String()))
		default:
		}
		if time.Now().After(deadline) {
			w.Fatal("strace does not take hold")
		}
	}
	w.Cleanup(t.stop)
	return t
}

// traced reports whether every thread of the daemon is.
func (w *world) traced() bool {
	status, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", w.daemon.PID()))
	for _, file := range status {
		text, _ := os.ReadFile(file)
		if strings.Contains(string(text), "TracerPid:\t0\n") {
			return false
		}
	}
	return err == nil && len(status) > 0
}

// stop lets the fault pass.
func (t *trace) stop() {
	t.once.Do(func() {
		_ = t.cmd.Process.Signal(syscall.SIGINT)
		<-t.done
	})
}

// taken keeps the ids that were acknowledged.
type taken struct {
	mu  sync.Mutex
	ids []string
}

func (t *taken) add(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ids = append(t.ids, id)
}

// offer hands in one message, and returns what the daemon says to it.
func (w *world) offer(t *taken) error {
	w.Helper()
	c, err := dial("tcp", w.submission)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	id, err := c.send(sender, []string{"reader@reader.example"}, []byte(letter()))
	if err == nil {
		t.add(id)
	}
	return err
}

// ready returns what /readyz says, "ready" where it is.
func (w *world) ready() string {
	response, text := w.ask(http.MethodGet, "http://"+w.health+"/readyz", "", "")
	if response.StatusCode == http.StatusOK {
		return "ready"
	}
	return text
}

// fault takes the daemon through one: what waits is sent meanwhile, mail is
// refused as it has to be, the operator is told, and when the fault has passed
// the same process goes on. A kill at the end shows what was kept.
func (w *world) fault(g *gate, t *taken, text string, begin func() (end func())) {
	w.Helper()
	for range 5 {
		if err := w.offer(t); err != nil {
			w.Fatal(err)
		}
	}
	w.await("all wait for another attempt", func() bool { return strings.Count(w.log(), "type=deferred") >= 5 })
	// What is deferred under the fault cannot be written, and waits for its end.
	g.patient.Store(true)
	end := begin()
	w.sendsUnderFault(g, t, text)
	for range 3 {
		mustRefuse(w, text, w.offer(t), 452, "4.3.1")
	}
	if why := w.ready(); !strings.Contains(why, text) {
		w.Errorf("/readyz says %q, want the reason %q", why, text)
	}
	if !strings.Contains(w.log(), text) {
		w.Errorf("the log does not tell of %q", text)
	}
	end()
	w.recovered(g, t)
}

// sendsUnderFault expects that new mail is refused and what waits is sent.
func (w *world) sendsUnderFault(g *gate, t *taken, text string) {
	w.Helper()
	g.open.Store(true)
	g.patient.Store(false)
	w.await("mail is refused", func() bool {
		err := w.offer(t)
		if err != nil {
			mustRefuse(w, text, err, 452, "4.3.1")
		}
		return err != nil
	})
	w.await("what waits is sent", func() bool { return len(g.Messages()) > 0 })
}

// recovered expects that the fault has passed without a restart, and that a
// kill then loses nothing.
func (w *world) recovered(g *gate, t *taken) {
	w.Helper()
	w.await("mail is taken again", func() bool { return w.offer(t) == nil })
	w.settled()
	w.await("the daemon is ready", func() bool { return w.ready() == "ready" })
	g.open.Store(false)
	for range 5 {
		if err := w.offer(t); err != nil {
			w.Error(err)
		}
	}
	w.daemon.Kill()
	w.restart()
	g.open.Store(true)
	w.settled()
	w.arrived(g, t)
}

// arrived expects every acknowledged message at the mail exchanger.
func (w *world) arrived(g *gate, t *taken) {
	w.Helper()
	all := string(concatenated(g.Server))
	for _, id := range t.ids {
		if !strings.Contains(all, " id "+id) {
			w.Errorf("message %s was acknowledged and is lost", id)
		}
	}
	w.Logf("%d messages were acknowledged, %d arrived", len(t.ids), len(g.Messages()))
}

func TestDiskFaultsPassWithoutARestart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		faults     []string
	}{
		{"failed sync", "input/output error", []string{"fdatasync:error=EIO"}},
		{"failed write", "input/output error", []string{"pwrite64:error=EIO"}},
		{"quota", "disk quota exceeded", []string{"pwrite64:error=EDQUOT", "ftruncate:error=EDQUOT"}},
		{"read-only", "read-only file system", []string{"pwrite64:error=EROFS", "ftruncate:error=EROFS", "unlinkat:error=EROFS", "fdatasync:error=EROFS"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			g := newGate(w)
			w.start(faultSettings(""))
			w.fault(g, &taken{}, c.text, func() func() { return w.inject(c.faults...).stop })
		})
	}
}

// Now and then a sync fails, under load: what is acknowledged is there.
func TestSyncsThatFailNowAndThen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newGate(w)
	g.open.Store(true)
	w.start(faultSettings(""))
	tracing := w.inject("fdatasync:error=EIO:when=3+7")
	all := &taken{}
	refused := 0
	w.await("many were taken and some refused", func() bool {
		if err := w.offer(all); err != nil {
			mustRefuse(w, "a failed sync", err, 452, "4.3.1")
			refused++
		}
		return len(all.ids) >= 25 && refused >= 5
	})
	tracing.stop()
	w.Logf("%d were refused", refused)
	w.recovered(g, all)
}

// A file system that made itself read-only needs its operator; what it holds is
// there when it is back.
func TestFileSystemThatTurnsReadOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newGate(w)
	disk := filepath.Join(w.dir, "disk")
	mount, breakDown := w.failingDisk(disk)
	w.start(faultSettings(disk))
	all := &taken{}
	for range 5 {
		if err := w.offer(all); err != nil {
			t.Fatal(err)
		}
	}
	w.await("all wait for another attempt", func() bool { return strings.Count(w.log(), "type=deferred") >= 5 })
	g.patient.Store(true)
	breakDown()
	w.sendsUnderFault(g, all, "a read-only file system")
	if why := w.ready(); !strings.Contains(why, "read-only file system") {
		t.Errorf("/readyz says %q", why)
	}
	w.daemon.Kill()
	mount()
	w.restart()
	w.settled()
	w.arrived(g, all)
}

// failingDisk mounts an ext4 file system of its own that can be made to turn
// read-only, as it does when its disk fails. mount mounts it anew.
func (w *world) failingDisk(folder string) (mount, breakDown func()) {
	w.Helper()
	image := w.write("disk.img", "")
	command := func(name string, arguments ...string) error {
		out, err := exec.Command(name, arguments...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	err := errors.Join(os.Truncate(image, 48<<20), os.Mkdir(folder, 0o700),
		command("mkfs.ext4", "-q", "-F", image), command("mount", "-o", "loop,errors=remount-ro", image, folder))
	if err != nil {
		w.Skipf("a file system of its own cannot be mounted here (it takes root): %v", err)
	}
	w.Cleanup(func() {
		w.daemon.Kill()
		if err := command("umount", folder); err != nil {
			w.Error(err)
		}
	})
	var device unix.Stat_t
	if err := unix.Stat(folder, &device); err != nil {
		w.Fatal(err)
	}
	name, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(device.Dev), unix.Minor(device.Dev)))
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(name), "trigger_fs_error")
	if _, statErr := os.Stat(trigger); err != nil || statErr != nil {
		w.Skipf("the kernel cannot be told that the file system is damaged: %v", errors.Join(err, statErr))
	}
	breakDown = func() {
		if err := os.WriteFile(trigger, []byte("1"), 0); err != nil {
			w.Fatal(err)
		}
	}
	mount = func() {
		if err := errors.Join(command("umount", folder), command("mount", "-o", "loop,errors=remount-ro", image, folder)); err != nil {
			w.Fatal(err)
		}
	}
	return mount, breakDown
}

// With all descriptors used up the daemon neither spins nor dies.
func TestTooManyOpenFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newGate(w)
	w.start(faultSettings(""))
	all := &taken{}
	for range 5 {
		if err := w.offer(all); err != nil {
			t.Fatal(err)
		}
	}
	pid := w.daemon.PID()
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Skipf("the limit of open files cannot be changed here: %v", err)
	}
	// A session from before is heard, and those that come wait to be.
	session := w.connect()
	defer session.conn.Close()
	limit := before
	limit.Cur = uint64(w.descriptors())
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Skipf("the limit of open files cannot be changed here: %v", err)
	}
	var waiting []net.Conn
	for range 20 {
		conn, err := net.Dial("tcp", w.submission)
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, conn)
	}
	w.await("the log tells", func() bool { return strings.Contains(w.log(), "too many open files") })
	refused := w.fillSegment(session, all)
	mustRefuse(w, "too many open files", refused, 452, "4.3.1")
	lines := strings.Count(w.log(), "\n")
	used := w.processorTime()
	time.Sleep(time.Second)
	if spent := w.processorTime() - used; spent > 700*time.Millisecond {
		t.Errorf("%v of processor time in one second", spent)
	}
	if n := strings.Count(w.log(), "\n") - lines; n > 100 {
		t.Errorf("%d lines were logged in one second", n)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	for _, conn := range waiting {
		conn.Close()
	}
	g.open.Store(true)
	w.recovered(g, all)
}

// fillSegment sends over a session that is there until the journal needs a new
// file, and returns how that is refused.
func (w *world) fillSegment(c *client, all *taken) error {
	w.Helper()
	for range 100 {
		id, err := c.send(sender, []string{"reader@reader.example"}, []byte(bulky()))
		if err != nil {
			return err
		}
		all.add(id)
	}
	return nil
}

func (w *world) descriptors() int {
	w.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.daemon.PID()))
	if err != nil {
		w.Fatal(err)
	}
	return len(all)
}

// processorTime is what the daemon has used so far.
func (w *world) processorTime() time.Duration {
	w.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.daemon.PID()))
	if err != nil {
		w.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
	var user, system int64
	if _, err := fmt.Sscan(fields[12]+" "+fields[13], &user, &system); err != nil {
		w.Fatal(err)
	}
	const tick = 10 * time.Millisecond
	return time.Duration(user+system) * tick
}

// A damaged queue.db keeps the daemon from starting, which says what to do;
// that done, everything acknowledged is sent.
func TestDamagedDatabaseIsRebuilt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newGate(w)
	w.start(faultSettings(""))
	all := &taken{}
	for range 20 {
		if err := w.offer(all); err != nil {
			t.Fatal(err)
		}
	}
	w.daemon.Kill()
	database := filepath.Join(w.dir, "data", "queue.db")
	if err := os.Truncate(database, 3000); err != nil {
		t.Fatal(err)
	}
	err := w.daemon.Restart(w.ctx)
	if err == nil || !strings.Contains(err.Error(), database) || !strings.Contains(err.Error(), "postrider store rebuild") {
		t.Fatalf("started with %v", err)
	}
	said := w.run("store", "rebuild", "--config", w.daemon.ConfigFile())
	if !strings.Contains(said, "20 recipients of 20 messages owed") || !strings.Contains(said, database+".damaged") {
		t.Errorf("said %s", said)
	}
	w.restart()
	if why := w.fails("store", "rebuild", "--config", w.daemon.ConfigFile()); !strings.Contains(why, "stop it first") {
		t.Errorf("beside the daemon: %s", why)
	}
	g.open.Store(true)
	w.settled()
	w.arrived(g, all)
}

// Pages that go bad under a running daemon cost what is in them, until the
// file is rebuilt; all else is sent.
func TestPagesDamagedUnderTheDaemon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newGate(w)
	other := w.domain("other.example", testmx.Options{})
	s := faultSettings("")
	s.queue = strings.ReplaceAll(s.queue, "3s", "3s")
	w.start(s)
	all := &taken{}
	const stored = 150
	for range stored {
		if err := w.offer(all); err != nil {
			t.Fatal(err)
		}
	}
	w.await("all wait for another attempt", func() bool { return strings.Count(w.log(), "type=deferred") >= stored })
	database := filepath.Join(w.dir, "data", "queue.db")
	w.await("they are in queue.db", func() bool { return w.checkpointed(database) })
	w.ruin(database)
	g.open.Store(true)
	c := w.connect()
	if _, err := c.send(sender, []string{"reader@other.example"}, []byte(letter())); err != nil {
		t.Errorf("new mail: %v", err)
	}
	w.await("new mail is sent", func() bool { return len(other.Messages()) == 1 })
	w.await("the log tells what to do", func() bool {
		return strings.Contains(w.log(), database) && strings.Contains(w.log(), "postrider store rebuild")
	})
	t.Logf("%d of %d were sent before the repair", len(g.Messages()), stored)
	w.daemon.Kill()
	t.Log(w.run("store", "rebuild", "--force", "--config", w.daemon.ConfigFile()))
	w.restart()
	w.await("what waits is tried", func() bool {
		w.run("queue", "retry", "--all")
		return len(g.Messages()) >= stored
	})
	w.settled()
	w.arrived(g, all)
}

// checkpointed reports whether a file has rested for some checkpoints.
func (w *world) checkpointed(path string) bool {
	info, err := os.Stat(path)
	return err == nil && time.Since(info.ModTime()) > 400*time.Millisecond
}

// ruin overwrites leaves of a database under whoever has it open.
func (w *world) ruin(path string) {
	w.Helper()
	const pageSize, kind, leaf = 1024, 8, 2
	b, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		w.Fatal(err)
	}
	defer file.Close()
	for at := 2 * pageSize; at+pageSize <= len(b); at += pageSize {
		if page := b[at : at+pageSize]; page[kind] != leaf || at/pageSize%2 == 0 {
			continue
		}
		if _, err := file.WriteAt([]byte(strings.Repeat("\xa5", pageSize)), int64(at)); err != nil {
			w.Fatal(err)
		}
	}
}

// Mail whose content is gone waits with a word for its segment to be put back,
// and all other mail is sent.
func TestMissingSegmentIsLookedForUntilItIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newGate(w)
	s := faultSettings("")
	s.queue = strings.ReplaceAll(s.queue, "3s", "2s")
	w.start(s)
	all := &taken{}
	segment := filepath.Join(w.dir, "data", "journal", "00000001")
	c := w.connect()
	for i := 0; i < 10 || len(w.segmentsOnDisk()) < 2; i++ {
		id, err := c.send(sender, []string{"reader@reader.example"}, []byte(bulky()))
		if err != nil {
			t.Fatal(err)
		}
		all.add(id)
	}
	w.await("all are in queue.db", func() bool { return w.checkpointed(filepath.Join(w.dir, "data", "queue.db")) })
	w.daemon.Kill()
	if err := os.Rename(segment, w.dir+"/away"); err != nil {
		t.Fatal(err)
	}
	g.open.Store(true)
	w.restart()
	if !strings.Contains(w.log(), "a journal segment is missing") {
		t.Error("the log does not tell of the segment")
	}
	w.await("what is whole has gone, and the rest says why it waits", func() bool {
		return len(g.Messages()) > 0 && strings.Contains(w.run("queue", "show", "--domain", "reader.example"), "stored message is damaged")
	})
	w.daemon.Kill()
	if err := os.Rename(w.dir+"/away", segment); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.settled()
	w.arrived(g, all)
}

func (w *world) segmentsOnDisk() []string {
	w.Helper()
	all, err := filepath.Glob(filepath.Join(w.dir, "data", "journal", "0*"))
	if err != nil {
		w.Fatal(err)
	}
	return all
}
