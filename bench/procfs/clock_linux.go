package procfs

import (
	"time"

	"golang.org/x/sys/unix"
)

// scheduled is the clock of a process that counts what the scheduler gave it, in nanoseconds (CPUCLOCK_SCHED in the kernel).
const scheduled = 2

// processClock is the CPU time of a process with all its threads, those that have ended included, as
// clock_getcpuclockid(3) tells it; false where it can't be read. /proc/PID/stat has the same cut down to ticks of 10 ms, once
// for user and once for system time, which is more than many a backend uses.
func processClock(pid int) (time.Duration, bool) {
	var used unix.Timespec
	if pid <= 0 || unix.ClockGettime(int32(^pid<<3|scheduled), &used) != nil {
		return 0, false
	}
	return time.Duration(used.Nano()), true
}
