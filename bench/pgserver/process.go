package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a child that outlives calls: a postmaster, or a pooler under measurement. It is started by Launch and waited
// for by a goroutine of its own; Done tells when it has ended.
type Process struct {
	// immutable after Launch
	pid  int
	done chan struct{}

	exit error // written before done is closed
}

// Launch starts the command and returns at once. The command's SysProcAttr should come from Owner.ProcAttr. The process
// belongs to the caller, who ends it with Signal or End.
func Launch(command *exec.Cmd) (*Process, error) {
	p := &Process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel's message to orphans is tied to the thread that started the child, so that thread is kept for it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := command.Start(); err != nil {
			started <- err
			return
		}
		p.pid = command.Process.Pid
		started <- nil
		p.exit = command.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", command.Path, err)
	}
	return p, nil
}

// PID is the process id. It may belong to another process once Done is closed.
func (p *Process) PID() int { return p.pid }

// Done is closed when the process has ended and been waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is nil while the process runs and when it ended with status 0, else how it ended.
func (p *Process) Exit() error {
	select {
	case <-p.done:
		return p.exit
	default:
		return nil
	}
}

// Signal sends a signal to the process. One that has ended already gives os.ErrProcessDone.
func (p *Process) Signal(signal syscall.Signal) error {
	select {
	case <-p.done:
		return os.ErrProcessDone
	default:
	}
	if err := syscall.Kill(p.pid, signal); err != nil {
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return fmt.Errorf("sending %s to process %d: %w", signal, p.pid, err)
	}
	return nil
}

// Wait blocks until the process has ended, or ctx has: then it returns the cause and the process runs on.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// End makes the process end: each signal is sent in turn and given the patience to work, then the process is killed. It
// blocks until the process has ended.
func (p *Process) End(patience time.Duration, signals ...syscall.Signal) {
	for _, signal := range append(signals, syscall.SIGKILL) {
		if err := p.Signal(signal); err != nil {
			break
		}
		timeout := time.NewTimer(patience)
		select {
		case <-p.done:
		case <-timeout.C:
		}
		timeout.Stop()
	}
	<-p.done
}

// Environment is our environment for a child that is Postgres, or a client or pooler of it: without the variables that would
// change its behaviour or language, and with a home directory that it may use.
func Environment(home string) []string {
	kept := []string{"LC_ALL=C", "HOME=" + home}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "LC_") || name == "LANG" || name == "HOME" {
			continue
		}
		kept = append(kept, entry)
	}
	return kept
}
