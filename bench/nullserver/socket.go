package nullserver

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a TCP connection whose reads and writes block in the kernel, without the detour over Go's poller: that detour
// costs microseconds, and a ruler should be finer than what it measures. One goroutine reads and writes; any may end it.
type socket struct {
	fd int

	mu     sync.Mutex
	closed bool // guarded by mu: fd is nobody's any more
}

// takeSocket makes a socket of a TCP connection, which is closed: the socket is what is left of it.
func takeSocket(conn net.Conn) (*socket, error) {
	defer conn.Close()
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return nil, errors.New("taking a connection's descriptor: it has none")
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("taking a connection's descriptor: %w", err)
	}
	fd := -1
	var dupErr error
	if err := control.Control(func(original uintptr) {
		fd, dupErr = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		dupErr = err
	}
	if dupErr != nil {
		return nil, fmt.Errorf("taking a connection's descriptor: %w", dupErr)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("taking a connection's descriptor: %w", err)
	}
	return &socket{fd: fd}, nil
}

// Read blocks until something has come. It is io.EOF at the end.
func (s *socket) Read(into []byte) (int, error) {
	for {
		n, err := unix.Read(s.fd, into)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write blocks until all is handed to the kernel.
func (s *socket) Write(data []byte) (int, error) {
	written := 0
	for written < len(data) {
		n, err := unix.Write(s.fd, data[written:])
		if err != nil && err != unix.EINTR {
			return written, err
		}
		written += max(n, 0)
	}
	return written, nil
}

// end wakes whoever is in Read or Write, with an end or an error. It doesn't block, and may come at any time.
func (s *socket) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		_ = unix.Shutdown(s.fd, unix.SHUT_RDWR)
	}
}

// Close is for the goroutine that reads and writes, when it won't any more.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return unix.Close(s.fd)
}
