package procfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// Place is where a dyno lives.
type Place struct {
	Dir     string    // the application's directory, HOME of the dyno
	Environ []string  // the whole environment, as os.Environ has it; HOME is added
	Output  io.Writer // gets stdout and stderr of all processes, in the order written; written to by one goroutine at a time
}

// Dyno is a running line of a Procfile.
type Dyno struct {
	cmd      *exec.Cmd
	ended    chan struct{}
	allEnded chan struct{}
}

// boot is what a dyno begins with: the scripts that buildpacks have left, then the line. Bash becomes the line's command if
// it is a single one, so the command's status is the dyno's.
const boot = `for script in .profile.d/*.sh; do
	if [ -r "$script" ]; then . "./$script"; fi
done
unset script
exec bash -c "$1"`

// Start makes a dyno that runs a command line. The caller stops it with Broadcast and should wait for AllEnded.
func Start(command string, place Place) (*Dyno, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	d := &Dyno{
		cmd:      exec.Command("bash", "-c", boot, "bash", command),
		ended:    make(chan struct{}),
		allEnded: make(chan struct{}),
	}
	d.cmd.Dir = place.Dir
	d.cmd.Env = append(append([]string(nil), place.Environ...), "HOME="+place.Dir)
	d.cmd.Stdout, d.cmd.Stderr = write, write
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a dyno: %w", err), read.Close(), write.Close())
	}
	_ = write.Close() // theirs now
	go func() {
		_ = d.cmd.Wait() // the status is in ProcessState
		close(d.ended)
	}()
	// The pipe ends when the last process that could write to it has ended.
	go func() {
		_, _ = io.Copy(place.Output, read) // nobody is left to be told that the output can't be written
		_, _ = io.Copy(io.Discard, read)
		_ = read.Close()
		<-d.ended
		close(d.allEnded)
	}()
	return d, nil
}

// Ended is closed when the dyno's first process has ended. Others may live on.
func (d *Dyno) Ended() <-chan struct{} { return d.ended }

// AllEnded is closed when all of the dyno's processes have ended, those excepted that have turned away from its output.
func (d *Dyno) AllEnded() <-chan struct{} { return d.allEnded }

// Status is how the first process has ended, 128+n if by signal n, and -1 while it runs.
func (d *Dyno) Status() int {
	select {
	case <-d.ended:
	default:
		return -1
	}
	if status, ok := d.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return d.cmd.ProcessState.ExitCode()
}

// Group is the process group of the dyno, and the process id of its first process.
func (d *Dyno) Group() int { return d.cmd.Process.Pid }

// Broadcast sends a signal to all of the dyno's processes at once. A dyno that has ended already is no error.
func (d *Dyno) Broadcast(signal syscall.Signal) error {
	select {
	case <-d.allEnded: // the number may be somebody else's by now
		return nil
	default:
	}
	if err := syscall.Kill(-d.Group(), signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %s to a dyno: %w", signal, err)
	}
	return nil
}
