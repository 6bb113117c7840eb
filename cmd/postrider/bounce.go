package main

import (
	"fmt"
	"io"
	"os"

	"github.com/postrider-mta/postrider/daemon/offline"
)

type bounceCommand struct {
	Parse bounceParseCommand `cmd:"" help:"Say what bounces, complaints and automatic replies mean, a JSON object for each message."`
}

type bounceParseCommand struct {
	Files []string `arg:"" optional:"" help:"Messages, one in each file; - or none for standard input." placeholder:"FILE"`
}

// Run prints a line for every file, for those that cannot be read too, and
// fails if there was one.
func (c bounceParseCommand) Run(e *environment) error {
	files := c.Files
	if len(files) == 0 {
		files = []string{"-"}
	}
	parse := offline.BounceParser()
	bad := 0
	for _, file := range files {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		read, err := parseBounce(e, parse, file)
		if err != nil {
			bad++
		}
		if err := e.printLine(read); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%s of %d could not be read as a message", count(bad, "file"), len(files))
	}
	return nil
}

func parseBounce(e *environment, parse func(string, io.Reader) (offline.Bounced, error), name string) (offline.Bounced, error) {
	if name == "-" {
		return parse("", e.in)
	}
	file, err := os.Open(name)
	if err != nil {
		return offline.FailedBounce(name, err), err
	}
	defer file.Close()
	return parse(name, file)
}
