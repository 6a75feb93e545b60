//go:build darwin || freebsd || netbsd || dragonfly

package reactor

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const kqueueBatch = 128

// kqueue keeps its own table from descriptors to ids: the type of an event's
// user data differs from system to system, and a laptop can afford a map.
type kqueue struct {
	fd    int
	wakeR int
	wakeW int
	ids   map[int]uint64
	want  map[int]interest
	batch [kqueueBatch]unix.Kevent_t
}

func newPoller(name string) (poller, error) {
	switch name {
	case "", "auto", "kqueue":
	default:
		return nil, fmt.Errorf("poller %q isn't available on this system: use kqueue or auto", name)
	}
	fd, err := unix.Kqueue()
	if err != nil {
		return nil, fmt.Errorf("kqueue: %w", err)
	}
	unix.CloseOnExec(fd)
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("pipe: %w", err)
	}
	p := &kqueue{fd: fd, wakeR: pipe[0], wakeW: pipe[1], ids: map[int]uint64{}, want: map[int]interest{}}
	for _, end := range pipe {
		unix.CloseOnExec(end)
		_ = unix.SetNonblock(end, true)
	}
	if err := p.change(p.wakeR, unix.EVFILT_READ, unix.EV_ADD); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *kqueue) name() string { return "kqueue" }

func (p *kqueue) change(fd, filter, flags int) error {
	var e [1]unix.Kevent_t
	unix.SetKevent(&e[0], fd, filter, flags)
	if _, err := unix.Kevent(p.fd, e[:], nil, nil); err != nil {
		return fmt.Errorf("kevent: %w", err)
	}
	return nil
}

func (p *kqueue) add(fd int, id uint64, want interest) error {
	p.ids[fd], p.want[fd] = id, 0
	return p.modify(fd, id, want)
}

// modify brings the filters to what is wanted. A read filter that is off
// reports nothing, so that a hang-up is seen only when reading goes on.
func (p *kqueue) modify(fd int, _ uint64, want interest) error {
	have := p.want[fd]
	for _, f := range []struct {
		bit    interest
		filter int
	}{{wantRead, unix.EVFILT_READ}, {wantWrite, unix.EVFILT_WRITE}} {
		if (have^want)&f.bit == 0 {
			continue
		}
		flags := unix.EV_ADD
		if want&f.bit == 0 {
			flags = unix.EV_DELETE
		}
		if err := p.change(fd, f.filter, flags); err != nil {
			return err
		}
	}
	p.want[fd] = want
	return nil
}

// forget leaves the filters to the kernel, which drops what is closed.
func (p *kqueue) forget(fd int) {
	delete(p.ids, fd)
	delete(p.want, fd)
}

func (p *kqueue) remove(fd int) error {
	err := p.modify(fd, 0, 0)
	delete(p.ids, fd)
	delete(p.want, fd)
	return err
}

func (p *kqueue) wait(l *Loop, timeout time.Duration) error {
	if timeout != 0 && !l.doze() {
		timeout = 0
	}
	var ts *unix.Timespec
	if timeout >= 0 {
		t := unix.NsecToTimespec(timeout.Nanoseconds())
		ts = &t
	}
	n, err := unix.Kevent(p.fd, nil, p.batch[:], ts)
	l.woke()
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("kevent: %w", err)
	}
	for i := range max(n, 0) {
		e := &p.batch[i]
		fd := int(e.Ident)
		if fd == p.wakeR {
			var b [64]byte
			_, _ = unix.Read(p.wakeR, b[:])
			continue
		}
		id, ok := p.ids[fd]
		if !ok {
			continue
		}
		switch {
		case e.Filter == unix.EVFILT_WRITE:
			l.event(id, eventWrite)
		case e.Flags&unix.EV_EOF != 0:
			l.event(id, eventRead|eventHup)
		default:
			l.event(id, eventRead)
		}
	}
	return nil
}

func (p *kqueue) wake() { _, _ = unix.Write(p.wakeW, []byte{1}) }

func (p *kqueue) close() {
	_ = unix.Close(p.wakeR)
	_ = unix.Close(p.wakeW)
	_ = unix.Close(p.fd)
}
