package datafolder_test

import (
	"errors"
	"os"
	"testing"

	"github.com/postrider-mta/postrider/internal/datafolder"
)

func TestLockKeepsOthersOut(t *testing.T) {
	dir := t.TempDir()
	first, err := datafolder.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := datafolder.Lock(dir); !errors.Is(err, datafolder.ErrInUse) {
		t.Errorf("a second lock gave %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := datafolder.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := datafolder.Lock(dir + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
}
