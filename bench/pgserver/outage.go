package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errBusy is the postmaster's refusal to start while backends of a crashed predecessor live.
var errBusy = errors.New("backends of the previous postmaster are still there")

// Up starts the postmaster if it is down, and returns when it takes connections. Start has done that once already.
func (s *Server) Up(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errors.New("this private Postgres has been stopped for good")
	}
	if s.postmaster != nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, errors.New("postgres isn't ready after "+startPatience.String()))
	defer cancel()
	for {
		err := s.startLocked(ctx)
		if !errors.Is(err, errBusy) {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// Down stops the postmaster in the given way and blocks until it has ended. When ctx ends first, the shutdown goes on by
// itself and Down may be called again. The directory stays: Up brings the server back.
func (s *Server) Down(ctx context.Context, mode Shutdown) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.postmaster == nil {
		return nil
	}
	if err := s.postmaster.Signal(mode.signal()); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping Postgres: %w", err)
	}
	if err := s.postmaster.Wait(ctx); err != nil {
		return fmt.Errorf("waiting for Postgres to stop: %w", err)
	}
	s.postmaster = nil
	return nil
}

// Restart is Down and Up.
func (s *Server) Restart(ctx context.Context, mode Shutdown) error {
	if err := s.Down(ctx, mode); err != nil {
		return err
	}
	return s.Up(ctx)
}

// Pause stops the postmaster with SIGSTOP: connecting succeeds (the kernel accepts) but nobody answers. Backends that exist
// go on. Continue ends it.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Continue ends a Pause.
func (s *Server) Continue() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.postmaster == nil {
		return errors.New("postgres is down")
	}
	return s.postmaster.Signal(signal)
}

func (s *Server) logPath() string { return filepath.Join(s.dir, "log") }

// startLocked starts one postmaster and waits until it is ready or has given up.
func (s *Server) startLocked(ctx context.Context) error {
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening Postgres' log: %w", err)
	}
	defer log.Close()
	logged, err := log.Seek(0, 2)
	if err != nil {
		return fmt.Errorf("reading Postgres' log: %w", err)
	}
	command := exec.Command(s.binaries.Path("postgres"), "-D", s.data, "-p", strconv.Itoa(s.port))
	command.Dir = s.dir
	command.Env = Environment(s.dir)
	command.Stdout, command.Stderr = log, log
	command.ExtraFiles = []*os.File{s.scratch.Lock()} // its backends have it, too: the directory is theirs until the last has ended
	command.SysProcAttr = s.owner.ProcAttr(syscall.SIGQUIT)
	postmaster, err := Launch(command)
	if err != nil {
		return err
	}
	if err := s.awaitReady(ctx, postmaster); err != nil {
		postmaster.End(stopPatience, syscall.SIGQUIT)
		text := s.Log()[logged:]
		if strings.Contains(text, "pre-existing shared memory block") {
			return errBusy
		}
		return fmt.Errorf("starting Postgres: %w; its log says:\n%s", err, text)
	}
	s.postmaster = postmaster
	return nil
}

// awaitReady watches postmaster.pid, whose eighth line says "ready" once connections are taken, as pg_ctl does. The first
// line is the process id: a file left by a crashed predecessor doesn't count.
func (s *Server) awaitReady(ctx context.Context, postmaster *Process) error {
	for {
		text, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
		if err == nil {
			lines := bytes.Split(text, []byte("\n"))
			if len(lines) >= 8 && string(lines[0]) == strconv.Itoa(postmaster.PID()) && strings.TrimSpace(string(lines[7])) == "ready" {
				return nil
			}
		}
		select {
		case <-postmaster.Done():
			return fmt.Errorf("it ended (%v)", postmaster.Exit())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// pause blocks for the duration or until ctx ends.
func pause(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
