package supervise

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// probe is the signal that a witness sends itself to find out that all earlier
// ones have come through. Nobody broadcasts it.
const probe = syscall.SIGIO

// answered is what a witness writes for a probe, and once when it is ready. Any
// other byte is the number of a signal that it got.
const answered = 0

// witnessPatience is how long a witness may take to answer, starting up
// included, before it is done without.
const witnessPatience = 2 * time.Second

// Witness is all that a process does that Command.Witness has started: it notes
// the signals it gets on file descriptor 1 until descriptor 0 ends. It blocks
// until then. The package comment says what for.
func Witness() error {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, append(forwarded(), syscall.SIGTTIN, syscall.SIGTTOU, probe)...)
	defer signal.Stop(signals)
	questions := make(chan error, 1)
	go func() { questions <- askSelf() }() // ends with the process at the latest
	if err := report(answered); err != nil {
		return err
	}
	for {
		select {
		case err := <-questions:
			return err
		case sig := <-signals:
			word := byte(answered)
			if number, ok := sig.(syscall.Signal); ok && number != probe {
				word = byte(number)
			}
			if err := report(word); err != nil {
				return err
			}
		}
	}
}

// askSelf sends this process a probe for each byte on descriptor 0, so that the
// answer takes the road that signals take.
func askSelf() error {
	question := make([]byte, 1)
	for {
		if _, err := io.ReadFull(os.Stdin, question); err != nil {
			return nil // who started us has gone
		}
		if err := syscall.Kill(os.Getpid(), probe); err != nil {
			return fmt.Errorf("sending a probe: %w", err)
		}
	}
}

func report(word byte) error {
	if _, err := os.Stdout.Write([]byte{word}); err != nil {
		return fmt.Errorf("reporting a signal: %w", err)
	}
	return nil
}

// witness is the other end: the process that Witness runs in, as its parent
// sees it. It belongs to the Child's loop.
type witness struct {
	pid     int
	reports chan byte // closed when the witness has ended or was dismissed
	ask     *os.File
	listen  *os.File
	asked   time.Time // when the question that isn't answered yet was put
	ready   bool
	reaped  bool
}

// startWitness starts a witness in our own process group. Nothing secret is in
// its environment, and it holds none of our standard streams.
func startWitness(args []string) (*witness, error) {
	program, err := ownProgram()
	if err != nil {
		return nil, err
	}
	var opened []*os.File
	closeAll := func() {
		for _, f := range opened {
			f.Close() // nothing was written to it
		}
	}
	theirIn, ask, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	opened = append(opened, theirIn, ask)
	listen, theirOut, err := os.Pipe()
	if err != nil {
		closeAll()
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	opened = append(opened, listen, theirOut)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		closeAll()
		return nil, err
	}
	opened = append(opened, null)
	pid, err := syscall.ForkExec(program, args, &syscall.ProcAttr{
		Env:   []string{"GOMAXPROCS=1"},
		Files: []uintptr{theirIn.Fd(), theirOut.Fd(), null.Fd()},
	})
	if err != nil {
		closeAll()
		return nil, err
	}
	for _, f := range []*os.File{theirIn, theirOut, null} {
		f.Close() // the witness has it now
	}
	w := &witness{pid: pid, reports: make(chan byte, 64), ask: ask, listen: listen}
	go w.read()
	return w, nil
}

// read passes on what the witness reports. It ends when the witness has ended
// or its pipe is closed by dismiss.
func (w *witness) read() {
	defer close(w.reports)
	words := make([]byte, 16)
	for {
		n, err := w.listen.Read(words)
		for _, word := range words[:n] {
			w.reports <- word
		}
		if err != nil {
			return
		}
	}
}

// question asks the witness to say when everything it was sent has come
// through. Only one question is open at a time.
func (w *witness) question(now time.Time) error {
	if !w.asked.IsZero() {
		return nil
	}
	if _, err := w.ask.Write([]byte{1}); err != nil {
		return fmt.Errorf("asking the witness: %w", err)
	}
	w.asked = now
	return nil
}

// dismiss ends the witness and reaps it. It blocks only as long as a process
// takes to die.
func (w *witness) dismiss() {
	w.ask.Close()    // nothing is written through a cache
	w.listen.Close() // unblocks read
	for range w.reports {
		// Until read has ended: it must not be left blocked in a send.
	}
	if w.reaped {
		return // its number may be another's by now
	}
	_ = syscall.Kill(w.pid, syscall.SIGKILL) // can't fail: it hasn't been reaped
	for {
		if _, err := syscall.Wait4(w.pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}
