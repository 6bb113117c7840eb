package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// damagedDir is the folder, inside the journal's, for what cannot be parsed.
const damagedDir = "damaged"

// damage sets aside octets that were a record once, and counts and reports
// them the first time.
func (j *Journal) damage(segment uint32, s stretch) {
	if !j.setAside(segment, s) {
		return
	}
	j.damaged.Add(1)
	j.options.Logger.Error("journal: damaged bytes set aside",
		"segment", j.path(segment), "offset", s.from, "octets", s.to-s.from)
}

// setAside copies octets into the folder of damaged things, so that the
// segment may go one day. If that fails the segment stays. It reports whether
// the octets were met for the first time.
func (j *Journal) setAside(segment uint32, s stretch) bool {
	err := j.copyAside(segment, s)
	if errors.Is(err, fs.ErrExist) {
		return false
	}
	if err != nil {
		j.segments.pin(segment)
		j.options.Logger.Error("journal: damaged bytes could not be copied, the segment is kept", "segment", segment, "error", err)
	}
	return true
}

func (j *Journal) copyAside(segment uint32, s stretch) error {
	dir := filepath.Join(j.options.Dir, damagedDir)
	if err := j.options.Files.MakeDir(dir); err != nil {
		return err
	}
	name := filepath.Join(dir, fmt.Sprintf("%s-%d", segmentName(segment), s.from))
	file, err := j.options.Files.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(j.copyStretch(file, segment, s), file.Sync(), file.Close())
	if err != nil {
		return errors.Join(err, j.options.Files.Remove(name))
	}
	return j.options.Files.SyncDir(dir)
}

func (j *Journal) copyStretch(to io.WriterAt, segment uint32, s stretch) error {
	h, err := j.handles.acquire(segment)
	if err != nil {
		return err
	}
	defer j.handles.release(h)
	r := scanner{file: h.file, salt: j.salt, segment: segment, limit: s.to}
	for at := s.from; at < s.to; at += window {
		if _, err := to.WriteAt(r.bytes(at, min(window, s.to-at)), at-s.from); err != nil {
			return err
		}
	}
	return nil
}
