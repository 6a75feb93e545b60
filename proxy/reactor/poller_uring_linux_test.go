package reactor

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

type bufferStatusArg struct {
	group uint32
	head  uint32
	_     [8]uint32
}

const registerBufferStatus = 26

// checkPoller fails the test if the poller of an idle loop has lost a buffer.
func checkPoller(t testing.TB, l *Loop) {
	t.Helper()
	on(t, l, func() {
		u, ok := l.poller.(*uring)
		if !ok {
			return
		}
		arg := bufferStatusArg{group: providedGroup}
		if errno := u.ring.register(registerBufferStatus, unsafe.Pointer(&arg), 1); errno != 0 {
			t.Logf("the kernel doesn't tell the state of the buffers: %v", errno)
			return
		}
		if free := u.buffers.tail - uint16(arg.head); free != providedCount {
			t.Errorf("%d buffers of %d are with the kernel", free, providedCount)
		}
		if len(u.orphans) > 0 {
			t.Errorf("%d receives aren't ended", len(u.orphans))
		}
	})
}

// TestReceivesOfClosedConns: each receive ends, and each buffer goes back,
// when connections are closed with bytes under way.
func TestReceivesOfClosedConns(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		for range 3 * providedCount {
			c, peer := attach(t, l, "unix", newProbe())
			write(t, peer, []byte("under way"))
			on(t, l, c.Close)
		}
		settle(t, l, 3)
		checkPoller(t, l)
	})
}

// TestUringIsRefused where it is unknown what the kernel would say, the error
// still has to.
func TestUringIsRefused(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: 3, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	_, err := NewLoop(7, time.Now(), "io_uring")
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err == nil || !strings.HasPrefix(err.Error(), "making event loop 7: io_uring_setup") {
		t.Errorf("the error is %v", err)
	}
}
