package powerfail

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// What a census counts beside the words.
const (
	seenCompaction = "compaction" // of queue.db
	seenSegment    = "segment"    // of the journal, put into use
	seenFreed      = "freed"      // such a segment, removed or made a spare
	seenEventsAnew = "events anew"
)

// census counts what happens in a trace: the words by their kinds, and changes
// of names that tell what a store does to its files.
func census(steps []disk.Step, seen map[string]int) {
	for _, s := range steps {
		switch s.Action {
		case disk.Note:
			for line := range bytes.Lines(s.Data) {
				var w word
				if json.Unmarshal(line, &w) == nil && !w.Done {
					seen[w.Kind]++
				}
			}
		case disk.Enter, disk.Move, disk.Leave:
			seen[change(s)]++
		}
	}
	delete(seen, "")
}

func change(s disk.Step) string {
	switch {
	case s.Action == disk.Move && s.OldName == "queue.db.compact":
		return seenCompaction
	case s.Action == disk.Move && strings.HasSuffix(s.OldName, ".db.new") && s.OldName != "suppress.db.new" && s.OldName != "consent.db.new" && s.OldName != "queue.db.new":
		return seenEventsAnew
	case s.Action != disk.Leave && isSegment(s.Name):
		return seenSegment
	case s.Action == disk.Leave && isSegment(s.Name), s.Action == disk.Move && isSegment(s.OldName):
		return seenFreed
	}
	return ""
}

func isSegment(name string) bool {
	return len(name) == len("00000001") && strings.Trim(name, "0123456789") == ""
}
