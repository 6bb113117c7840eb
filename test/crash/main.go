// Crash runs the crash tests at length: the store, and the real daemon's whole
// data folder, on thousands of disks that a power failure could have left, and
// the real daemon killed under load. Its last line adds them up; what a test has to complain of comes before it, and
// the exit status says that there was something.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

func main() {
	states := flag.Int("states", 3000, "disks to rebuild, of the store and of the daemon each")
	kills := flag.Int("kills", 50, "kills under load")
	flag.Parse()
	sums, err := run(*states, *kills)
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
	fmt.Println(sums.line())
}

// figures are what the tests print: name=number words of one line.
type figures map[string]int

func (f figures) line() string {
	return fmt.Sprintf("crash: states=%d kills=%d acknowledged=%d lost=%d damaged_reported=%d",
		f["states"], f["kills"], f["acknowledged"], f["lost"], f["damaged_reported"])
}

func run(states, kills int) (figures, error) {
	sums := figures{}
	for _, test := range []struct{ folder, name, prefix, environment string }{
		{"./test/powerfail", "TestPowerFails", "powerfail: ", "POSTRIDER_CRASH_STATES=" + strconv.Itoa(states)},
		{"./test/powerfail", "TestPowerFailsUnderDaemon", "powerfail-daemon: ", "POSTRIDER_CRASH_STATES=" + strconv.Itoa(states)},
		{"./test/e2e", "TestNothingAcknowledgedIsLostByKills", "kill: ", "POSTRIDER_KILLS=" + strconv.Itoa(kills)},
	} {
		cmd := exec.Command("go", "test", "-count=1", "-v", "-timeout", "3h", "-run", "^"+test.name+"$", test.folder)
		cmd.Env = append(os.Environ(), test.environment)
		found, err := watch(cmd, test.prefix)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", test.name, err)
		}
		if found == nil {
			return nil, fmt.Errorf("%s was skipped: see above", test.name)
		}
		for name, n := range found {
			sums[name] += n
		}
	}
	return sums, nil
}

// watch runs a test, shows what it prints and returns the figures of the line
// with the prefix.
func watch(cmd *exec.Cmd, prefix string) (figures, error) {
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var found figures
	lines := bufio.NewScanner(io.TeeReader(out, os.Stdout))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), prefix); ok {
			found = parse(rest)
		}
	}
	return found, cmd.Wait()
}

func parse(words string) figures {
	found := figures{}
	for word := range strings.FieldsSeq(words) {
		name, number, _ := strings.Cut(word, "=")
		if n, err := strconv.Atoi(number); err == nil {
			found[name] = n
		}
	}
	return found
}
