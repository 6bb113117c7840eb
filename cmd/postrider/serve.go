package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/postrider-mta/postrider/daemon"
)

type serveCommand struct {
	Config string `help:"Configuration file." default:"/etc/postrider/postrider.toml" placeholder:"FILE"`
}

// Run serves until a signal ends the context, then drains. SIGHUP reloads.
func (c serveCommand) Run(e *environment) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return daemon.Run(e.ctx, daemon.Options{
		ConfigFile: c.Config,
		Version:    version,
		Log:        e.errors,
		Reload:     hangup,
	})
}
