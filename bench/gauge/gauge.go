// Package gauge reads what processes cost from Linux's /proc: processor time
// and memory, for one process or for a family of them.
package gauge

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ, which is 100 everywhere.
const tick = 10 * time.Millisecond

// Fields of /proc/PID/stat behind the program's name: the state, which
// proc_pid_stat(5) counts as the third, is the first.
const (
	fieldState  = 0
	fieldParent = 4 - 3
	fieldUtime  = 14 - 3
	fieldCstime = 17 - 3
)

var errFormat = errors.New("not what proc_pid_stat(5) describes")

// CPU is the processor time that the processes have used, children that they
// have waited for included. A process that has ended counts nothing: its
// parent has its time.
func CPU(pids ...int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		fields, err := stat(pid)
		if gone(err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		for i := fieldUtime; i <= fieldCstime; i++ {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

func stat(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields, err := parseStat(data)
	if err != nil {
		return nil, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return fields, nil
}

// parseStat returns the fields behind the program's name, which may itself
// hold spaces and parentheses.
func parseStat(data []byte) ([]string, error) {
	end := bytes.LastIndexByte(data, ')')
	if end < 0 {
		return nil, errFormat
	}
	fields := strings.Fields(string(data[end+1:]))
	if len(fields) <= fieldCstime {
		return nil, errFormat
	}
	return fields, nil
}

// gone holds for the errors of a process that has ended meanwhile. Reading a
// file of such a process fails with ESRCH, which is no fs.ErrNotExist.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || err != nil && strings.Contains(err.Error(), "no such process")
}

// Family is the process and its children.
func Family(root int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	family := []int{root}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if fields, err := stat(pid); err == nil && fields[fieldParent] == strconv.Itoa(root) {
			family = append(family, pid)
		}
	}
	return family, nil
}

// Running reports whether the process is there and has not ended.
func Running(pid int) bool {
	fields, err := stat(pid)
	return err == nil && fields[fieldState] != "Z" && fields[fieldState] != "X"
}
