package watch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/postrider-mta/postrider/internal/datafolder"
)

// fileVersion is that of the file. One of another version is set aside.
const fileVersion = 1

// ErrFile: the file of the rates cannot be understood.
var ErrFile = errors.New("malformed file of rates")

// file is what is kept over restarts.
type file struct {
	Version int `json:"version"`
	// BounceWindow and ComplaintWindow that the steps are of.
	BounceWindow    time.Duration `json:"bounce_window"`
	ComplaintWindow time.Duration `json:"complaint_window"`
	Cursor          uint64        `json:"cursor"`
	// Records, those that were not used for longest first.
	Records  []record `json:"records"`
	Reported []byte   `json:"reported,omitempty"`
}

// Open reads the file, if there is one. One that cannot be used is set aside:
// counting begins anew with the events to come, and holds stay what they are.
func Open(o Options) (*Watcher, error) {
	o.setDefaults()
	w := &Watcher{options: o}
	text, err := os.ReadFile(o.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err != nil {
		return nil, fmt.Errorf("rates: %w", err)
	}
	if err := w.load(text); err != nil {
		o.Logger.Error("rates are counted anew", "file", o.Path, "error", err)
		return &Watcher{options: o}, datafolder.Rename(o.Path, o.Path+".damaged")
	}
	return w, nil
}

func (w *Watcher) load(text []byte) error {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	if f.Version != fileVersion {
		return fmt.Errorf("%w: version %d instead of %d", ErrFile, f.Version, fileVersion)
	}
	var err error
	if w.reported, err = unpackMarks(f.Reported); err != nil {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	w.cursor, w.begun = f.Cursor, true
	for i := range f.Records {
		r := f.Records[i]
		if f.BounceWindow != w.options.BounceWindow {
			r.Mail = window{}
		}
		if f.ComplaintWindow != w.options.ComplaintWindow {
			r.Reports = window{}
		}
		w.remembered += len(r.Cohort)
		w.shelf(r.Scope.Level).put(&r)
	}
	return nil
}

// encode returns the file's text, nil where there is nothing new or where a
// decision is not carried out yet.
func (w *Watcher) encode() ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dirty || w.deciding > 0 || !w.begun {
		return nil, nil
	}
	w.forget(w.options.Now())
	f := file{
		Version: fileVersion, BounceWindow: w.options.BounceWindow, ComplaintWindow: w.options.ComplaintWindow,
		Cursor: w.cursor, Records: []record{}, Reported: packMarks(w.reported),
	}
	for _, s := range []*shelf{&w.senders, &w.sites} {
		s.each(func(r *record) { f.Records = append(f.Records, *r) })
	}
	w.dirty = false
	return json.Marshal(f)
}

// save writes the file if there is something new.
func (w *Watcher) save() error {
	w.saving.Lock()
	defer w.saving.Unlock()
	text, err := w.encode()
	if err != nil || text == nil {
		return err
	}
	if err := datafolder.Replace(w.options.Path, text); err != nil {
		w.mu.Lock()
		w.dirty = true
		w.mu.Unlock()
		return err
	}
	return nil
}

// trySave leaves what cannot be written to a later time.
func (w *Watcher) trySave() {
	if err := w.save(); err != nil {
		w.options.Logger.Warn("rates are not written for now", "file", w.options.Path, "error", err)
	}
}
