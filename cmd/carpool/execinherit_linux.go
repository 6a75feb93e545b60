package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// startedWithoutPipe reports whether SIGPIPE was ignored when this process began. Go's runtime has overwritten that before any code
// of ours can look, so it is inferred: systemd starts services so unless told otherwise, and what a shell ignores, all that it
// starts ignore. Other programs may ignore it for themselves only.
func startedWithoutPipe() bool {
	if os.Getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(os.Getpid()) {
		return true
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(os.Getppid()) + "/status")
	if err != nil {
		return false
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	ignored, err := strconv.ParseUint(fields["SigIgn"], 16, 64)
	isShell := slices.Contains([]string{"sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"}, fields["Name"])
	return err == nil && isShell && ignored&(1<<(syscall.SIGPIPE-1)) != 0
}
