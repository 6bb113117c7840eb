package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider-mta/postrider/event"
)

// story is what a campaign of bounces writes into the log.
func (d *desk) story(n int) tape {
	var records tape
	for i := range n {
		records = append(records, d.news(event.Bounced, "c", i, "invalid_recipient"))
	}
	return records
}

// run serves until all of the log was read and done.
func (d *desk) run(log tape) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	done := make(chan error)
	go func() { done <- d.Run(ctx, log) }()
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		d.t.Error(err)
	}
}

// begun lets the watcher take the log for read up to its start.
func (d *desk) beginAtZero() { d.begun = true }

// TestRestart proves that counts, alerts and holds outlive a restart, and that
// nothing is done twice.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.at = time.Now()
		d.beginAtZero()
		log := d.story(90)
		d.run(log)
		d.expect("below the minimum", "")
		for n := range 3 {
			d.open(d.Watcher.options)
			log = append(log, d.story(10)...)
			d.run(log)
			d.expect("after a restart", []string{"[c bounces hold]", "", ""}[n])
		}
		if row := d.row("c"); row.State != Held || row.Bounces.Count != 120 {
			t.Errorf("%+v", row)
		}
	})
}

// TestCrash proves that events that are read again after a crash lead to the
// same decision with the same id, and not to another one once it was kept.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.at = time.Now()
		d.beginAtZero()
		log := d.story(150)
		o := d.Watcher.options
		d.failures = []error{errors.New("disk full"), errors.New("disk full")}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx, log) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil || len(d.acted) != 0 {
			t.Fatalf("%v, %+v", err, d.acted)
		}
		if _, err := os.Stat(o.Path); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("what was not done is written as done: %v", err)
		}
		var ids []string
		for range 2 {
			d.open(o)
			d.beginAtZero()
			d.failures = nil
			d.run(log)
			for _, a := range d.acted {
				if a.Action == Hold {
					ids = append(ids, a.ID+a.Hold)
				}
			}
			d.acted = nil
			if err := os.Remove(o.Path); err != nil {
				t.Fatal(err)
			}
		}
		if len(ids) != 2 || ids[0] != ids[1] {
			t.Errorf("%q", ids)
		}
	})
}

// TestInsists proves that a decision that cannot be carried out is tried until
// it can, before anything else is read.
func TestInsists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.at = time.Now()
		d.beginAtZero()
		for range 9 {
			d.failures = append(d.failures, errors.New("disk full"))
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx, d.story(200)) }()
		time.Sleep(time.Second)
		if f := d.Figures(); f.Position != 100 {
			t.Errorf("read up to %d", f.Position)
		}
		if row := d.row("c"); row.State != Warned || row.Hold != "" {
			t.Errorf("not held yet: %+v", row)
		}
		time.Sleep(10 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		d.expect("in the end", "[c bounces hold]")
		if row := d.row("c"); row.State != Held {
			t.Errorf("%+v", row)
		}
	})
}

// TestReleasedMeanwhile proves that a hold that is gone at a start was released,
// and that the release outlives a restart.
func TestReleasedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.at = time.Now()
		d.beginAtZero()
		log := d.story(150)
		d.run(log)
		d.decisions()
		clear(d.holding)
		for range 2 {
			d.open(d.Watcher.options)
			d.at = d.at.Add(time.Minute)
			log = append(log, d.story(40)...)
			d.run(log)
		}
		d.expect("80 after the release", "")
		if row := d.row("c"); row.State != Few || row.Bounces.Count != 80 || row.Released.IsZero() {
			t.Errorf("%+v", row)
		}
		d.open(d.Watcher.options)
		log = append(log, d.story(20)...)
		d.run(log)
		d.expect("100 after the release", "[c bounces hold]")
	})
}

// TestCohortOutlivesARestart proves that complaints about mail of the time
// before a release stay without effect after a restart.
func TestCohortOutlivesARestart(t *testing.T) {
	d := newDesk(t)
	d.bounce("c", 0, 100)
	d.at = d.at.Add(time.Second)
	d.release("c")
	d.open(d.Watcher.options) // nothing was delivered since
	d.deliver("c", 1000, 1400)
	d.dirty = true
	d.trySave()
	d.open(d.Watcher.options)
	d.decisions()
	d.complain("c", 0, 100)
	d.expect("before", "")
	if d.remembered != 400 {
		t.Errorf("%d are remembered", d.remembered)
	}
	d.complain("c", 1000, 1002)
	d.expect("since", "[c complaints warn][c complaints hold]")
}

// TestBeginsAtTheEnd proves that the past is not judged where nothing is known,
// nor when the log is older than what is.
func TestBeginsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.at = time.Now()
		log := d.story(150)
		d.run(log)
		d.expect("without a file", "")
		if f := d.Figures(); f.Position != 150 {
			t.Errorf("%+v", f)
		}
		d.open(d.Watcher.options)
		d.position = 0
		d.run(d.story(120))
		d.expect("an older log", "")
		if f := d.Figures(); f.Position != 120 {
			t.Errorf("%+v", f)
		}
	})
}

// TestSavesAtTimes proves that a crash loses no more than what came since the
// last writing.
func TestSavesAtTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.at = time.Now()
		d.beginAtZero()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx, d.story(50)) }()
		time.Sleep(2 * defaultSave)
		text, err := os.ReadFile(d.Watcher.options.Path)
		if err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		again := newDesk(t)
		if err := again.load(text); err != nil || again.cursor != 50 {
			t.Errorf("at %d, %v", again.cursor, err)
		}
	})
}

// TestDamagedFile proves that one that cannot be read is set aside.
func TestDamagedFile(t *testing.T) {
	for name, text := range map[string]string{
		"cut": `{"version":1,"records":[`, "other": `{"version":99}`, "marks": `{"version":1,"reported":"AAA="}`,
		"cohort": `{"version":1,"records":[{"cohort":"AAA="}]}`, "empty": "",
	} {
		d := newDesk(t)
		o := d.options()
		if err := os.WriteFile(o.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d.open(o)
		if left, err := filepath.Glob(o.Path + "*"); err != nil || len(left) != 1 || left[0] != o.Path+".damaged" {
			t.Errorf("%s: %q, %v", name, left, err)
		}
		if d.begun || d.Figures().Scopes != 0 {
			t.Errorf("%s: %+v", name, d.Figures())
		}
	}
}

// TestOtherWindows proves that counts over a window of another length are not
// taken for those of this one.
func TestOtherWindows(t *testing.T) {
	d := newDesk(t)
	d.deliver("c", 0, 50)
	d.dirty = true
	d.trySave()
	o := d.Watcher.options
	o.BounceWindow = 2 * time.Hour
	d.open(o)
	if row := d.row("c"); row.Bounces.Sample != 0 || row.Complaints.Sample != 50 {
		t.Errorf("%+v", row)
	}
}
