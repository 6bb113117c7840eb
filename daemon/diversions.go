package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin"
	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/datafolder"
	"github.com/postrider-mta/postrider/queue"
)

// diversionsFile keeps the diversions over restarts.
const diversionsFile = "diversions.json"

// diversion has what it selects leave by another pool until it is ended.
type diversion struct {
	ID       queue.ID       `json:"id"`
	Selector queue.Selector `json:"selector"`
	Pool     string         `json:"pool"`
	Reason   string         `json:"reason"`
	Since    time.Time      `json:"since"`
}

// diversions are those in force. Delivery reads them for every recipient.
type diversions struct {
	path    string
	mu      sync.Mutex
	current atomic.Pointer[[]diversion]
}

func (d *diversions) all() []diversion {
	if all := d.current.Load(); all != nil {
		return *all
	}
	return nil
}

// load reads the file. One that cannot be read keeps the daemon from starting:
// mail would leave from where the operator does not want it.
func (d *diversions) load(path string) error {
	d.path = path
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var all []diversion
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return fmt.Errorf("%s: %w; correct it, or remove it to send everything from its own pool", path, err)
	}
	d.current.Store(&all)
	return nil
}

// change replaces the list, durably.
func (d *diversions) change(edit func([]diversion) ([]diversion, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	all, err := edit(slices.Clone(d.all()))
	if err != nil {
		return err
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if err := datafolder.Replace(d.path, text); err != nil {
		return err
	}
	d.current.Store(&all)
	return nil
}

// pool names the one that a recipient is diverted to; empty for none. The
// latest diversion wins.
func (d *diversions) pool(delivery *queue.Delivery) string {
	all := d.all()
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Selector.Match(delivery.Message, delivery.Recipient.Address) {
			return all[i].Pool
		}
	}
	return ""
}

func (d *daemon) startDiversions(c *config.Config) error {
	return d.diversions.load(filepath.Join(c.DataDir, diversionsFile))
}

// Divert implements admin.Delivery. What waits is due at once.
func (x explainer) Divert(ctx context.Context, s queue.Selector, pool, reason string) (api.Diversion, int, error) {
	known := slices.ContainsFunc(x.config.Load().Pools, func(p config.Pool) bool { return p.Name == pool })
	if !known {
		return api.Diversion{}, 0, &api.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("there is no [[pool]] %q", pool)}
	}
	now := time.Now()
	made := diversion{ID: queue.NewID(now), Selector: s, Pool: pool, Reason: reason, Since: now.UTC()}
	err := x.diversions.change(func(all []diversion) ([]diversion, error) { return append(all, made), nil })
	if err != nil {
		return api.Diversion{}, 0, err
	}
	n, err := x.store.Retry(ctx, s)
	return presentDiversion(made), n, err
}

// Diversions implements admin.Delivery.
func (x explainer) Diversions() []api.Diversion {
	list := []api.Diversion{}
	for _, d := range x.diversions.all() {
		list = append(list, presentDiversion(d))
	}
	return list
}

// EndDiversion implements admin.Delivery.
func (x explainer) EndDiversion(id queue.ID) error {
	return x.diversions.change(func(all []diversion) ([]diversion, error) {
		i := slices.IndexFunc(all, func(d diversion) bool { return d.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("diversion %s: %w", id, queue.ErrNotFound)
		}
		return slices.Delete(all, i, i+1), nil
	})
}

func presentDiversion(d diversion) api.Diversion {
	return api.Diversion{ID: d.ID.String(), Selector: admin.PresentSelector(d.Selector), Pool: d.Pool, Reason: d.Reason, Since: d.Since}
}
