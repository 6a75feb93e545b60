package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// pidFile is a file that holds our process id, and that we hold a lock on. The
// zero pidFile is none.
type pidFile struct {
	name string
	file *os.File
}

// takePIDFile writes the file, which must not belong to a process that runs.
// An empty name writes none.
func takePIDFile(name string) (pidFile, error) {
	if name == "" {
		return pidFile{}, nil
	}
	for range 10 {
		file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return pidFile{}, fmt.Errorf("pidfile: %w", err)
		}
		free, err := lock(file)
		if err == nil && !inPlace(file, name) {
			_ = file.Close() // whoever had it has removed it meanwhile
			continue
		}
		switch owner, known := readPIDFile(name); {
		case err != nil:
		case !known:
			err = fmt.Errorf("%s is there and holds no process id: remove it if it is in the way", name)
		case !free || owner != os.Getpid() && isPooler(owner): // our own id is that of a container's former life
			err = fmt.Errorf("process %d runs, says %s: is carpool running already?", owner, name)
		default:
			if err = writePID(file); err == nil {
				return pidFile{name, file}, nil
			}
		}
		_ = file.Close()
		return pidFile{}, fmt.Errorf("pidfile: %w", err)
	}
	return pidFile{}, fmt.Errorf("pidfile: other processes are writing %s at the same time", name)
}

// nextPIDFile writes a file beside that of a process that runs, for putInPlace.
func nextPIDFile(name string) (pidFile, error) {
	next := pidFile{name: name + ".new"}
	file, err := os.OpenFile(next.name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return pidFile{}, fmt.Errorf("pidfile: %w", err)
	}
	free, err := lock(file)
	if err == nil && !free {
		err = fmt.Errorf("another process is taking over at the same time, which has %s", next.name)
	}
	if err == nil {
		err = writePID(file)
	}
	if err != nil {
		_ = file.Close()
		return pidFile{}, fmt.Errorf("pidfile: %w", err)
	}
	next.file = file
	return next, nil
}

// putInPlace gives the file its name, in one step, whoever has it.
func (f *pidFile) putInPlace(name string) error {
	if err := os.Rename(f.name, name); err != nil {
		return fmt.Errorf("pidfile: %w", err)
	}
	f.name = name
	return nil
}

// runningPID is the process that a pidfile says runs, 0 if there is none.
func runningPID(name string) int {
	owner, known := readPIDFile(name)
	if !known || owner == 0 || owner == os.Getpid() || !isPooler(owner) {
		return 0
	}
	return owner
}

// lock locks the file until we end, or close it. free is false if another
// process has. A file system that has no locks has none to be taken.
func lock(file *os.File) (free bool, err error) {
	switch err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return false, nil
	case err == nil, errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOSYS):
		return true, nil
	default:
		return false, fmt.Errorf("locking %s: %w", file.Name(), err)
	}
}

// inPlace reports whether a file is still the one of that name.
func inPlace(file *os.File, name string) bool {
	have, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(name)
	return err == nil && os.SameFile(have, there)
}

func writePID(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	return err
}

// remove removes the file, if it is still ours.
func (f pidFile) remove() error {
	if f.name == "" {
		return nil
	}
	defer f.file.Close()
	if owner, known := readPIDFile(f.name); !known || owner != os.Getpid() {
		return nil
	}
	err := os.Remove(f.name)
	if errors.Is(err, fs.ErrPermission) {
		err = f.file.Truncate(0) // the directory isn't ours, but nobody shall take us for alive
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pidfile: %w", err)
	}
	return nil
}

// readPIDFile is the process id in a file, 0 for an empty one. known is false
// if there is something else in it.
func readPIDFile(name string) (pid int, known bool) {
	content, err := os.ReadFile(name)
	if err != nil {
		return 0, false
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return 0, true
	}
	pid, err = strconv.Atoi(text)
	return pid, err == nil && pid > 0
}

// isPooler reports whether a process of that id lives that may be a pooler:
// after a restart of the machine the id is likely somebody else's. Where the
// system doesn't tell what a process is, any may be.
func isPooler(pid int) bool {
	if pid == 0 {
		return false
	}
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return true
	}
	own, err := os.ReadFile("/proc/self/comm")
	return err != nil || string(name) == string(own) || strings.TrimSpace(string(name)) == "carpool" || strings.TrimSpace(string(name)) == "pgbouncer"
}
