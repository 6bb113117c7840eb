package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/postrider-mta/postrider/bench/gauge"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

const (
	// sampling is how often memory is looked at.
	sampling = 20 * time.Millisecond
	// watching is how long a daemon is watched beside its backlog.
	watching = 5 * time.Second
	// patience bounds every wait for a first delivery.
	patience = 2 * time.Minute
	stopTime = time.Minute
	// tail is what is accepted, in messages of 10 KB, before a process is
	// killed: journal that the next start has to replay.
	tail = 20_000
)

// backlog is how much waits.
type backlog struct {
	name                   string
	recipients, perMessage int
}

// wall is a mail exchanger that takes nothing: it notes when the first message
// has arrived, and answers no message before it is closed.
type wall struct {
	server  *testmx.Server
	address string
	first   chan time.Time
	held    chan struct{}
}

func startWall() (*wall, error) {
	w := &wall{first: make(chan time.Time, 1), held: make(chan struct{})}
	w.server = testmx.New(testmx.Options{OnMessage: w.hold})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w.address = listener.Addr().String()
	go func() { _ = w.server.Serve(listener) }() // ends by close
	return w, nil
}

func (w *wall) hold(*testmx.Message) error {
	select {
	case w.first <- time.Now():
	default:
	}
	<-w.held
	return errors.New("not today")
}

func (w *wall) close() error {
	close(w.held)
	return w.server.Close()
}

const configuration = `hostname = "mail.bench.example"
data_dir = "data"

[[listener]]
name = "bench"
address = %q
trusted_networks = ["127.0.0.0/8"]
any_from = true

[log]
level = "warn"

[[route]]
match = "*"
via = %q
`

// run is one daemon in front of a wall.
type run struct {
	submission string
	dir        string
	binary     string
	wall       *wall
	daemon     *harness.Daemon
	started    time.Time
}

// serve starts the daemon in a folder.
func (b *bench) serve(ctx context.Context, dir string) (*run, error) {
	w, err := startWall()
	if err != nil {
		return nil, err
	}
	addresses, err := harness.FreeAddresses(1)
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	r := &run{submission: addresses[0], dir: dir, binary: b.binary, wall: w, started: time.Now()}
	r.daemon, err = harness.Serve(ctx, b.binary, dir, fmt.Sprintf(configuration, r.submission, w.address))
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return r, nil
}

// stop ends the daemon, which cannot finish what the wall holds up.
func (r *run) stop() error {
	closed := r.wall.close()
	return errors.Join(closed, r.daemon.Stop(stopTime))
}

// firstDelivery returns how long after the exec the first message came.
func (r *run) firstDelivery(ctx context.Context) (time.Duration, error) {
	select {
	case at := <-r.wall.first:
		return at.Sub(r.started), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("nothing was delivered within %v", patience)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// memory is the most anonymous memory over a time.
func (r *run) memory(ctx context.Context, d time.Duration) (int64, error) {
	s := gauge.Watch(sampling, func() []int { return []int{r.daemon.PID()} })
	err := pause(ctx, d)
	return s.Stop().Anonymous, err
}

func (b *bench) ingests(ctx context.Context, sizes []backlog) error {
	for _, size := range sizes {
		if err := b.ingest(ctx, size); err != nil {
			return err
		}
	}
	return nil
}

// ingestion is what was measured of one.
type ingestion struct {
	took time.Duration
	// written is in octets for each recipient, events included.
	written int64
	while   gauge.Memory
	// after is the most anonymous memory in the seconds after.
	after int64
}

// ingest measures the daemon while and after it takes a backlog over SMTP.
func (b *bench) ingest(ctx context.Context, size backlog) (err error) {
	recipients := size.recipients
	fmt.Fprintf(os.Stderr, "bench-store: %d recipients into the daemon over SMTP\n", recipients)
	dir := filepath.Join(b.dir, "ingest")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	r, err := b.serve(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop(), os.RemoveAll(dir)) }()
	if b.figures.idle, err = r.memory(ctx, 2*time.Second); err != nil {
		return err
	}
	s := gauge.Watch(sampling, func() []int { return []int{r.daemon.PID()} })
	start := time.Now()
	err = b.submit(r.submission, recipients)
	took, octets := time.Since(start), writtenBy(strconv.Itoa(r.daemon.PID()))
	while := s.Stop()
	if err != nil {
		return err
	}
	after, err := r.memory(ctx, watching)
	if err != nil {
		return err
	}
	b.figures.ingested(size, ingestion{took: took, written: octets / int64(recipients), while: while, after: after})
	return nil
}

const (
	submitters = 4
	// listLength is how many recipients an ingested message has.
	listLength = 100
	// perConnection is how many messages go over one connection.
	perConnection = 500
)

// submit hands messages to many recipients in.
func (b *bench) submit(address string, recipients int) error {
	var group sync.WaitGroup
	errs := make([]error, submitters)
	for n := range submitters {
		group.Go(func() { errs[n] = b.session(address, n*recipients/submitters, recipients/submitters) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// session hands in a part of them, over as many connections as that takes.
func (b *bench) session(address string, first, recipients int) error {
	const each = perConnection * listLength
	for end := first + recipients; first < end; first += each {
		if err := b.connection(address, first, min(each, end-first)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) connection(address string, first, recipients int) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	client, err := smtp.NewClient(conn, "127.0.0.1")
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	for i := first; i < first+recipients; i += listLength {
		if err := b.send(client, i); err != nil {
			return errors.Join(err, client.Close())
		}
	}
	return client.Quit()
}

func (b *bench) send(client *smtp.Client, first int) error {
	if err := client.Mail("news@shop.example"); err != nil {
		return err
	}
	for i := first; i < first+listLength; i++ {
		if err := client.Rcpt(fmt.Sprintf("reader%d@%s", i, domain(i, b.queues))); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	_, err = w.Write(letter(2 << 10))
	return errors.Join(err, w.Close())
}

// starts measures for each backlog a start after a clean stop and one after a
// kill, and the memory beside each.
func (b *bench) starts(ctx context.Context, sizes []backlog) error {
	for _, size := range sizes {
		dir := filepath.Join(b.dir, size.name)
		err := b.startsWith(ctx, size, dir)
		if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) startsWith(ctx context.Context, size backlog, dir string) error {
	if b.figures.idle == 0 {
		if err := b.measureIdle(ctx); err != nil {
			return err
		}
	}
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench-store: filling a store with %d recipients\n", size.recipients)
	plan := fillPlan{Dir: data, Recipients: size.recipients, PerMessage: size.perMessage, Queues: b.queues, Body: 1 << 10}
	filled, err := fill(ctx, plan)
	if err != nil {
		return err
	}
	b.figures.filled(size, filled)
	if err := b.startOnce(ctx, size, dir, "clean stop"); err != nil {
		return err
	}
	plan.Recipients, plan.PerMessage, plan.Body, plan.Kill = tail, 1, 10<<10, true
	if _, err := fill(ctx, plan); err != nil {
		return err
	}
	return b.startOnce(ctx, size, dir, "kill -9")
}

func (b *bench) measureIdle(ctx context.Context) error {
	dir := filepath.Join(b.dir, "idle")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	r, err := b.serve(ctx, dir)
	if err != nil {
		return err
	}
	b.figures.idle, err = r.memory(ctx, 2*time.Second)
	return errors.Join(err, r.stop(), os.RemoveAll(dir))
}

// startOnce starts the daemon over files that are not in the page cache.
func (b *bench) startOnce(ctx context.Context, size backlog, dir, after string) error {
	if err := evict(dir); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench-store: start with %d waiting, after %s\n", size.recipients, after)
	r, err := b.serve(ctx, dir)
	if err != nil {
		return err
	}
	s := gauge.Watch(sampling, func() []int { return []int{r.daemon.PID()} })
	first, err := r.firstDelivery(ctx)
	if err == nil {
		err = pause(ctx, watching)
	}
	memory := s.Stop()
	if err = errors.Join(err, r.stop()); err != nil {
		return err
	}
	b.figures.begun(size.name, after, first, memory)
	return nil
}

// evict asks the kernel to forget what it has read and written of the files.
func evict(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		return unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}
