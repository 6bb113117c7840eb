package main

import (
	"bufio"

	"github.com/postrider-mta/postrider/daemon/offline"
)

type classifyCommand struct{}

// maxReplyLine is the longest line read, in octets.
const maxReplyLine = 1 << 20

func (classifyCommand) Run(e *environment) error {
	lines := bufio.NewScanner(e.in)
	lines.Buffer(nil, maxReplyLine)
	classify := offline.Classifier()
	for lines.Scan() {
		if lines.Text() == "" {
			continue
		}
		if err := e.printLine(classify(lines.Text())); err != nil {
			return err
		}
	}
	return lines.Err()
}
