package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// pidFile is a file that holds our process id. The zero pidFile is none.
type pidFile struct{ name string }

// takePIDFile writes the file, which must not belong to a process that runs.
// An empty name writes none.
func takePIDFile(name string) (pidFile, error) {
	if name == "" {
		return pidFile{}, nil
	}
	// Twice: a file that was left behind is removed, and then made anew.
	for range 2 {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = fmt.Fprintln(f, os.Getpid())
			if err := errors.Join(err, f.Close()); err != nil {
				return pidFile{}, fmt.Errorf("pidfile: writing %s: %w", name, err)
			}
			return pidFile{name}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return pidFile{}, fmt.Errorf("pidfile: %w", err)
		}
		switch owner, known := readPIDFile(name); {
		case !known:
			return pidFile{}, fmt.Errorf("pidfile: %s is there and holds no process id: remove it if it is in the way", name)
		case owner != os.Getpid() && lives(owner): // our own id is that of a container's former life
			return pidFile{}, fmt.Errorf("pidfile: process %d runs, says %s: is carpool running already?", owner, name)
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return pidFile{}, fmt.Errorf("pidfile: removing the one that a former process left: %w", err)
		}
	}
	return pidFile{}, fmt.Errorf("pidfile: another process is writing %s at the same time", name)
}

// remove removes the file, if it is still ours.
func (f pidFile) remove() error {
	if f.name == "" {
		return nil
	}
	if owner, known := readPIDFile(f.name); !known || owner != os.Getpid() {
		return nil
	}
	if err := os.Remove(f.name); err != nil {
		return fmt.Errorf("pidfile: %w", err)
	}
	return nil
}

func readPIDFile(name string) (int, bool) {
	content, err := os.ReadFile(name)
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	return pid, err == nil && pid > 0
}

// lives reports whether there is a process of that id, whoever owns it.
func lives(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
