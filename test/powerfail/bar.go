package powerfail

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"

	"github.com/postrider-mta/postrider/privacy/suppress"
)

// observeBarriers opens the suppressions in a folder, where there should be
// any, and finds out which of the ledger's barriers are in force.
func (l *ledger) observeBarriers(folder string, seen *observation) error {
	if len(l.barriers) == 0 {
		return nil
	}
	store, err := suppress.Open(suppress.Options{Path: filepath.Join(folder, "suppress.db")})
	if err != nil {
		return err
	}
	seen.barred = map[*barrier]bool{}
	for _, b := range l.barriers {
		_, found, checkErr := store.Check(b.tenant, b.stream, b.address)
		seen.barred[b] = found
		err = errors.Join(err, checkErr)
	}
	return errors.Join(err, store.Close())
}

// observeResidue looks into the files that an erasure cleans for those who must
// have been erased at a moment.
func (l *ledger) observeResidue(folder string, at int, seen *observation) error {
	for _, pattern := range []string{"suppress.db", "consent.db", "events/*.db"} {
		files, err := filepath.Glob(filepath.Join(folder, filepath.FromSlash(pattern)))
		if err != nil {
			return err
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			for _, b := range l.barriers {
				if b.erased && b.certain(at) && bytes.Contains(content, []byte(b.address.String())) {
					seen.residue = append(seen.residue, filepath.Base(file))
				}
			}
		}
	}
	return nil
}
