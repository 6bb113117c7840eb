package powerfail

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// Options say how much is tried.
type Options struct {
	// States is how many disks are made and opened.
	States int
	// Lives is how many times the worker runs: from the second on it begins
	// with a disk that a failure left.
	Lives int
	// Work is what each does; Folder and FirstNumber are seen to.
	Work Work
	// Scratch is a folder for stores and traces, at best one in memory.
	Scratch string
	// Enough is how many bad states end the run; zero for all.
	Enough int
}

// checkers is how many states are opened beside each other.
const checkers = 2

// Result is what came out.
type Result struct {
	// States that were opened. Acknowledged counts what had to be there, over
	// all of them, and Lost what of it was not.
	States, Acknowledged, Lost int
	// DamagedReported counts what stores reported that somebody had damaged.
	DamagedReported int
	// Bad describes each state that was not as it should be.
	Bad []string
}

// String returns the line that sums it up.
func (r *Result) String() string {
	return fmt.Sprintf("powerfail: states=%d acknowledged=%d lost=%d damaged_reported=%d",
		r.States, r.Acknowledged, r.Lost, r.DamagedReported)
}

// run is a run of all lives.
type run struct {
	options Options
	random  *rand.Rand
	// turn is held by each state that is looked at.
	turn    chan struct{}
	pending sync.WaitGroup

	mu     sync.Mutex
	result Result
}

// life is one run of the worker, from an image on.
type life struct {
	number int
	begin  disk.Image
	steps  []disk.Step
	ledger *ledger
}

// Run records and checks. An error means that nothing could be found out.
func Run(ctx context.Context, o Options) (*Result, error) {
	r := &run{options: o, random: rand.New(rand.NewPCG(o.Work.Seed, 7)), turn: make(chan struct{}, checkers)}
	l := life{begin: disk.Image{}, ledger: newLedger()}
	for n := range o.Lives {
		l.number = n
		var err error
		if l, err = r.live(ctx, l); err != nil {
			r.pending.Wait()
			return nil, fmt.Errorf("life %d: %w", n, err)
		}
		if r.enough() {
			break
		}
	}
	r.pending.Wait()
	return &r.result, nil
}

func (r *run) enough() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.options.Enough > 0 && len(r.result.Bad) >= r.options.Enough
}

// live records one life, checks states of it, damages its last one, and returns
// the life that follows one of its failures.
func (r *run) live(ctx context.Context, l life) (life, error) {
	work := r.options.Work
	work.Seed += uint64(l.number)
	work.FirstNumber = l.ledger.lastNumber()
	var err error
	if l.steps, err = record(ctx, work, l.begin, r.options.Scratch); err != nil {
		return l, err
	}
	past := l.ledger
	l.ledger = past.copy()
	if err := l.ledger.readSteps(l.steps, len(l.steps), func(step int) int { return step }); err != nil {
		return l, err
	}
	next, end, err := r.failures(ctx, l)
	if err != nil {
		return l, err
	}
	r.pending.Wait() // the ledger is theirs until now
	err = past.readSteps(l.steps, end, func(int) int { return before })
	return life{begin: next, ledger: past}, err
}

// failures walks through the steps of a life and lets the power fail. It
// returns one of the images and its moment, for the next life.
func (r *run) failures(ctx context.Context, l life) (next disk.Image, end int, err error) {
	count := max(1, r.options.States/r.options.Lives/fatesAtMoment)
	moments := chooseMoments(l.steps, count, r.random)
	heir, worst := moments[len(moments)*2/3], moments[len(moments)/2]
	model := disk.NewModel(l.begin)
	at := 0
	for _, moment := range moments {
		for ; at < moment; at++ {
			if err := model.Apply(l.steps[at]); err != nil {
				return nil, 0, err
			}
		}
		if moment == heir {
			next, end = model.Fail(disk.Random(r.random.Uint64())).Clone(), moment
		}
		if moment == worst {
			if err := r.wounds(l, moment, model.Fail(disk.Nothing()).Clone()); err != nil {
				return nil, 0, err
			}
		}
		for _, fate := range chooseFates(model, fatesAtMoment, r.random) {
			if err := ctx.Err(); err != nil || r.enough() {
				return next, end, err
			}
			if err := r.fail(l, moment, model, fate); err != nil {
				return nil, 0, err
			}
		}
	}
	return next, end, nil
}

// fail writes one image, and has it examined beside others.
func (r *run) fail(l life, moment int, model *disk.Model, fate disk.Fate) error {
	name := fmt.Sprintf("life %d, step %d, %s", l.number, moment, fate.Name)
	return r.beside(model.Fail(fate), func(folder string) { r.examine(l.ledger, moment, name, folder) })
}

// beside writes an image as soon as it is its turn, and looks at it beside
// others.
func (r *run) beside(image disk.Image, look func(folder string)) error {
	r.turn <- struct{}{}
	folder, err := prepare(image, r.options.Scratch)
	if err != nil {
		<-r.turn
		return err
	}
	r.pending.Go(func() {
		look(folder)
		<-r.turn
	})
	return nil
}

func (r *run) examine(l *ledger, moment int, name, folder string) {
	seen, damaged, err := watch(folder, moment%4 == 0)
	var findings []finding
	if err != nil {
		findings = append(findings, finding{fault: refused, text: err.Error()})
	} else {
		findings = l.inspect(moment, seen)
	}
	if damaged > 0 {
		findings = append(findings, finding{fault: alarmed, text: fmt.Sprintf("%d damages reported", damaged)})
	}
	if err := os.RemoveAll(folder); err != nil {
		findings = append(findings, finding{fault: refused, text: err.Error()})
	}
	r.book(name, l.acknowledged(moment), findings)
}

// shown bounds how much is said of one state.
const shown = 4

func (r *run) book(name string, acknowledged int, findings []finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.States++
	r.result.Acknowledged += acknowledged
	text := name
	for i, f := range findings {
		switch f.fault {
		case lost:
			r.result.Lost++
		case refused:
			r.result.Lost += acknowledged
		}
		if i < shown {
			text += "\n\t" + f.String()
		}
	}
	if len(findings) > 0 {
		r.result.Bad = append(r.result.Bad, fmt.Sprintf("%s\n\t(%d findings)", text, len(findings)))
	}
}

// Scratch returns a folder in memory where there is one, since what is proved
// is nothing about the disk below.
func Scratch() (string, error) {
	folder, err := os.MkdirTemp("/dev/shm", "powerfail")
	if err != nil {
		return os.MkdirTemp("", "powerfail")
	}
	return filepath.Clean(folder), nil
}
