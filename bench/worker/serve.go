package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// message is a line that a worker process writes. One of its fields is set.
type message struct {
	Ready    *Ready    `json:"ready,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	Result   *Result   `json:"result,omitempty"`
	Failed   string    `json:"failed,omitempty"`
	// Unsupported says of Failed that it is an ErrUnsupported.
	Unsupported bool `json:"unsupported,omitempty"`
}

// The lines that a worker process reads after its job.
const (
	goLine   = "go"
	stopLine = "stop"
)

// longestLine bounds a line of the protocol.
const longestLine = 64 << 20

// errParentGone ends a worker whose parent has closed its standard input.
var errParentGone = errors.New("the benchmark that started this process has gone")

// Serve is the child's side: it reads a Job from stdin, does it as Run does, and writes lines for the parent to stdout. It
// blocks until the result is written, and returns an error when there is none; a failure was told to the parent then, if
// there still is one. A read of stdin may be under way afterwards.
func Serve(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parent := &parent{lines: bufio.NewReader(stdin), out: stdout, words: make(chan bool, 1)}
	result, err := parent.serve(ctx, cancel)
	switch {
	case errors.Is(err, errParentGone):
		return err
	case err != nil:
		// What can't be written to a parent that is gone is known to nobody else.
		_ = parent.tell(message{Failed: oneLine(err), Unsupported: errors.Is(err, ErrUnsupported)})
		return err
	}
	return parent.tell(message{Result: &result})
}

// parent is the process that started us, seen from the child.
type parent struct {
	lines *bufio.Reader // read by serve, then by listen
	words chan bool     // go is true, stop is false

	mu  sync.Mutex
	out io.Writer // guarded by mu
}

func (p *parent) serve(ctx context.Context, cancel context.CancelCauseFunc) (Result, error) {
	line, err := readLine(p.lines)
	if err != nil {
		return Result{}, fmt.Errorf("reading the benchmark's job: %w", err)
	}
	var job Job
	if err := json.Unmarshal(line, &job); err != nil {
		return Result{}, fmt.Errorf("reading the benchmark's job: %w", err)
	}
	// It ends with stdin, which for a process is when it or its parent does.
	go p.listen(cancel)
	tell := func(m message) {
		if err := p.tell(m); err != nil {
			cancel(errParentGone)
		}
	}
	return Run(ctx, job, Control{
		Ready:    func(ready Ready) { tell(message{Ready: &ready}) },
		Progress: func(progress Progress) { tell(message{Progress: &progress}) },
		Go: func(ctx context.Context) (bool, error) {
			select {
			case word := <-p.words:
				return word, nil
			case <-ctx.Done():
				return false, context.Cause(ctx)
			}
		},
	})
}

// listen hands on what the parent says, until it says no more.
func (p *parent) listen(cancel context.CancelCauseFunc) {
	for {
		line, err := readLine(p.lines)
		if err != nil {
			cancel(errParentGone)
			return
		}
		switch word := strings.TrimSpace(string(line)); word {
		case goLine, stopLine:
			select {
			case p.words <- word == goLine:
			default: // said twice
			}
		}
	}
}

// tell writes one line.
func (p *parent) tell(m message) error {
	line, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing to the benchmark: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing to the benchmark: %w", err)
	}
	return nil
}

// readLine reads up to a line's end, which it leaves out.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > longestLine:
			return nil, errors.New("a line is too long")
		}
	}
}
