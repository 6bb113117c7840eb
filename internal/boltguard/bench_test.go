package boltguard_test

import (
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/boltguard"
)

// What the guard costs a look at one row.
func BenchmarkView(b *testing.B) {
	path := filepath.Join(folder(b), "test.db")
	fill(b, path, true)
	db, err := boltguard.Open(path, testOptions())
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	key := rowKey(testRows / 2)
	look := func(tx *bolt.Tx) error {
		_ = tx.Bucket([]byte("rows")).Get(key)
		return nil
	}
	for name, view := range map[string]func(func(*bolt.Tx) error) error{"guarded": db.View, "bare": db.DB.View} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := view(look); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
