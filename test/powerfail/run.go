package powerfail

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// Options say how much is tried.
type Options struct {
	// Name begins the line of the result.
	Name string
	// States is how many disks are made and opened.
	States int
	// Lives is how many times the subject works: from the second on it begins
	// with a disk that a failure left.
	Lives int
	// Subject is a Work, whose Folder and FirstNumber are seen to, or a
	// *Service.
	Subject subject
	Seed    uint64
	// Scratch is a folder for stores and traces, at best one in memory.
	Scratch string
	// Enough is how many bad states end the run; zero for all.
	Enough int
	// Keep is a folder for the disks of bad states, as they were; empty for
	// none.
	Keep string
}

// checkers is how many states are opened beside each other.
const checkers = 2

// Result is what came out.
type Result struct {
	// Name is that of the options.
	Name string
	// States that were opened. Acknowledged counts what had to be there, over
	// all of them, and Lost what of it was not.
	States, Acknowledged, Lost int
	// DamagedReported counts what stores reported that somebody had damaged.
	DamagedReported int
	// Started counts the states on which the subject itself was started.
	Started int
	// Seen counts what the subjects did, by kinds of words and of changes to
	// the tree of files.
	Seen map[string]int
	// Bad describes each state that was not as it should be.
	Bad []string
}

// String returns the line that sums it up.
func (r *Result) String() string {
	return fmt.Sprintf("%s: states=%d acknowledged=%d lost=%d damaged_reported=%d",
		r.Name, r.States, r.Acknowledged, r.Lost, r.DamagedReported)
}

// run is a run of all lives.
type run struct {
	options Options
	random  *rand.Rand
	// turn is held by each state that is looked at.
	turn    chan struct{}
	pending sync.WaitGroup

	// failed counts the states of all lives.
	failed int

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
	r := &run{options: o, random: rand.New(rand.NewPCG(o.Seed, 7)), turn: make(chan struct{}, checkers)}
	r.result.Name, r.result.Seen = o.Name, map[string]int{}
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
	var err error
	l.steps, err = r.options.Subject.record(ctx, recording{
		number: l.number, begin: l.begin, firstNumber: l.ledger.lastNumber(), scratch: r.options.Scratch,
	})
	if err != nil {
		return l, err
	}
	census(l.steps, r.result.Seen)
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
	heir, worst := moments[len(moments)*2/3], len(moments)/2
	model := disk.NewModel(l.begin)
	at := 0
	for i, moment := range moments {
		for ; at < moment; at++ {
			if err := model.Apply(l.steps[at]); err != nil {
				return nil, 0, err
			}
		}
		if moment == heir {
			next, end = model.Fail(disk.Random(r.random.Uint64())).Clone(), moment
		}
		if i == worst {
			done, err := r.wounds(l, moment, model.Fail(disk.Nothing()).Clone())
			if err != nil {
				return nil, 0, err
			}
			if !done {
				worst++
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

// startEvery is of how many states the subject is started on one.
const startEvery = 40

// fail writes one image, and has it examined beside others.
func (r *run) fail(l life, moment int, model *disk.Model, fate disk.Fate) error {
	name := fmt.Sprintf("life %d, step %d, %s", l.number, moment, fate.Name)
	image := model.Fail(fate)
	r.failed++
	if s, ok := r.options.Subject.(starter); ok && r.failed%startEvery == 0 {
		if err := r.start(s, l, moment, name, image); err != nil {
			return err
		}
	}
	return r.beside(image, func(at scene) { r.examine(l.ledger, moment, name, at) })
}

// starter is a subject that can be started on a disk and asked what it has.
type starter interface {
	// start returns what is wrong with what it says, after a failure at a
	// moment.
	start(p place, l *ledger, at int) []finding
}

func (r *run) start(s starter, l life, moment int, name string, image disk.Image) error {
	p, err := newPlace(image, r.options.Scratch)
	if err != nil {
		return err
	}
	r.turn <- struct{}{}
	r.pending.Go(func() {
		findings := s.start(p, l.ledger, moment)
		if err := os.RemoveAll(p.folder); err != nil {
			findings = append(findings, finding{fault: refused, text: err.Error()})
		}
		<-r.turn
		r.mu.Lock()
		r.result.Started++
		r.mu.Unlock()
		r.blame(name+", started", 0, findings)
	})
	return nil
}

// scene is where a disk lies that is looked at, and a copy of it; empty for
// none.
type scene struct{ folder, kept string }

// beside writes an image as soon as it is its turn, and looks at it beside
// others.
func (r *run) beside(image disk.Image, look func(scene)) error {
	r.turn <- struct{}{}
	at, err := r.lay(image)
	if err != nil {
		<-r.turn
		return err
	}
	r.pending.Go(func() {
		look(at)
		<-r.turn
	})
	return nil
}

func (r *run) lay(image disk.Image) (scene, error) {
	folder, err := prepare(image, r.options.Scratch)
	if err != nil || r.options.Keep == "" {
		return scene{folder: folder}, err
	}
	kept, err := prepare(image, r.options.Keep)
	return scene{folder, kept}, err
}

// leave removes a disk, and its copy unless there are findings: then the name
// that it returns says where it is.
func (at scene) leave(name string, findings []finding) (string, []finding) {
	err := os.RemoveAll(at.folder)
	if len(findings) > 0 && at.kept != "" {
		name += ", kept in " + at.kept
	} else if at.kept != "" {
		err = errors.Join(err, os.RemoveAll(at.kept))
	}
	if err != nil {
		findings = append(findings, finding{fault: refused, text: err.Error()})
	}
	return name, findings
}

func (r *run) examine(l *ledger, moment int, name string, at scene) {
	seen, damaged, err := l.watch(at.folder, moment, moment%4 == 0)
	var findings []finding
	if err != nil {
		findings = append(findings, finding{fault: refused, text: err.Error()})
	} else {
		findings = l.inspect(moment, seen)
	}
	if damaged > 0 {
		findings = append(findings, finding{fault: alarmed, text: fmt.Sprintf("%d damages reported", damaged)})
	}
	name, findings = at.leave(name, findings)
	r.book(name, l.acknowledged(moment), findings)
}

// shown bounds how much is said of one state.
const shown = 4

// book counts a state.
func (r *run) book(name string, acknowledged int, findings []finding) {
	r.mu.Lock()
	r.result.States++
	r.result.Acknowledged += acknowledged
	r.mu.Unlock()
	r.blame(name, acknowledged, findings)
}

// blame takes note of what is wrong with a state.
func (r *run) blame(name string, acknowledged int, findings []finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
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
