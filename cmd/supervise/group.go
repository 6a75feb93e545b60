package supervise

import (
	"os/exec"
	"syscall"
)

// RunGroup runs a process to its end, as exec.Cmd's Run does, in a process group
// of its own. All that is left of the group is killed when the process has ended,
// or when the context of cmd has, so that nobody who inherits its output keeps
// anybody waiting, unless he has left the group: that is for cmd's WaitDelay. It
// sets SysProcAttr and Cancel of cmd.
func RunGroup(cmd *exec.Cmd) error {
	inGroup(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	return waitGroup(cmd)
}

// inGroup prepares a process that has a group of its own and dies with it.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if cmd.Cancel != nil { // else there is no context, and none may be set
		cmd.Cancel = func() error { return killGroup(cmd) }
	}
}

// waitGroup waits for a process that has started, and kills what is left of its
// group, before the process is reaped where that is possible: until then its
// number is nobody else's.
func waitGroup(cmd *exec.Cmd) error {
	if awaitEnd(cmd.Process.Pid) {
		_ = killGroup(cmd) // there may be nothing left
		return cmd.Wait()
	}
	defer killGroup(cmd) //nolint:errcheck // as above
	return cmd.Wait()
}

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
