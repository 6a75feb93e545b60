package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is what to run and how to end it. It is not changed, and may be
// dropped once Start has returned.
type Command struct {
	// Args are the command and its arguments. A name without a slash is looked
	// up in the PATH of Environ, as execvp does. The shell has no part in it.
	Args []string
	// Environ is the whole environment as name=value. nil is an empty one.
	Environ []string
	// Patience is how long what the command leaves behind may go on. Zero:
	// not at all.
	Patience time.Duration
	// Grace is the time between telling what was left behind to end and
	// killing it. Zero: it is killed at once.
	Grace time.Duration
	// Abandon leaves alone what is still there when Patience is over.
	Abandon bool
	// Witness is the command line, with the name to run under first, that makes
	// this program call Witness and nothing else. nil: there is no witness, and
	// signals are forwarded with more caution. The name should not resemble the
	// program's own: see the package comment.
	Witness []string
	// Log gets what an operator should know. nil: nothing is logged.
	Log *slog.Logger
}

// The statuses that a shell gives a command that doesn't start.
const (
	statusNotRunnable = 126
	statusNotFound    = 127
)

// StartError says why a command didn't start. Its text is one sentence without
// the arguments, which may have secrets in them.
type StartError struct {
	// Status is what to exit with: 127 if there is no such command, 126 if
	// there is one and it can't be run.
	Status int

	command string
	problem string
	err     error
}

func (e *StartError) Error() string { return fmt.Sprintf("starting %s: %s", e.command, e.problem) }

// Unwrap returns the cause, mostly a syscall.Errno.
func (e *StartError) Unwrap() error { return e.err }

// notFound and notRunnable make the two kinds of StartError.
func notFound(command, problem string, err error) *StartError {
	return &StartError{Status: statusNotFound, command: command, problem: problem, err: err}
}

func notRunnable(command, problem string, err error) *StartError {
	return &StartError{Status: statusNotRunnable, command: command, problem: problem, err: err}
}

// lookUp finds the file that a command's name means, in the command's own
// environment. A file that can't be executed doesn't end the search, it is
// remembered; that is what execvp does.
func lookUp(name string, environ []string) (string, *StartError) {
	if name == "" {
		return "", notFound(`""`, "the name of the command is empty", syscall.ENOENT)
	}
	if strings.Contains(name, "/") {
		return name, nil
	}
	denied := ""
	for directory := range strings.SplitSeq(searchPath(environ), ":") {
		if directory == "" {
			directory = "."
		}
		file := directory + "/" + name
		switch err := executable(file); {
		case err == nil:
			return file, nil
		case errors.Is(err, fs.ErrPermission):
			if denied == "" {
				denied = file
			}
		}
	}
	if denied != "" {
		return "", notRunnable(name, denied+" isn't an executable file", syscall.EACCES)
	}
	return "", notFound(name, "there is no such command in PATH", syscall.ENOENT)
}

// searchPath is where commands are looked for: without PATH, where the C
// library does.
func searchPath(environ []string) string {
	for _, entry := range environ {
		if path, ok := strings.CutPrefix(entry, "PATH="); ok {
			return path
		}
	}
	return "/bin:/usr/bin"
}

// executable returns nil if a file may be executed.
func executable(file string) error {
	found, err := os.Stat(file)
	if err != nil {
		return err
	}
	if found.IsDir() {
		return syscall.EACCES
	}
	return unix.Access(file, unix.X_OK)
}

// explainStart makes a sentence of what execve answered for a file.
func explainStart(command, file string, err error) *StartError {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		if _, statErr := os.Stat(file); statErr != nil {
			return notFound(command, "there is no such file", err)
		}
		return notRunnable(command, "the interpreter that it names in its first line, or its loader, doesn't exist", err)
	case errors.Is(err, syscall.EACCES):
		return notRunnable(command, "it isn't an executable file", err)
	case errors.Is(err, syscall.ENOEXEC):
		return notRunnable(command, "it is neither a program for this machine nor a script", err)
	}
	return notRunnable(command, err.Error(), err)
}

// asScript is the command line that runs a file as execvp does when the system
// has said that it is no program: a script without #! is the shell's. What looks
// like a program for another machine is left alone.
func asScript(file string, args []string, refusal error) (line []string, ok bool) {
	if !errors.Is(refusal, syscall.ENOEXEC) {
		return nil, false
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, false
	}
	defer f.Close() //nolint:errcheck // only read
	head := make([]byte, 256)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || bytes.IndexByte(head[:n], 0) >= 0 {
		return nil, false
	}
	return append([]string{"/bin/sh", file}, args[1:]...), true
}

// Exec puts a command in the place of this process, and returns only if that
// isn't possible: a *StartError. Of the Command only Args and Environ count.
func Exec(command Command) error {
	if len(command.Args) == 0 {
		return notFound(`""`, "no command was given", syscall.ENOENT)
	}
	file, problem := lookUp(command.Args[0], command.Environ)
	if problem != nil {
		return problem
	}
	err := syscall.Exec(file, command.Args, command.Environ)
	if shell, isScript := asScript(file, command.Args, err); isScript {
		err = syscall.Exec(shell[0], shell, command.Environ)
	}
	return explainStart(command.Args[0], file, err)
}

// exitStatus is the status that a shell would show.
func exitStatus(w syscall.WaitStatus) int {
	if w.Signaled() {
		return 128 + int(w.Signal())
	}
	return w.ExitStatus()
}
