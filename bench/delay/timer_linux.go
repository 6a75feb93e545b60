package delay

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timer sleeps as precisely as the kernel can. Go's own timers wait in the poller, which Linux counts in whole milliseconds: as
// much as the delays that are wanted here.
type timer struct{ file *os.File }

func newTimer() (*timer, error) {
	descriptor, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a timer: %w", err)
	}
	return &timer{os.NewFile(uintptr(descriptor), "timerfd")}, nil
}

// sleep blocks for the time, which is above 0. Should the kernel refuse its timer, Go's own does it.
func (t *timer) sleep(d time.Duration) {
	setting := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
	connection, err := t.file.SyscallConn()
	if err == nil {
		var refused error
		if err = connection.Control(func(descriptor uintptr) { refused = unix.TimerfdSettime(int(descriptor), 0, &setting, nil) }); err == nil {
			err = refused
		}
	}
	if err == nil {
		var expirations [8]byte
		_, err = t.file.Read(expirations[:])
	}
	if err != nil {
		time.Sleep(d)
	}
}

func (t *timer) close() error { return t.file.Close() }
