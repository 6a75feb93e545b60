package main

import (
	"io"
	"log/slog"
	"sync"
	"time"
)

// maxLogBacklog is how much of the log may wait for a reader, in bytes.
const maxLogBacklog = 1 << 20

// logPatience is how long Close waits for whoever should read the log.
const logPatience = time.Second

// logWriter takes lines and writes them on a goroutine of its own: nobody who
// logs waits for a pipe that is full or a disk that is slow. What doesn't fit
// is dropped, and counted in a line of its own.
type logWriter struct {
	// Immutable.
	w    io.Writer
	wake chan struct{} // buffered by one: there is something to write
	done chan struct{} // closed when everything is written after Close

	mu      sync.Mutex
	backlog []byte
	dropped int          // lines
	own     slog.Handler // of the line that counts them, on w
	closed  bool
}

// newLogWriter makes a logWriter. Close ends its goroutine.
func newLogWriter(w io.Writer) *logWriter {
	l := &logWriter{w: w, own: slog.NewTextHandler(w, nil), wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.run()
	return l
}

// shape gives the writer the handler of its own lines, which writes to w.
func (l *logWriter) shape(own slog.Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.own = own
}

// Write takes one line. It never blocks and never fails.
func (l *logWriter) Write(line []byte) (int, error) {
	l.mu.Lock()
	switch {
	case l.closed:
	case len(l.backlog)+len(line) > maxLogBacklog:
		l.dropped++
	default:
		l.backlog = append(l.backlog, line...)
	}
	l.mu.Unlock()
	l.rouse()
	return len(line), nil
}

// Close waits a little until everything is written.
func (l *logWriter) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.rouse()
	select {
	case <-l.done:
	case <-time.After(logPatience):
	}
}

func (l *logWriter) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run writes until there is nothing left after Close.
func (l *logWriter) run() {
	defer close(l.done)
	var spare []byte
	for {
		l.mu.Lock()
		text, dropped, own, closed := l.backlog, l.dropped, l.own, l.closed
		l.backlog, l.dropped = spare[:0], 0
		l.mu.Unlock()
		if len(text) > 0 {
			_, _ = l.w.Write(text) // there is nowhere to report it
		}
		if dropped > 0 {
			slog.New(own).Warn("the log can't be written as fast as it comes", "lines_dropped", dropped)
		}
		spare = text
		switch {
		case len(text) > 0 || dropped > 0: // there may be more by now
		case closed:
			return
		default:
			<-l.wake
		}
	}
}
