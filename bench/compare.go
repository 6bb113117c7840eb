package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/bench/gauge"
)

// choose finds jobs by their names.
func choose(names string) ([]job, error) {
	if names == "" {
		return jobs(), nil
	}
	var chosen []job
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(jobs(), func(j job) bool { return j.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no job %q", name)
		}
		chosen = append(chosen, jobs()[i])
	}
	return chosen, nil
}

// compare measures all and prints the report.
func (b *bench) compare(ctx context.Context, chosen []job, rounds int, peer bool) error {
	key, err := newSigningKey()
	if err != nil {
		return err
	}
	daemon := &postrider{binary: b.binary, sessions: b.sessions, key: key}
	other := findPostfix(ctx, b.sessions+10, key)
	if !peer {
		other.missing = "it was not asked for"
	}
	b.heading(rounds, daemon.version(ctx), other.version(ctx))
	r := newReport(os.Stdout, chosen, []system{daemon, other})
	for round := range rounds {
		for _, j := range chosen {
			for _, s := range []system{daemon, other} {
				if can, _ := s.can(j); !can {
					continue
				}
				r.progress(fmt.Sprintf("round %d of %d: %v: %s", round+1, rounds, j, s.name()))
				f, err := b.measure(ctx, s, j)
				if err != nil {
					return fmt.Errorf("%s, %v: %w", s.name(), j, err)
				}
				r.add(s, j, f)
			}
		}
	}
	r.print()
	return nil
}

func (b *bench) heading(rounds int, versions ...string) {
	fmt.Printf("%d messages of %d octets, one reader each, from %d sessions; rounds: %d\n", b.messages, b.size, b.sessions, rounds)
	fmt.Printf("%s/%s, %d processors, %s; data on %s (%s)\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), gauge.Filesystem(b.dir), b.dir)
	fmt.Println(strings.Join(versions, "; "))
}
