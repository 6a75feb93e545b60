package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// logFileMode is that of a logfile that carpool makes.
	logFileMode = 0o640
	// logFileCheck is how often it is looked whether the file is in its place.
	logFileCheck = time.Second
)

// logFile is a file that lines are appended to. One that was moved away, as
// logrotate does, is opened anew under its name before the next line. With no
// file open it takes lines, and they are gone.
type logFile struct {
	mu      sync.Mutex
	name    string
	file    *os.File // nil is none
	checked time.Time
}

func openAppend(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, logFileMode)
	if err != nil {
		return nil, fmt.Errorf("logfile: %w", err)
	}
	return file, nil
}

// open opens the file of that name, anew if it is open already, in place of the
// one before; "" is none. On an error the one before stays.
func (f *logFile) open(name string) error {
	var file *os.File
	if name != "" {
		var err error
		if file, err = openAppend(name); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.useLocked(file, name)
	return nil
}

// reopen opens the file of the same name anew, if there is one. On an error the
// one that was open stays.
func (f *logFile) reopen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return
	}
	if file, err := openAppend(f.name); err == nil {
		f.useLocked(file, f.name)
	}
}

// useLocked puts a file in the place of the one before, which it closes. What
// Go's runtime says when it dies goes there as well.
func (f *logFile) useLocked(file *os.File, name string) {
	if f.file != nil {
		_ = f.file.Close()
	}
	f.file, f.name = file, name
	_ = debug.SetCrashOutput(file, debug.CrashOptions{}) // nil is none
}

func (f *logFile) isOpen() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file != nil
}

// Write implements io.Writer. That a line can't be written, as when the disk is
// full, is no reason to end, and there is nowhere to tell it.
func (f *logFile) Write(lines []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil {
		f.followLocked(time.Now())
		_, _ = f.file.Write(lines)
	}
	return len(lines), nil
}

// followLocked opens the file anew if it isn't the one of that name any more.
func (f *logFile) followLocked(now time.Time) {
	if now.Sub(f.checked) < logFileCheck {
		return
	}
	f.checked = now
	have, err := f.file.Stat()
	if err != nil {
		return
	}
	if there, err := os.Stat(f.name); err == nil && os.SameFile(have, there) {
		return
	}
	if file, err := openAppend(f.name); err == nil {
		f.useLocked(file, f.name)
	}
}

func (f *logFile) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.useLocked(nil, "")
}
