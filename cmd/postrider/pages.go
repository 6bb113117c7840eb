package main

import "fmt"

// pageSize is how many rows are asked for at once.
const pageSize = 1000

// pages prints a list page by page, up to limit rows; 0 for all. page prints at
// most so many and returns how many there were, and where to go on; empty for
// the end. Where there are none at all it says what none says.
func (e *environment) pages(limit int, none string, page func(limit int) (rows int, next string, err error)) error {
	shown, more := 0, ""
	for {
		wanted := pageSize
		if limit > 0 {
			wanted = min(wanted, limit-shown)
		}
		rows, next, err := page(wanted)
		if err != nil {
			return err
		}
		shown, more = shown+rows, next
		if more == "" || shown == limit {
			break
		}
	}
	switch {
	case e.json:
	case shown == 0:
		fmt.Fprintln(e.out, none)
	case more != "":
		fmt.Fprintln(e.out, "There is more: --limit shows it.")
	}
	return nil
}
