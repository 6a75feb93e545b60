package supervise

import (
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Signals are those that the caller should be notified of and pass to Forward.
// A signal that this process was started with ignored, as nohup and shells do
// for INT and HUP, is left out, so it stays ignored for the command too: call
// this before the first signal.Notify.
//
// Without a terminal they have TTIN and TTOU, which servers such as gunicorn
// give a meaning. With one these stop a process that touches it from the
// background, which must not be caught.
func Signals() []os.Signal {
	list := forwarded()
	if terminal, err := openTerminal(); err == nil {
		terminal.Close() // only asked whether there is one
	} else {
		list = append(list, syscall.SIGTTIN, syscall.SIGTTOU)
	}
	return slices.DeleteFunc(list, signal.Ignored)
}

// forwarded are the signals that mean something to a command whether there is a
// terminal or not.
func forwarded() []os.Signal {
	return []os.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGTSTP,
	}
}

// isStop reports whether a signal asks a command to end, so that a second one
// may mean something else than the first.
func isStop(sig syscall.Signal) bool {
	return sig == syscall.SIGTERM || sig == syscall.SIGINT || sig == syscall.SIGQUIT
}

// fromTerminal reports whether a terminal, or the shell that looks after it,
// sends this signal to the group in the foreground.
func fromTerminal(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGWINCH, syscall.SIGCONT:
		return true
	}
	return false
}

// openTerminal opens the terminal that controls this process.
func openTerminal() (*os.File, error) {
	return os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0)
}

// inForeground reports whether our process group is the one that the terminal
// sends signals to.
func inForeground() bool {
	terminal, err := openTerminal()
	if err != nil {
		return false
	}
	defer terminal.Close()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// watched reports whether a shell with job control has started us: a parent of
// the same session in another group. Without one nobody would continue us.
func watched() bool {
	parent := os.Getppid()
	session, err := unix.Getsid(0)
	if err != nil {
		return false
	}
	parentSession, err := unix.Getsid(parent)
	if err != nil || parentSession != session {
		return false
	}
	group, err := unix.Getpgid(parent)
	return err == nil && group != unix.Getpgrp()
}

// inOurGroup reports whether a process gets what is sent to our process group.
func inOurGroup(pid int) bool {
	group, err := unix.Getpgid(pid)
	return err == nil && group == unix.Getpgrp()
}
