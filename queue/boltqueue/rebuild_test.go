package boltqueue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/boltguard"
	"github.com/postrider-mta/postrider/queue"
)

// past tells a rebuild what the event log holds.
func (l *memoryLog) past(each func(event.Event) error) error {
	for _, e := range l.events() {
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

// rebuild closes the store, ruins queue.db and has it made anew.
func (h *harness) rebuild(ruin func(path string), past Past) Rebuilt {
	h.t.Helper()
	if err := h.store.Close(); err != nil && !errors.Is(err, boltguard.ErrDamaged) {
		h.t.Error(err)
	}
	ruin(filepath.Join(h.options.Dir, databaseName))
	found, err := Rebuild(h.t.Context(), h.options, past)
	if err != nil {
		h.t.Fatal(err)
	}
	h.open()
	if err := h.store.Check(); err != nil {
		h.t.Error(err)
	}
	return found
}

func remove(path string) { _ = os.Remove(path) }

func keep(string) {}

// owed lists what waits, with its attempts.
func (h *harness) owed() map[queue.RecipientID]int {
	h.t.Helper()
	all := map[queue.RecipientID]int{}
	for after := ""; ; {
		page, next, err := h.store.List(context.Background(), queue.Selector{}, after, 500)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, e := range page {
			all[queue.RecipientID{Message: e.Message.ID, Index: e.Index}] = e.Attempts
		}
		if after = next; after == "" {
			return all
		}
	}
}

// work accepts, settles and defers at random, and returns the bodies.
func (h *harness) work(rounds int) map[queue.ID]string {
	h.t.Helper()
	bodies := map[queue.ID]string{}
	for i := range rounds {
		s := h.accept(fmt.Sprintf("a%d@example.com", i), fmt.Sprintf("b%d@example.org", i), fmt.Sprintf("c%d@example.com", i))
		bodies[s.Message.ID] = string(s.Body)
		if rand.IntN(3) > 0 {
			continue
		}
		for _, d := range h.leaseAny(1 + rand.IntN(12)) {
			if rand.IntN(4) > 0 {
				h.settle(d)
				continue
			}
			err := h.store.Defer(context.Background(), []queue.Deferral{{
				Recipient: d.ID(), Until: time.Now().Add(time.Duration(rand.IntN(20)) * time.Millisecond), Event: d.Event(event.Deferred, time.Now()),
			}})
			if err != nil {
				h.t.Fatal(err)
			}
		}
		if rand.IntN(5) == 0 {
			h.checkpoint()
		}
	}
	return bodies
}

func TestRebuildFindsAllThatIsOwed(t *testing.T) {
	h := newTestHarness(t, func(o *Options) { o.SparseShare = 0.5 })
	bodies := h.work(300)
	h.awaitEvents()
	want := h.owed()
	if all := h.store.journal.Segments(); int(all[len(all)-1].Number) == len(all) {
		t.Error("no segment went: the test proves less than it should")
	}
	for name, ruin := range map[string]func(string){"missing": remove, "whole": keep} {
		t.Run(name, func(t *testing.T) {
			found := h.rebuild(ruin, h.log.past)
			got := h.owed()
			for id := range want {
				if _, ok := got[id]; !ok {
					t.Errorf("%v is lost", id)
				}
			}
			if len(got) != len(want) || int(found.Recipients) != len(want) {
				t.Errorf("%d owed, %d reported, want %d", len(got), found.Recipients, len(want))
			}
			for id := range got {
				body, err := h.store.Body(context.Background(), &queue.Message{ID: id.Message})
				if err != nil || string(body) != bodies[id.Message] {
					t.Fatalf("body: %v", err)
				}
			}
			if found.RulesKnown != (name == "whole") || (found.Kept == "") != (name == "missing") {
				t.Errorf("%+v", found)
			}
		})
	}
	found := h.rebuild(remove, nil)
	got := h.owed()
	for id := range want {
		if _, ok := got[id]; !ok {
			t.Errorf("without events %v is lost", id)
		}
	}
	t.Logf("%d owed; %d without the events, which told of %d", len(want), len(got), found.Recipients-int64(len(want)))
	h.settleAll()
	if len(h.owed()) != 0 {
		t.Error("something is left")
	}
}

// settleAll delivers whatever comes due.
func (h *harness) settleAll() {
	h.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); h.store.Stats().Recipients > 0; {
		if time.Now().After(deadline) {
			h.t.Fatalf("%d recipients never come due", h.store.Stats().Recipients)
		}
		h.settle(h.leaseAny(100)...)
	}
}

// leaseAny leases of the queues of example.com and example.org.
func (h *harness) leaseAny(limit int) []*queue.Delivery {
	h.t.Helper()
	all := h.lease(limit)
	key := exampleKey()
	key.Domain = "example.org"
	more, err := h.store.Next(context.Background(), key, limit)
	if err != nil {
		h.t.Fatal(err)
	}
	return append(all, more...)
}

func TestRebuildKnowsCopiesWhoseAcceptIsGone(t *testing.T) {
	h := newTestHarness(t, func(o *Options) { quiet(o); o.SparseShare = 0.5 })
	old := h.accept("old@example.com", "settled@example.com", "late@example.com")
	h.settle(h.lease(1)...)
	for i := range 200 {
		h.accept(fmt.Sprintf("reader%d@example.com", i))
	}
	late := h.lease(2)
	h.settle(h.lease(200)...)
	first := h.store.journal.Segments()[0].Number
	for i := 0; h.store.journal.Segments()[0].Number == first && i < 100; i++ {
		h.checkpoint()
		h.store.giveBackDisk()
	}
	if h.store.journal.Segments()[0].Number == first {
		t.Fatal("the survivor was not moved")
	}
	h.settle(late[1])
	h.store.Return(late[:1])
	found := h.rebuild(remove, h.log.past)
	if got := h.owed(); len(got) != 1 || found.Messages != 1 {
		t.Errorf("%d owed, %+v", len(got), found)
	}
	if body, err := h.store.Body(context.Background(), &old.Message); err != nil || string(body) != string(old.Body) {
		t.Errorf("body: %v", err)
	}
}

func TestRebuildKeepsRules(t *testing.T) {
	h := newTestHarness(t, quiet)
	h.accept("a@example.com", "b@example.org")
	early := queue.Hold{ID: queue.NewID(time.Now()), Selector: queue.Selector{Domain: "example.com"}, Reason: "early", Since: time.Now()}
	ended := queue.Hold{ID: queue.NewID(time.Now()), Selector: queue.Selector{Domain: "example.net"}, Reason: "ended", Since: time.Now()}
	for _, hold := range []queue.Hold{early, ended} {
		if err := h.store.Hold(context.Background(), hold); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.store.Release(context.Background(), ended.ID); err != nil {
		t.Fatal(err)
	}
	h.checkpoint()
	late := queue.Hold{ID: queue.NewID(time.Now()), Selector: queue.Selector{Domain: "example.org"}, Reason: "late", Since: time.Now()}
	if err := h.store.Hold(context.Background(), late); err != nil {
		t.Fatal(err)
	}
	found := h.rebuild(keep, h.log.past)
	holds, err := h.store.Holds(context.Background())
	if err != nil || len(holds) != 2 || found.Holds != 2 || !found.RulesKnown {
		t.Fatalf("%+v, %v, %+v", holds, err, found)
	}
	if got := h.lease(10); len(got) != 0 {
		t.Errorf("%d recipients are offered in spite of the holds", len(got))
	}
	if found = h.rebuild(remove, h.log.past); found.Holds != 2 || found.RulesKnown {
		t.Errorf("%+v", found)
	}
}

func TestRebuildBesideAnOpenStoreIsRefused(t *testing.T) {
	h := newTestHarness(t, nil)
	h.accept("a@example.com")
	if _, err := Rebuild(t.Context(), h.options, nil); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("rebuilt with %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(h.options.Dir, databaseName+".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	h.settleAll()
}

func TestRebuildGoesOnWithWhatTheJournalStillHas(t *testing.T) {
	h := newTestHarness(t, quiet)
	for i := range 100 {
		h.accept(fmt.Sprintf("reader%d@example.com", i))
	}
	segments := h.store.journal.Segments()
	ruin := func(path string) {
		remove(path)
		journal := filepath.Join(h.options.Dir, journalDir)
		if err := os.Remove(filepath.Join(journal, fmt.Sprintf("%08d", segments[0].Number))); err != nil {
			t.Error(err)
		}
		flip(t, filepath.Join(journal, fmt.Sprintf("%08d", segments[1].Number)), segments[1].Bytes/2)
	}
	found := h.rebuild(ruin, h.log.past)
	if found.Damaged == 0 || found.Recipients == 0 || found.Recipients >= 100 || found.Segments >= len(segments)+1 {
		t.Errorf("%+v", found)
	}
	if n := len(h.owed()); n != int(found.Recipients) {
		t.Errorf("%d owed, %d reported", n, found.Recipients)
	}
}

func flip(t testing.TB, path string, at int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 0xff
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestInspectFindsDamageAndChangesNothing(t *testing.T) {
	h := newTestHarness(t, quiet)
	for i := range 100 {
		h.accept(fmt.Sprintf("reader%d@example.com", i))
	}
	owed := h.owed()
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := Inspect(t.Context(), h.options.Dir)
	if err != nil || len(whole.Problems) > 0 || whole.Bodies > 0 || int(whole.Recipients) != len(owed) {
		t.Fatalf("%+v, %v", whole, err)
	}
	before, err := os.ReadDir(filepath.Join(h.options.Dir, journalDir))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(h.options.Dir, journalDir, before[len(before)/2].Name())
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[len(b)/4:])
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := Inspect(t.Context(), h.options.Dir); err != nil || found.Bodies == 0 || len(found.Problems) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
	after, err := os.ReadDir(filepath.Join(h.options.Dir, journalDir))
	if err != nil || len(after) != len(before) {
		t.Errorf("%d files in the journal, %d before: %v", len(after), len(before), err)
	}
	database := filepath.Join(h.options.Dir, databaseName)
	ruinPages(t, database, func(p page) bool { return p.id == 20 })
	if found, err := Inspect(t.Context(), h.options.Dir); err != nil || len(found.Problems) == 0 {
		t.Errorf("%+v, %v", found, err)
	}
	remove(database)
	if found, err := Inspect(t.Context(), h.options.Dir); err != nil || len(found.Problems) == 0 {
		t.Errorf("%+v, %v", found, err)
	}
}
