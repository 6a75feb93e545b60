//go:build linux

package reactor

import (
	"encoding/binary"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epollBatch is how many events one wait takes at most; the rest come with
// the next one.
const epollBatch = 128

// wakeID marks the event of the descriptor that wake writes to.
const wakeID = ^uint64(0)

// autoTriesUring makes io_uring the first choice of "auto", where the kernel
// permits it.
const autoTriesUring = true

type epoll struct {
	fd     int
	wakeFD int
	batch  [epollBatch]unix.EpollEvent
}

func newPoller(name string) (poller, error) {
	switch name {
	case "auto", "":
		if autoTriesUring {
			if p, err := newUring(); err == nil {
				return p, nil
			}
		}
		return newEpoll()
	case "epoll":
		return newEpoll()
	case "io_uring":
		return newUring()
	}
	return nil, fmt.Errorf("poller %q isn't available on this system: use auto, epoll or io_uring", name)
}

func newEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	p := &epoll{fd: fd, wakeFD: wakeFD}
	if err := p.add(wakeFD, wakeID, wantRead); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *epoll) name() string { return "epoll" }

func (p *epoll) add(fd int, id uint64, want interest) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, id, want)
}

func (p *epoll) modify(fd int, id uint64, want interest) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, id, want)
}

// forget does nothing: the kernel drops what is closed.
func (p *epoll) forget(int) {}

func (p *epoll) remove(fd int) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

// control tells the kernel what to look for. While reading is off, the hang-up
// of the peer is looked for edge-triggered: it is a state that stays, and
// would otherwise be reported without end.
func (p *epoll) control(op, fd int, id uint64, want interest) error {
	e := unix.EpollEvent{Events: unix.EPOLLRDHUP}
	if want&wantRead != 0 {
		e.Events |= unix.EPOLLIN
	} else {
		e.Events |= unix.EPOLLET
	}
	if want&wantWrite != 0 {
		e.Events |= unix.EPOLLOUT
	}
	e.Fd = int32(uint32(id))
	e.Pad = int32(uint32(id >> 32))
	if err := unix.EpollCtl(p.fd, op, fd, &e); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// wait looks without blocking first: under load there is something nearly
// always, and the scheduler needn't hear of it.
func (p *epoll) wait(l *Loop, timeout time.Duration) error {
	n, errno := p.poll()
	if n == 0 && errno == 0 && timeout != 0 && l.doze() {
		ms := -1
		if timeout > 0 {
			ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
		}
		var err error
		if n, err = unix.EpollWait(p.fd, p.batch[:], ms); err != nil {
			errno = err.(unix.Errno)
		}
	}
	l.woke()
	if errno != 0 && errno != unix.EINTR {
		return fmt.Errorf("epoll_wait: %w", errno)
	}
	p.dispatch(l, n)
	return nil
}

// dispatch passes the first n events on.
func (p *epoll) dispatch(l *Loop, n int) {
	for i := range max(n, 0) {
		e := &p.batch[i]
		id := uint64(uint32(e.Pad))<<32 | uint64(uint32(e.Fd))
		if id == wakeID {
			p.drainWake()
			continue
		}
		l.event(id, fromEpoll(e.Events))
	}
}

func (p *epoll) poll() (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.batch[0])), epollBatch, 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func fromEpoll(bits uint32) (e events) {
	if bits&unix.EPOLLIN != 0 {
		e |= eventRead
	}
	if bits&unix.EPOLLOUT != 0 {
		e |= eventWrite
	}
	if bits&unix.EPOLLRDHUP != 0 {
		e |= eventHup
	}
	if bits&unix.EPOLLHUP != 0 {
		e |= eventHup | eventShut
	}
	if bits&unix.EPOLLERR != 0 {
		e |= eventError
	}
	return e
}

func (p *epoll) wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(p.wakeFD, one[:]) // full means that it is awake already
}

func (p *epoll) drainWake() {
	var b [8]byte
	_, _ = unix.Read(p.wakeFD, b[:])
}

func (p *epoll) close() {
	_ = unix.Close(p.wakeFD)
	_ = unix.Close(p.fd)
}
