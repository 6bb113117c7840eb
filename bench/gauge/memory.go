package gauge

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Memory in octets.
type Memory struct {
	// Peak is the most that was resident: the kernel's own mark (VmHWM) for one
	// process; for several, the highest sampled sum of their proportional
	// shares (Pss), in which a shared page counts once.
	Peak int64
	// Anonymous is the highest sampled sum of what belongs to the processes
	// alone, without mapped files (RssAnon).
	Anonymous int64
}

// Sampler watches the memory of processes until Stop.
type Sampler struct {
	processes func() []int
	stop      chan struct{}
	done      sync.WaitGroup
	peak      Memory
}

// Watch looks every interval at the processes that the function names.
func Watch(interval time.Duration, processes func() []int) *Sampler {
	s := &Sampler{processes: processes, stop: make(chan struct{})}
	s.done.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			s.sample()
			select {
			case <-ticker.C:
			case <-s.stop:
				s.sample()
				return
			}
		}
	})
	return s
}

// Stop ends the watch and returns the highest figures.
func (s *Sampler) Stop() Memory {
	close(s.stop)
	s.done.Wait()
	return s.peak
}

// sample passes over what cannot be read: the process has ended.
func (s *Sampler) sample() {
	pids := s.processes()
	var now Memory
	for _, pid := range pids {
		now.Anonymous += field(fmt.Sprintf("/proc/%d/status", pid), "RssAnon")
		if len(pids) == 1 {
			now.Peak += field(fmt.Sprintf("/proc/%d/status", pid), "VmHWM")
		} else {
			now.Peak += field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss")
		}
	}
	s.peak.Peak = max(s.peak.Peak, now.Peak)
	s.peak.Anonymous = max(s.peak.Anonymous, now.Anonymous)
}

func field(file, name string) int64 {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	return parseField(data, name)
}

// parseField finds "Name:  123 kB" and returns octets; zero where there is no
// such line.
func parseField(data []byte, name string) int64 {
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		value, ok := strings.CutPrefix(lines.Text(), name+":")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0
		}
		return n << 10
	}
	return 0
}
