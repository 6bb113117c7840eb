package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestCleanupOrder proves that all steps run, last first, that every error is
// told with its part, and that nothing is undone twice.
func TestCleanupOrder(t *testing.T) {
	c := cleanups{logger: discard()}
	var order []string
	first, third := errors.New("first failed"), errors.New("third failed")
	step := func(name string, err error) {
		c.add(name, func(context.Context) error {
			order = append(order, name)
			return err
		})
	}
	step("one", first)
	step("two", nil)
	step("three", third)
	err := c.run()
	if got := strings.Join(order, " "); got != "three two one" {
		t.Errorf("order %s", got)
	}
	if !errors.Is(err, first) || !errors.Is(err, third) {
		t.Errorf("lost one of the errors: %v", err)
	}
	if want := "stop three: third failed\nstop one: first failed"; err.Error() != want {
		t.Errorf("got %q", err)
	}
	if err := c.run(); err != nil || len(order) != 3 {
		t.Errorf("undone twice: %v, %v", order, err)
	}
}

// TestCleanupLimits proves that a slow step takes nothing from the next.
func TestCleanupLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cleanups{logger: discard()}
		var left time.Duration
		c.addWithin(time.Minute, "patient", func(ctx context.Context) error {
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			return nil
		})
		c.add("slow", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		begun := time.Now()
		if err := c.run(); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(begun); took != stopGrace || left != time.Minute {
			t.Errorf("slow took %v, patient had %v", took, left)
		}
	})
}

func partsDaemon() *daemon {
	return &daemon{logger: discard(), failures: make(chan error, 4), cleanups: cleanups{logger: discard()}}
}

// TestPartStops proves that an error of a part that was asked to stop is the
// stop's.
func TestPartStops(t *testing.T) {
	d := partsDaemon()
	late := errors.New("could not finish")
	d.background("part", 0, func(ctx context.Context) error {
		<-ctx.Done()
		return late
	})
	if err := d.stop(); !errors.Is(err, late) || !strings.HasPrefix(err.Error(), "stop part: ") {
		t.Error(err)
	}
}

// TestPartEnds proves that a part that ends by itself ends the daemon, with or
// without an error of its own, and is reported once.
func TestPartEnds(t *testing.T) {
	broken := errors.New("broken")
	for _, own := range []error{nil, broken} {
		d := partsDaemon()
		d.background("part", 0, func(context.Context) error { return own })
		err := d.wait(t.Context())
		want := own
		if own == nil {
			want = errEnded
		}
		if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "part ended: ") {
			t.Errorf("%v: %v", own, err)
		}
		if err := d.stop(); err != nil {
			t.Errorf("told twice: %v", err)
		}
	}
}

// TestPartFailsUnheard proves that a failure nobody waited for is told at the
// stop.
func TestPartFailsUnheard(t *testing.T) {
	d := partsDaemon()
	broken := errors.New("broken")
	d.background("part", 0, func(context.Context) error { return broken })
	for len(d.failures) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := d.stop(); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// TestPartStuck proves that a part that does not end holds no other.
func TestPartStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := partsDaemon()
		undone := false
		d.cleanups.add("earlier", func(context.Context) error {
			undone = true
			return nil
		})
		release := make(chan struct{})
		const finish = 30 * time.Second
		d.background("stuck", finish, func(context.Context) error {
			<-release
			return nil
		})
		begun := time.Now()
		if err := d.stop(); !errors.Is(err, errStuck) || !undone {
			t.Errorf("%v, undone %v", err, undone)
		}
		if took := time.Since(begun); took != finish+stopGrace {
			t.Errorf("waited %v", took)
		}
		close(release)
	})
}
