package worker

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm wakes a client at a time, within some microseconds when it is exact: the timers of Go's runtime may be a millisecond
// late on Linux when the process is otherwise idle, which is more than most calls take.
type alarm struct {
	file   *os.File // a timerfd, read through the runtime's poller; nil: not exact
	buffer [8]byte
	late   *lateAlarm
}

func newAlarm(exact bool) (*alarm, error) {
	if !exact {
		return &alarm{late: newLateAlarm()}, nil
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a timer: %w", err)
	}
	return &alarm{file: os.NewFile(uintptr(fd), "timerfd")}, nil
}

// wait blocks for the duration, which is positive, or until interrupt.
func (a *alarm) wait(duration time.Duration) {
	if a.file == nil {
		a.late.wait(duration)
		return
	}
	raw, err := a.file.SyscallConn()
	if err != nil {
		return
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(duration.Nanoseconds())}
	if err := raw.Control(func(fd uintptr) { _ = unix.TimerfdSettime(int(fd), 0, &spec, nil) }); err != nil {
		return
	}
	_, _ = a.file.Read(a.buffer[:]) // ends early only by interrupt or close
}

// interrupt ends this wait and all later ones. It may be called from any goroutine.
func (a *alarm) interrupt() {
	if a.file == nil {
		a.late.interrupt()
		return
	}
	_ = a.file.SetReadDeadline(past)
}

func (a *alarm) close() {
	if a.file != nil {
		_ = a.file.Close()
	}
}
