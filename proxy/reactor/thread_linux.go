package reactor

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadID is the system's number of the thread that this goroutine runs on.
func threadID() int { return unix.Gettid() }

// ProcessorTime is how much time of a processor the loop's thread has used
// since it began, for a loop whose Run has a thread to itself. It is false
// before Run and after it. Any goroutine may ask; it costs the loop nothing.
func (l *Loop) ProcessorTime() (time.Duration, bool) {
	id := l.thread.Load()
	if id == 0 {
		return 0, false
	}
	// The clock of another thread, as clock_getcpuclockid(3) makes it up:
	// the bits of the number turned over, 110 for processor time of one thread.
	const ofThread = 6
	clock := int32(^int32(id)<<3 | ofThread)
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, false
	}
	return time.Duration(t.Nano()), true
}
