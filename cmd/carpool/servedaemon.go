package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"carpool/config"

	"golang.org/x/sys/unix"
)

// daemonVariable tells a process that it is the one in the background, and on
// which descriptor it tells the one that was asked for it when clients get in.
const daemonVariable = "_CARPOOL_READY_FD"

// readyMessage is what is told.
const readyMessage = "1"

// background is the end in the background of what tells that clients get in. nil
// is that of a process in the foreground, where nobody waits for it.
type background struct{ ready *os.File }

// backgroundOf is what the environment says, nil for a process that is to stay
// in the foreground, or that is still there.
func backgroundOf(p *program) *background {
	fd, err := strconv.Atoi(p.variable(daemonVariable))
	if err != nil || fd < 3 {
		return nil
	}
	unix.CloseOnExec(fd)
	return &background{os.NewFile(uintptr(fd), "ready")}
}

// isReady tells that clients get in.
func (b *background) isReady() {
	if b != nil {
		_, _ = b.ready.WriteString(readyMessage) // who asked may be gone
		_ = b.ready.Close()
	}
}

// daemonize starts the program once more, in a session of its own and with
// nothing of ours but its errors, and returns when clients get in there. If it
// ends before, so do we, and what it had to say was said on our stderr.
func (p *program) daemonize(c *config.Config) error {
	if c.PIDFile == "" {
		return usageError{fmt.Errorf("-d needs a pidfile: how else is it to be stopped?")}
	}
	if p.variable(listenFDsVariable) != "" {
		return usageError{fmt.Errorf("-d doesn't go with sockets of a service manager, which runs carpool in the foreground")}
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("-d: finding the program: %w", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("-d: %w", err)
	}
	defer read.Close()
	cmd := exec.Command(self, p.args...)
	cmd.Env = append(append([]string{}, p.environ...), daemonVariable+"=3")
	cmd.ExtraFiles = []*os.File{write}
	// A pipe of its own, which leads nowhere when we are gone: so nobody who
	// reads our stderr waits for the end of the one in the background.
	cmd.Stderr = struct{ io.Writer }{p.stderr}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = write.Close()
	if err != nil {
		return fmt.Errorf("-d: starting in the background: %w", err)
	}
	ready := make(chan bool, 1)
	go func() {
		told, _ := io.ReadAll(io.LimitReader(read, int64(len(readyMessage))))
		ready <- string(told) == readyMessage
	}()
	for {
		select {
		case ok := <-ready:
			if ok {
				return nil
			}
			if err := cmd.Wait(); err == nil {
				return nil // it was told to end, and has
			}
			return commandEnded{max(cmd.ProcessState.ExitCode(), exitFailure)}
		case sig := <-p.signals:
			_ = cmd.Process.Signal(sig) // it may have ended
		}
	}
}
