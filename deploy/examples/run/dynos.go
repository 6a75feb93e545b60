package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"carpool/deploy/procfile"
)

// dynos are the running lines of an app.
type dynos struct {
	lines   []procfile.Line
	place   procfile.Place
	out     io.Writer
	mu      sync.Mutex // one line on out at a time
	running []*procfile.Dyno
}

// start runs the line with a name. What it writes gets the name before it.
func (d *dynos) start(name string) (*procfile.Dyno, error) {
	command, ok := procfile.Find(d.lines, name)
	if !ok {
		return nil, fmt.Errorf("the Procfile has no line %q", name)
	}
	place := d.place
	place.Output = &labelled{label: fmt.Sprintf("%-7s | ", name), mu: &d.mu, out: d.out}
	dyno, err := procfile.Start(command, place)
	if err == nil {
		d.running = append(d.running, dyno)
	}
	return dyno, err
}

// serve starts web and worker, and returns when ctx or one of them has ended.
func (d *dynos) serve(ctx context.Context, port string) error {
	web, err := d.start("web")
	if err != nil {
		return err
	}
	worker, err := d.start("worker")
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	asking, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // ends with asking
		if answers(asking, "http://"+net.JoinHostPort(host, port)+"/healthz") {
			close(ready)
		}
	}()
	for {
		select {
		case <-ready:
			ready = nil
			d.mu.Lock()
			fmt.Fprintf(d.out, "\nThe bookstore is open: http://%s/ until Ctrl-C.\n\n", net.JoinHostPort(host, port))
			d.mu.Unlock()
		case <-ctx.Done():
			return nil
		case <-web.Ended():
			return fmt.Errorf("the web dyno has ended with status %d", web.Status())
		case <-worker.Ended():
			return fmt.Errorf("the worker dyno has ended with status %d", worker.Status())
		}
	}
}

// answers asks until there is a good answer, false if ctx ends before.
func answers(ctx context.Context, url string) bool {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// stop ends all dynos as a platform does, and returns when they have ended.
func (d *dynos) stop() error {
	var problems []error
	for _, dyno := range d.running {
		problems = append(problems, dyno.Broadcast(syscall.SIGTERM))
	}
	patience := time.NewTimer(grace)
	defer patience.Stop()
	for _, dyno := range d.running {
		select {
		case <-dyno.AllEnded():
		case <-patience.C:
			problems = append(problems, fmt.Errorf("not everything has ended within %s", grace))
			patience.Reset(0) // the others are late too
		}
	}
	for _, dyno := range d.running {
		problems = append(problems, dyno.Broadcast(syscall.SIGKILL))
		<-dyno.AllEnded()
	}
	return errors.Join(problems...)
}

// labelled writes whole lines with a label before them.
type labelled struct {
	label string
	mu    *sync.Mutex
	out   io.Writer
	rest  []byte // of a line that hasn't ended
}

// longestLine is where a line is cut in two.
const longestLine = 16 << 10

func (l *labelled) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole && len(line) < longestLine {
			return len(b), nil
		}
		l.mu.Lock()
		_, err := fmt.Fprintf(l.out, "%s%s\n", l.label, line)
		l.mu.Unlock()
		if err != nil {
			return 0, fmt.Errorf("writing a line: %w", err)
		}
		l.rest = append(l.rest[:0], rest...)
	}
}
