package gauge

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
)

// Filesystem names the type of the file system that holds the folder, such as
// ext4; "unknown" where it cannot be told.
func Filesystem(dir string) string {
	path, err := filepath.Abs(dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "unknown"
	}
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "unknown"
	}
	defer file.Close()
	kind, longest := "unknown", -1
	for lines := bufio.NewScanner(file); lines.Scan(); {
		point, its := parseMount(lines.Text())
		// A later mount on the same point hides the earlier one.
		if holds(point, path) && len(point) >= longest {
			kind, longest = its, len(point)
		}
	}
	return kind
}

// parseMount takes the mount point and the type from a line of
// proc_pid_mountinfo(5).
func parseMount(line string) (point, kind string) {
	before, after, ok := strings.Cut(line, " - ")
	fields := strings.Fields(before)
	if !ok || len(fields) < 5 {
		return "", ""
	}
	kind, _, _ = strings.Cut(after, " ")
	return strings.ReplaceAll(fields[4], `\040`, " "), kind
}

func holds(point, path string) bool {
	return point == "/" || path == point || point != "" && strings.HasPrefix(path, point+"/")
}
