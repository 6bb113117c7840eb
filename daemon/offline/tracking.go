package offline

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/datafolder"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
)

// Rotation is a new tracking key.
type Rotation struct {
	File string `json:"file"`
	// Active is the id of the new key, Keys how many the file has.
	Active token.ID `json:"active"`
	Keys   int      `json:"keys"`
	// Left is how many more there can be.
	Left int `json:"left"`
}

// RotateTracking makes a new tracking key and the active one of the key file
// that the configuration names. The file is replaced as a whole; after a crash
// it is the old one or the new one. The keys it has stay, and open the links in
// mail that is sent. Where there is no file it makes the first key.
func RotateTracking(configFile string) (Rotation, error) {
	c, err := config.Load(configFile)
	if err != nil {
		return Rotation{}, err
	}
	r := Rotation{File: c.Tracking.Keys}
	path, err := filepath.EvalSymlinks(r.File)
	if errors.Is(err, fs.ErrNotExist) {
		return r.first()
	}
	if err != nil {
		return r, err
	}
	file, err := lockFile(path)
	if err != nil {
		return r, err
	}
	defer file.Close()
	secret, err := config.SecretFile(path).Read()
	if err != nil {
		return r, err
	}
	text, id, err := token.Rotate([]byte(secret.Reveal()+"\n"), token.Generate())
	if errors.Is(err, token.ErrFull) {
		return r, fmt.Errorf("%s: %w; remove the last line, the oldest key: links made with it then lead nowhere", r.File, err)
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", r.File, err)
	}
	if err := replaceFile(path, text, file); err != nil {
		return r, err
	}
	return r.count(text, id)
}

// first makes a key file.
func (r Rotation) first() (Rotation, error) {
	var text bytes.Buffer
	text.WriteString("# Keys of the tracked links. Links in mail that is sent die with them.\n")
	if err := token.WriteKeyLine(&text, 0, token.Generate()); err != nil {
		return r, err
	}
	if err := writeSecret(r.File, text.Bytes()); err != nil {
		return r, err
	}
	return r.count(text.Bytes(), 0)
}

func (r Rotation) count(text []byte, id token.ID) (Rotation, error) {
	ring, err := token.ParseKeyFile(text)
	if err != nil {
		return r, fmt.Errorf("%s: %w", r.File, err)
	}
	r.Active, r.Keys = id, len(ring.IDs())
	r.Left = int(token.MaxID) + 1 - r.Keys
	return r, nil
}

// errRotating: somebody else replaces the file at this moment.
var errRotating = errors.New("is being rotated by somebody else")

// lockFile opens a file and keeps other rotations out until it is closed.
func lockFile(path string) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil && !sameFile(file, path) {
		err = syscall.EWOULDBLOCK // another was put in its place meanwhile
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%s %w", path, errRotating)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func sameFile(file *os.File, path string) bool {
	held, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(held, there)
}

// replaceFile puts a file with other content in the place of old, with the
// owner and the permissions of old, so that the daemon can read it whoever did
// this.
func replaceFile(path string, content []byte, old *os.File) error {
	info, err := old.Stat()
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		err = file.Chown(int(owner.Uid), int(owner.Gid))
	}
	err = errors.Join(err, file.Chmod(info.Mode().Perm()))
	if err == nil {
		_, err = file.Write(content)
	}
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return datafolder.Sync(filepath.Dir(path))
}

// TrackedLink is what a tracked URL holds.
type TrackedLink struct {
	// Kind is click, open, unsubscribe or preferences.
	Kind string `json:"kind"`
	// Key is the id of the key it was made with; Active is that of new links.
	Key    token.ID `json:"key"`
	Active token.ID `json:"active_key"`
	// Tracker is the host; Tenants are those whose tracker it is.
	Tracker string   `json:"tracker"`
	Tenants []string `json:"tenants"`
	// Measure is what a hit leaves behind: individual, aggregate or hygiene;
	// empty for what is not measured.
	Measure string `json:"measure,omitempty"`
	// Message and Index name the recipient, Accepted when the message came.
	// Aggregate and hygiene links have no message, and the day alone.
	Message  string    `json:"message,omitempty"`
	Index    uint32    `json:"index"`
	Accepted time.Time `json:"accepted"`
	// Recorded says whether a request now is recorded, or only answered.
	Recorded bool `json:"recorded"`
	// Target is where a click leads.
	Target string `json:"target,omitempty"`
	// Tenant, Stream and Address are what an unsubscription is about, Campaign
	// what aggregate hits are counted for.
	Tenant   string `json:"tenant,omitempty"`
	Campaign string `json:"campaign,omitempty"`
	Stream   string `json:"stream,omitempty"`
	Address  string `json:"address,omitempty"`
}

// DecodeLink tells what a tracked URL holds, with the keys that the
// configuration names, as of now.
func DecodeLink(configFile, url string, now time.Time) (TrackedLink, error) {
	c, err := config.Load(configFile)
	if err != nil {
		return TrackedLink{}, err
	}
	secret, err := config.SecretFile(c.Tracking.Keys).Read()
	if err != nil {
		return TrackedLink{}, err
	}
	keys, err := token.ParseKeyFile([]byte(secret.Reveal()))
	if err != nil {
		return TrackedLink{}, fmt.Errorf("%s: %w", c.Tracking.Keys, err)
	}
	o, err := tracking.OpenURL(keys, url)
	switch {
	case errors.Is(err, token.ErrUnknownKey):
		return TrackedLink{}, fmt.Errorf("%w: %s has no key %d, with which this link says it was made: a link of another installation, or older than the oldest key", err, c.Tracking.Keys, o.Key)
	case errors.Is(err, token.ErrToken):
		return TrackedLink{}, fmt.Errorf("%w: not made with key %d of %s, or not as it was made: is the URL whole?", err, o.Key, c.Tracking.Keys)
	case err != nil:
		return TrackedLink{}, err
	}
	return trackedLink(c, keys, o, now), nil
}

func trackedLink(c *config.Config, keys *token.Keyring, o tracking.Opened, now time.Time) TrackedLink {
	l := TrackedLink{
		Kind: o.Kind, Key: o.Key, Active: keys.Active(), Tracker: o.Host, Tenants: tenantsOf(c, o.Host),
		Measure: o.Measure, Index: o.Index, Accepted: o.Accepted.UTC(),
		Recorded: o.Measure == "" || c.Tracking.RecordFor == 0 || now.Sub(o.Accepted) <= c.Tracking.RecordFor,
		Target:   o.Target, Tenant: o.Tenant, Stream: o.Stream, Campaign: o.Campaign, Address: o.Address,
	}
	if o.Measure == "" || o.Measure == account.MeasureIndividual.String() {
		l.Message = tracking.MessageText(o.Message)
	}
	return l
}

// tenantsOf are those with a tracker on the host.
func tenantsOf(c *config.Config, host string) []string {
	names := []string{}
	for _, t := range c.Tenants {
		if t.TrackingURL == "https://"+host || t.TrackingURL == "http://"+host {
			names = append(names, t.Name)
		}
	}
	return names
}
