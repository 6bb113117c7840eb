package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// stopGrace is what one part may take to stop, what it has to finish aside.
const stopGrace = 10 * time.Second

// cleanups are what must be undone, in reverse, each registered right after
// its resource exists.
type cleanups struct {
	logger *slog.Logger
	steps  []cleanup
}

type cleanup struct {
	name  string
	limit time.Duration
	undo  func(context.Context) error
}

// add registers a step that stopGrace is enough for.
func (c *cleanups) add(name string, undo func(context.Context) error) {
	c.addWithin(stopGrace, name, undo)
}

// addWithin registers a step whose context ends after the limit. Each has its
// own, so that one that is slow takes nothing from those after it.
func (c *cleanups) addWithin(limit time.Duration, name string, undo func(context.Context) error) {
	c.steps = append(c.steps, cleanup{name, limit, undo})
}

// run undoes everything once, whatever fails on the way.
func (c *cleanups) run() error {
	var failures []error
	for i := len(c.steps) - 1; i >= 0; i-- {
		step := c.steps[i]
		c.logger.Debug("stopping", "part", step.name)
		if err := step.run(); err != nil {
			failures = append(failures, fmt.Errorf("stop %s: %w", step.name, err))
		}
	}
	c.steps = nil
	return errors.Join(failures...)
}

func (c *cleanup) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), c.limit)
	defer cancel()
	return c.undo(ctx)
}
