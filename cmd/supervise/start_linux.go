package supervise

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes makes the kernel tell the command TERM when the thread that
// started it has gone.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

// adoptOrphans makes this process the parent of descendants whose own parent
// has ended.
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming the reaper of descendants: %w", err)
	}
	return nil
}

// awaitEnd waits until a child has ended, and doesn't reap it. It returns false
// if that can't be done.
func awaitEnd(pid int) bool {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			return err == nil
		}
	}
}

// ownProgram is the file that this process runs, even if another has taken its
// place on disk.
func ownProgram() (string, error) { return "/proc/self/exe", nil }
