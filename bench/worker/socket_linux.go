package worker

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a connection that sends and receives without telling Go's runtime of each system call. None of them blocks, the
// descriptor being the runtime's own, but in the midst of a send the kernel may run the server that it wakes; the runtime takes
// a call that isn't back within 20 us for one that blocks, and its watchdog, which looks every 20 us as long as it finds such
// calls, and the threads that it wakes took up to a quarter of the clients' processor time: a cost of the harness, which would
// count as one of the connections.
//
// What isn't here is net.Conn's, also deadlines, which end a wait here as there.
type socket struct {
	net.Conn
	raw           syscall.RawConn
	send, receive transfer
}

// unwatched is conn without the runtime's watch over its system calls, or conn itself if there is no system call below it.
func unwatched(conn net.Conn) net.Conn {
	system, ok := conn.(syscall.Conn)
	if !ok {
		return conn
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return conn
	}
	s := &socket{Conn: conn, raw: raw}
	// Method values are made once: each would be an allocation a call.
	s.send.attempt, s.receive.attempt = s.send.sendAll, s.receive.receiveSome
	return s
}

// SyscallConn is the net.Conn's.
func (s *socket) SyscallConn() (syscall.RawConn, error) { return s.raw, nil }

// Read is net.Conn's.
func (s *socket) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := s.receive.run(b, s.raw.Read)
	switch {
	case err != nil:
		return n, s.fault("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write is net.Conn's.
func (s *socket) Write(b []byte) (int, error) {
	n, err := s.send.run(b, s.raw.Write)
	if err != nil {
		return n, s.fault("write", err)
	}
	return n, nil
}

// fault is an error as net gives it.
func (s *socket) fault(operation string, err error) error {
	if of, ok := err.(*net.OpError); ok { // raw-read, raw-write
		err = of.Err
	}
	return &net.OpError{Op: operation, Net: s.LocalAddr().Network(), Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

// transfer is one direction of a socket. One call at a time is under way in it, others wait, as in net.
type transfer struct {
	attempt func(fd uintptr) (done bool) // immutable

	mu    sync.Mutex
	rest  []byte // of the caller's buffer
	moved int
	err   error
}

// run has the call done by wait, which makes attempts whenever the descriptor is ready until one says that it's done.
func (t *transfer) run(b []byte, wait func(func(fd uintptr) bool) error) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest, t.moved, t.err = b, 0, nil
	err := wait(t.attempt)
	t.rest = nil
	if err == nil {
		err = t.err
	}
	return t.moved, err
}

func (t *transfer) sendAll(fd uintptr) bool {
	for len(t.rest) > 0 {
		if !t.move("write", unix.SYS_SENDTO, fd, unix.MSG_NOSIGNAL) {
			return false
		}
		if t.err != nil {
			return true
		}
	}
	return true
}

func (t *transfer) receiveSome(fd uintptr) bool { return t.move("read", unix.SYS_RECVFROM, fd, 0) }

// move does one system call, which errors call name as those of net do, and tells whether it did something; if not, the descriptor wasn't ready.
func (t *transfer) move(name string, call, fd, flags uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(t.rest))), uintptr(len(t.rest)), flags, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case 0:
			t.moved += int(n)
			t.rest = t.rest[n:]
		default:
			t.err = os.NewSyscallError(name, errno)
		}
		return true
	}
}
