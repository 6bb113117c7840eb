package tracking

import (
	"context"
	"log"
	"log/slog"
	"regexp"
	"strings"
)

// ErrorLog is where a server of readers may report what goes wrong on their
// connections: it takes their addresses out, which net/http puts in.
func (t *Tracker) ErrorLog() *log.Logger { return t.server.ErrorLog }

func newErrorLog(logger *slog.Logger) *log.Logger {
	return log.New(&anonymous{logger, regexp.MustCompile(`\[[0-9A-Fa-f:.]+(%[^\]]*)?\]:\d+|\d{1,3}(\.\d{1,3}){3}:\d+`)}, "", 0)
}

// anonymous is a log without addresses.
type anonymous struct {
	logger  *slog.Logger
	address *regexp.Regexp
}

// Write implements io.Writer for one line.
func (a *anonymous) Write(line []byte) (int, error) {
	text := a.address.ReplaceAllString(strings.TrimSuffix(string(line), "\n"), "a reader")
	// Anybody can cause these: they are for those who look for them. A panic is
	// ours.
	level := slog.LevelDebug
	if strings.Contains(text, "panic") {
		level = slog.LevelError
	}
	a.logger.Log(context.Background(), level, text)
	return len(line), nil
}
