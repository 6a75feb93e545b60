package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"carpool/config"
)

// syslogPaths are where a system's log daemon may listen; the first that does
// counts.
func syslogPaths() []string { return []string{"/dev/log", "/var/run/syslog", "/var/run/log"} }

const (
	// maxSyslogLine is how much of a line is sent, in bytes: daemons cut off or
	// refuse what is longer.
	maxSyslogLine = 8 << 10
	// syslogTime bounds how long a daemon that doesn't read holds up its lines.
	syslogTime = time.Second
)

// newSyslogHandler writes to a syslogSender: lines without time and level, which
// syslog has by itself, behind a byte for the severity.
func newSyslogHandler(format config.LogFormat, w io.Writer, level slog.Leveler) slog.Handler {
	own := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: own}
	h := syslogHandler{}
	for i, severity := range severities {
		marked := markedWriter{w, '0' + byte(severity)}
		if format == config.LogJSON {
			h.by[i] = slog.NewJSONHandler(marked, options)
		} else {
			h.by[i] = slog.NewTextHandler(marked, options)
		}
	}
	return h
}

// severities are syslog's (RFC 5424, section 6.2.1) of debug, info, warn and
// error.
var severities = [...]int{7, 6, 4, 3}

// syslogHandler has a handler for each severity.
type syslogHandler struct{ by [len(severities)]slog.Handler }

func (h syslogHandler) of(level slog.Level) slog.Handler {
	switch {
	case level < slog.LevelInfo:
		return h.by[0]
	case level < slog.LevelWarn:
		return h.by[1]
	case level < slog.LevelError:
		return h.by[2]
	}
	return h.by[3]
}

// Enabled implements slog.Handler.
func (h syslogHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.by[0].Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h syslogHandler) Handle(ctx context.Context, record slog.Record) error {
	return h.of(record.Level).Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h syslogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for i := range h.by {
		h.by[i] = h.by[i].WithAttrs(attrs)
	}
	return h
}

// WithGroup implements slog.Handler.
func (h syslogHandler) WithGroup(name string) slog.Handler {
	for i := range h.by {
		h.by[i] = h.by[i].WithGroup(name)
	}
	return h
}

// markedWriter puts a byte before each line.
type markedWriter struct {
	w    io.Writer
	mark byte
}

// Write implements io.Writer.
func (m markedWriter) Write(line []byte) (int, error) {
	if _, err := m.w.Write(append([]byte{m.mark}, line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// syslogSender sends lines, each behind a byte for its severity, to the system's
// log daemon, one datagram each. A daemon that is gone is looked for again with
// the next line.
type syslogSender struct {
	paths    []string
	ident    string
	facility int
	conn     net.Conn // nil: not connected
}

// alike reports whether two senders send the same to the same.
func (s *syslogSender) alike(other *syslogSender) bool {
	return s.ident == other.ident && s.facility == other.facility && slices.Equal(s.paths, other.paths)
}

// Write implements io.Writer. What can't be sent is lost, and nobody is told.
func (s *syslogSender) Write(lines []byte) (int, error) {
	for line := range bytes.Lines(lines) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(line) < 2 {
			continue
		}
		severity, text := int(line[0]-'0'), line[1:]
		text = text[:min(len(text), maxSyslogLine)]
		s.send(fmt.Appendf(nil, "<%d>%s %s[%d]: %s", s.facility<<3|severity&7, time.Now().Format(time.Stamp), s.ident, os.Getpid(), text))
	}
	return len(lines), nil
}

func (s *syslogSender) send(datagram []byte) {
	for range 2 { // the daemon may have been started anew
		if s.conn == nil && !s.connect() {
			return
		}
		_ = s.conn.SetWriteDeadline(time.Now().Add(syslogTime)) // it can't fail on an open socket
		if _, err := s.conn.Write(datagram); err == nil {
			return
		}
		_ = s.conn.Close()
		s.conn = nil
	}
}

func (s *syslogSender) connect() bool {
	for _, path := range s.paths {
		if conn, err := net.Dial("unixgram", path); err == nil {
			s.conn = conn
			return true
		}
	}
	return false
}
