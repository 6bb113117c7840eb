package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/postrider-mta/postrider/test/harness"
)

// bareCommand runs the handler that the tracker is compared with, in a process
// of its own as the daemon is.
const bareCommand = "serve-bare"

// bareTarget is where it redirects to: as long as the tracker's targets.
const bareTarget = "https://shop.example/offers/12345?ref=newsletter&campaign=autumn"

// serveBare redirects every request until ctx ends. It has the time limits that
// any server on the open net needs, and nothing else.
func serveBare(ctx context.Context, address string) error {
	server := &http.Server{
		Addr: address,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, bareTarget, http.StatusFound)
		}),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second,
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// startBare runs serveBare as a child.
func startBare(dir, address string) (*harness.Program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return harness.Start(self, filepath.Join(dir, "bare.log"), bareCommand, address)
}
