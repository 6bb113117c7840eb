package dkim_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/postrider-mta/postrider/dkim"
)

// inventory is what the corpus says of one message.
type inventory struct {
	File     string `json:"file"`
	BareCR   bool   `json:"bare_cr"`
	Baseline struct {
		Signable *bool `json:"dkimpy_sign_then_dkimpy_verify"`
	} `json:"dkim_baseline"`
}

func TestCorpus(t *testing.T) {
	dir := filepath.Join(corpusDir(t), "mime")
	list, err := os.Open(filepath.Join(dir, "eml-inventory.jsonl"))
	if err != nil {
		t.Skip("no inventory in the corpus")
	}
	defer list.Close()
	keys := bothKeys(t, "corpus.example")
	signer := newSigner(t, keys...)
	signed, refused := 0, 0
	lines := bufio.NewScanner(list)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var item inventory
		if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
			t.Fatal(err)
		}
		message, err := os.ReadFile(filepath.Join(dir, "eml", item.File))
		if err != nil {
			t.Fatal(err)
		}
		// Submission would have brought the line ends in order, and ended
		// the header.
		message = bytes.ReplaceAll(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		if !bytes.Contains(message, []byte("\r\n\r\n")) {
			message = append(message, "\r\n"...)
		}
		signable := item.Baseline.Signable != nil && *item.Baseline.Signable && !item.BareCR
		headers, err := signer.Sign(t.Context(), "corpus.example", "", message)
		switch {
		case err != nil && (signable || !errors.Is(err, dkim.ErrMessage)):
			t.Errorf("%s: %v", item.File, err)
		case err != nil:
			refused++
		default:
			signed++
			if all, pass := passing(t, keys, append(headers, message...)); all != 2 || pass != 2 {
				t.Errorf("%s: %d of %d signatures pass", item.File, pass, all)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d messages signed and verified, %d refused", signed, refused)
}
