package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type queueTopCommand struct {
	Once     bool          `help:"Print once, after one interval."`
	Interval time.Duration `help:"How often to look." default:"1s" placeholder:"DURATION"`
	Limit    int           `help:"Show so many queues." default:"20" placeholder:"N"`
}

// topView is what is shown at one time; --json prints one a line.
type topView struct {
	Time       time.Time `json:"time"`
	Recipients int64     `json:"recipients"`
	Messages   int64     `json:"messages"`
	Queues     int       `json:"queues"`
	Held       int       `json:"held_queues"`
	Oldest     time.Time `json:"oldest,omitzero"`
	Fault      string    `json:"fault,omitempty"`
	// Accepted counts messages, the others recipients.
	Accepted  float64    `json:"accepted_per_second"`
	Delivered float64    `json:"delivered_per_second"`
	Deferred  float64    `json:"deferred_per_second"`
	Bounced   float64    `json:"bounced_per_second"`
	Top       []topQueue `json:"top"`
}

type topQueue struct {
	api.Queue
	// Change is by how many recipients the queue grows.
	Change float64 `json:"change_per_second"`
}

// sample is what the daemon says at one time.
type sample struct {
	at     time.Time
	queues api.Queues
	totals api.Totals
}

func takeSample(ctx context.Context, client *api.Client) (s sample, err error) {
	if s.totals, err = client.Totals(ctx); err != nil {
		return s, err
	}
	s.queues, err = client.Queues(ctx)
	s.at = time.Now()
	return s, err
}

func (c queueTopCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	if c.Interval <= 0 || c.Limit <= 0 {
		return fmt.Errorf("--interval and --limit must be more than 0")
	}
	ctx, stop := context.WithCancel(e.ctx)
	defer stop()
	restore := watchKeys(e.in, stop)
	defer restore()
	err := c.watch(ctx, e, client)
	if ctx.Err() != nil {
		return nil // whoever watched has seen enough
	}
	return err
}

func (c queueTopCommand) watch(ctx context.Context, e *environment, client *api.Client) error {
	ticker := time.NewTicker(c.Interval)
	defer ticker.Stop()
	last, err := takeSample(ctx, client)
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		next, err := takeSample(ctx, client)
		if err != nil {
			return err
		}
		if err := c.show(e, compareSamples(last, next, c.Limit)); err != nil || c.Once {
			return err
		}
		last = next
	}
}

// compareSamples makes rates of two samples, and sorts the longest queues to
// the front.
func compareSamples(last, next sample, limit int) topView {
	seconds := max(next.at.Sub(last.at).Seconds(), 0.001)
	rate := func(before, after int64) float64 { return max(float64(after-before)/seconds, 0) }
	outcome := func(kind string) float64 { return rate(last.totals.Outcomes[kind], next.totals.Outcomes[kind]) }
	v := topView{
		Time: next.at, Recipients: next.queues.Recipients, Messages: next.queues.Messages,
		Queues: len(next.queues.Queues), Fault: next.queues.Fault,
		Accepted: rate(last.totals.Accepted, next.totals.Accepted), Delivered: outcome("delivered"),
		Deferred: outcome("deferred"), Bounced: outcome("bounced"), Top: []topQueue{},
	}
	type name struct{ tenant, stream, domain string }
	before := map[name]int{}
	for _, q := range last.queues.Queues {
		before[name{q.Tenant, q.Stream, q.Domain}] = q.Waiting
	}
	for _, q := range next.queues.Queues {
		grown := q.Waiting - before[name{q.Tenant, q.Stream, q.Domain}]
		v.Top = append(v.Top, topQueue{q, float64(grown) / seconds})
		if q.Held {
			v.Held++
		}
		if v.Oldest.IsZero() || !q.Oldest.IsZero() && q.Oldest.Before(v.Oldest) {
			v.Oldest = q.Oldest
		}
	}
	slices.SortStableFunc(v.Top, func(a, b topQueue) int { return cmp.Compare(b.Waiting, a.Waiting) })
	v.Top = v.Top[:min(len(v.Top), limit)]
	return v
}

// clearScreen moves to the top left and empties what follows (ECMA-48).
const clearScreen = "\x1b[H\x1b[J"

func (c queueTopCommand) show(e *environment, v topView) error {
	if e.json {
		return e.printLine(v)
	}
	if !c.Once {
		if !isTerminal(e.out) {
			fmt.Fprintln(e.out, v.Time.Format(time.RFC3339))
		} else if _, err := io.WriteString(e.out, clearScreen); err != nil {
			return err
		}
	}
	fmt.Fprintf(e.out, "%s of %s waiting in %s, %d held; oldest %s\n", count(int(v.Recipients), "recipient"),
		count(int(v.Messages), "message"), count(v.Queues, "queue"), v.Held, ago(v.Oldest, v.Time))
	fmt.Fprintf(e.out, "each second: %.1f accepted, %.1f delivered, %.1f deferred, %.1f bounced\n", v.Accepted, v.Delivered, v.Deferred, v.Bounced)
	if v.Fault != "" {
		fmt.Fprintln(e.out, "new mail is refused:", v.Fault)
	}
	fmt.Fprintln(e.out)
	var rows [][]string
	for _, q := range v.Top {
		rows = append(rows, []string{
			q.Tenant, q.Stream, q.Domain, strconv.Itoa(q.Waiting), fmt.Sprintf("%+.1f", q.Change),
			strconv.Itoa(q.Leased), ago(q.Oldest, v.Time), nextOf(q.Queue, v.Time),
		})
	}
	if err := e.printTable("TENANT\tSTREAM\tDOMAIN\tWAITING\tCHANGE/S\tSENDING\tOLDEST\tNEXT", rows); err != nil {
		return err
	}
	if !c.Once {
		fmt.Fprintln(e.out)
	}
	return nil
}
