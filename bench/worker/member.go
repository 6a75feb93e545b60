package worker

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"carpool/bench/pgserver"
)

// member is one worker process, seen from its parent.
type member struct {
	process *pgserver.Process
	in      *os.File // its standard input
	out     *os.File // its standard output
	errors  *ending
}

// start starts one process: in a process group of its own, so that a Ctrl-C in the terminal is ours alone, and on Linux told
// to end when we do.
func (g Group) start() (*member, error) {
	theirIn, ourIn, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a worker's pipe: %w", err)
	}
	defer theirIn.Close()
	ourOut, theirOut, err := os.Pipe()
	if err != nil {
		_ = ourIn.Close()
		return nil, fmt.Errorf("making a worker's pipe: %w", err)
	}
	defer theirOut.Close()
	m := &member{in: ourIn, out: ourOut, errors: &ending{also: g.Stderr}}
	command := exec.Command(g.Command[0], g.Command[1:]...)
	command.Env = g.Environ
	command.Stdin, command.Stdout, command.Stderr = theirIn, theirOut, m.errors
	command.WaitDelay = closedPatience
	var nobody *pgserver.Owner
	command.SysProcAttr = nobody.ProcAttr(syscall.SIGKILL)
	if m.process, err = pgserver.Launch(command); err != nil {
		_ = ourIn.Close()
		_ = ourOut.Close()
		return nil, fmt.Errorf("starting a worker process: %w", err)
	}
	return m, nil
}

// converse tells the process its job and hands on what it says, until it says no more or hand returns false.
func (m *member) converse(job []byte, hand func(report) bool) {
	defer m.out.Close()
	lines := bufio.NewReader(m.out)
	_, failed := m.in.Write(job) // when it has ended already, what it said last tells more
	for {
		line, err := readLine(lines)
		if err != nil {
			break
		}
		var said message
		if err := json.Unmarshal(line, &said); err != nil {
			hand(report{ended: fmt.Errorf("a worker process said what isn't JSON: %w", err)})
			return
		}
		if !hand(report{said: said}) {
			return
		}
	}
	exit := failed
	select {
	case <-m.process.Done():
		exit = m.process.Exit()
	case <-time.After(closedPatience):
	}
	hand(report{ended: endedEarly(exit, m.errors.line())})
}

// tell writes a line. It doesn't block: the pipe is empty, or its reader has ended.
func (m *member) tell(word string) {
	_, _ = io.WriteString(m.in, word+"\n")
}

// stop makes the process end and waits for that.
func (m *member) stop() {
	_ = m.in.Close()
	// A child of the process that lives on may hold the pipe open.
	defer func() { _ = m.out.SetReadDeadline(past) }()
	patience := time.NewTimer(closedPatience)
	defer patience.Stop()
	select {
	case <-m.process.Done():
		return
	case <-patience.C:
	}
	_ = m.process.Signal(syscall.SIGTERM)
	patience.Reset(signalPatience)
	select {
	case <-m.process.Done():
		return
	case <-patience.C:
	}
	// It leads a group, in which may be children of its own.
	_ = syscall.Kill(-m.process.PID(), syscall.SIGKILL)
	m.process.End(signalPatience)
}

// oneAtATime is a writer for many goroutines.
type oneAtATime struct {
	mu sync.Mutex
	to io.Writer // guarded by mu
}

func (w *oneAtATime) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// ending keeps the end of what is written to it.
type ending struct {
	also io.Writer // gets it too, for all members; may be nil

	mu   sync.Mutex
	kept []byte // guarded by mu
}

const longestEnding = 4096

// Write never fails: a process isn't to end because nobody can read what it complains of.
func (e *ending) Write(p []byte) (int, error) {
	if e.also != nil {
		_, _ = e.also.Write(p)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kept = append(e.kept, p...)
	if extra := len(e.kept) - longestEnding; extra > 0 {
		e.kept = append(e.kept[:0], e.kept[extra:]...)
	}
	return len(p), nil
}

// line is the last line that isn't empty.
func (e *ending) line() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(e.kept)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
