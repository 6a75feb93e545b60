package main

import (
	"io"
	"log/slog"
	"sync/atomic"

	"carpool/config"
)

// serveLog is the log of a pooler that serves: on a stream, in a file, at
// syslog, in any of them at once, as the configuration in force says. Each has a
// goroutine that writes, so none waits for another.
type serveLog struct {
	// Immutable.
	log            *slog.Logger
	stdout, stderr io.Writer
	quiet          bool     // nothing goes to a stream
	paths          []string // where syslog may listen

	level   slog.LevelVar
	targets atomic.Pointer[logTargets]

	// Owned by who configures, one at a time.
	streams map[io.Writer]*logWriter // those that were ever used
	file    *logFile
	lines   *logWriter // writes to file
	sender  *syslogSender
	system  *logWriter // writes to sender; nil without syslog
}

// newServeLog opens the log. The error is that of a logfile that can't be
// opened. Close ends it.
func newServeLog(c *config.Config, p *program, quiet bool) (*serveLog, error) {
	l := &serveLog{stdout: p.stdout, stderr: p.stderr, quiet: quiet, paths: syslogPaths(), streams: make(map[io.Writer]*logWriter)}
	l.file = &logFile{}
	l.lines = newLogWriter(l.file)
	l.targets.Store(&logTargets{})
	l.log = slog.New(logHandler{targets: &l.targets})
	if err := l.configure(c); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// configure has the log follow another configuration, and opens its file anew:
// somebody may have moved it away. If that isn't possible, the file that was
// open stays, and the error says why.
func (l *serveLog) configure(c *config.Config) error {
	err := l.file.open(c.LogFile)
	var lines tee
	if !l.quiet {
		stream := l.stderr
		if c.LogTo == config.LogToStdout {
			stream = l.stdout
		}
		if l.streams[stream] == nil {
			l.streams[stream] = newLogWriter(stream)
		}
		l.streams[stream].shape(lineHandler(c.LogFormat, stream, nil))
		lines = append(lines, l.streams[stream])
	}
	if l.file.isOpen() {
		l.lines.shape(lineHandler(c.LogFormat, l.file, nil))
		lines = append(lines, l.lines)
	}
	l.level.Set(logLevel(c))
	var targets logTargets
	if len(lines) > 0 {
		targets = append(targets, lineHandler(c.LogFormat, lines, &l.level))
	}
	gone := l.openSyslog(c)
	if l.system != nil {
		targets = append(targets, newSyslogHandler(c.LogFormat, l.system, &l.level))
	}
	l.targets.Store(&targets)
	if gone != nil {
		gone.Close()
	}
	return err
}

// openSyslog sees to what syslog is told by, and returns the one before, which
// is to be closed when nobody uses it any more; nil if there is none.
func (l *serveLog) openSyslog(c *config.Config) (gone *logWriter) {
	if !c.Syslog {
		gone, l.system, l.sender = l.system, nil, nil
		return gone
	}
	want := &syslogSender{paths: l.paths, ident: c.SyslogIdent, facility: c.SyslogFacilityCode()}
	if l.sender == nil || !l.sender.alike(want) {
		gone, l.sender = l.system, want
		l.system = newLogWriter(want)
	}
	l.system.shape(newSyslogHandler(c.LogFormat, l.sender, slog.LevelInfo))
	return gone
}

// Close waits a little until everything is written.
func (l *serveLog) Close() {
	for _, w := range l.streams {
		w.Close()
	}
	l.lines.Close()
	if l.system != nil {
		l.system.Close()
	}
	l.file.close()
}

// tee gives each line to several writers.
type tee []*logWriter

// Write implements io.Writer.
func (t tee) Write(line []byte) (int, error) {
	for _, w := range t {
		_, _ = w.Write(line) // it never fails
	}
	return len(line), nil
}
