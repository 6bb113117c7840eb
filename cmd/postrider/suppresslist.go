package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type suppressImportCommand struct {
	File string `arg:"" help:"The list; - for standard input."`
	whose
	Format string `help:"csv or json; as the file's name ends if left out." enum:",csv,json" default:"" placeholder:"FORMAT"`
	Stream string `help:"The stream of lines that name none." placeholder:"NAME"`
	Reason string `help:"The reason of lines that name none." default:"manual" placeholder:"REASON"`
}

// Help says what a list looks like.
func (suppressImportCommand) Help() string {
	return "A CSV list begins with the names of its columns: address (or email) or hash, and reason, stream, time and expires " +
		"as far as there are any; or it is one address a line. A hash is the SHA-256 or MD5 of an address in lower case. " +
		"A JSON list has an object a line, as export writes it. What is known already stays as it is, so that an import " +
		"can be done again. Lines that cannot be read are reported and passed over, and the exit status tells of them."
}

func (c suppressImportCommand) Run(e *environment) error {
	list, size, err := e.openList(c.File)
	if err != nil {
		return err
	}
	defer list.Close()
	client := e.client()
	defer client.Close()
	progress := e.progressOf(list, size)
	done, err := client.ImportSuppressions(e.ctx, api.SuppressionImport{
		Format: formatOf(c.Format, c.File), Tenant: c.name(), Stream: c.Stream, Reason: c.Reason,
	}, progress)
	progress.end()
	if err != nil {
		return err
	}
	if e.json {
		if err := e.printJSON(done); err != nil {
			return err
		}
	} else {
		e.printImported(done)
	}
	if done.Refused > 0 {
		return fmt.Errorf("%s could not be read", count(done.Refused, "line"))
	}
	return nil
}

func (e *environment) printImported(done api.SuppressionsImported) {
	fmt.Fprintf(e.out, "%d added, %d known already\n", done.Added, done.Known)
	if done.Expired > 0 {
		fmt.Fprintf(e.out, "%d had expired and were left out\n", done.Expired)
	}
	for _, p := range done.Problems {
		fmt.Fprintf(e.out, "line %d: %s\n", p.Line, p.Problem)
	}
	if more := done.Refused - len(done.Problems); more > 0 {
		fmt.Fprintf(e.out, "and %s more\n", count(more, "line"))
	}
}

// openList opens a file, or standard input, and tells its size; 0 for none
// known.
func (e *environment) openList(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(e.in), 0, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

func formatOf(named, file string) string {
	switch {
	case named != "":
		return named
	case strings.HasSuffix(file, ".json"), strings.HasSuffix(file, ".jsonl"), strings.HasSuffix(file, ".ndjson"):
		return "json"
	}
	return "csv"
}

// progress shows on a terminal how much of a file was read.
type progress struct {
	from io.Reader
	// to is nil where nobody sees it.
	to         io.Writer
	read, size int64
	shown      time.Time
}

const progressInterval = 200 * time.Millisecond

func (e *environment) progressOf(from io.Reader, size int64) *progress {
	p := &progress{from: from, size: size}
	if isTerminal(e.errors) {
		p.to = e.errors
	}
	return p
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	p.read += int64(n)
	if now := time.Now(); p.to != nil && now.Sub(p.shown) >= progressInterval {
		p.shown = now
		fmt.Fprintf(p.to, "\r%s\x1b[K", p)
	}
	return n, err
}

// String says how far it is.
func (p *progress) String() string {
	const mega = 1_000_000
	if p.size == 0 {
		return fmt.Sprintf("%.1f MB read", float64(p.read)/mega)
	}
	return fmt.Sprintf("%d %% of %.1f MB", 100*p.read/p.size, float64(p.size)/mega)
}

// end takes the line away.
func (p *progress) end() {
	if p.to != nil && !p.shown.IsZero() {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

type suppressExportCommand struct {
	whose
	Format string `help:"csv or json." enum:"csv,json" default:"csv"`
	Stream string `help:"Only what holds for this stream." placeholder:"NAME"`
	Reason string `help:"Only what has this reason." placeholder:"REASON"`
}

// Help says what stands in the place of addresses that are not kept.
func (suppressExportCommand) Help() string {
	return "Where the address is not kept there is a keyed hash, which only the daemon that wrote it can read, and only for the same tenant."
}

func (c suppressExportCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	format := c.Format
	if e.json {
		format = "json"
	}
	return client.ExportSuppressions(e.ctx, api.SuppressionExport{
		Format: format, Selector: api.SuppressionSelector{Tenant: c.name(), Stream: c.Stream, Reason: c.Reason},
	}, e.out)
}
