package worker

import (
	"fmt"
	"syscall"
	"time"
)

const (
	// otherFiles are the descriptors that a process has besides those of connections and alarms.
	otherFiles = 64
	// mostExactAlarms is up to how many clients wait on descriptors of their own.
	mostExactAlarms = 1000
)

// files is how many file descriptors the job can come to use.
func (j Job) files() int {
	needed := j.Clients + j.IdleClients + otherFiles
	if (j.Rate > 0 || j.ThinkTime > 0) && j.Clients <= mostExactAlarms {
		needed += j.Clients
	}
	return needed
}

// needFiles raises the limit on file descriptors as far as that is allowed, and says what to do when it is still too low.
func needFiles(needed int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit on file descriptors: %w", err)
	}
	if uint64(needed) <= uint64(limit.Cur) {
		return nil
	}
	raised := limit
	raised.Cur = limit.Max
	if limit.Max > limit.Cur && syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
		limit = raised
	}
	if uint64(needed) <= uint64(limit.Cur) {
		return nil
	}
	return fmt.Errorf("one process of this benchmark needs %d file descriptors and may have %d: "+
		"raise the limit (as root: ulimit -n %d) or spread the clients over more --processes", needed, limit.Cur, needed)
}

// processorTime is the user and system time of this process so far.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
