package proxy

import (
	"errors"
	"fmt"

	"carpool/config"

	"golang.org/x/sys/unix"
)

// inheritSockets takes over listening sockets that somebody else has opened. On
// an error all of them are closed.
func inheritSockets(fds []int, c *config.Config) ([]socket, error) {
	var list []socket
	for _, fd := range fds {
		s, err := inherit(fd, c)
		if err != nil {
			closeAll(fds)
			return nil, fmt.Errorf("descriptor %d, handed over to be listened on: %w", fd, err)
		}
		list = append(list, s)
	}
	return list, nil
}

func inherit(fd int, c *config.Config) (socket, error) {
	s := socket{fd: fd, inherited: true}
	if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
		return s, errors.New("it is no stream socket")
	}
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && listens == 0 {
		return s, errors.New("it doesn't listen (a .socket unit with Accept=yes hands over connections, which can't be pooled)")
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return s, fmt.Errorf("its address: %w", err)
	}
	if a, ok := bound.(*unix.SockaddrUnix); ok {
		s.addr = "unix:" + a.Name
	} else if address := localAddress(fd); address.IsValid() {
		s.addr, s.tcp = address.String(), true
	} else {
		return s, errors.New("it is neither TCP nor a Unix socket")
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return s, fmt.Errorf("making it non-blocking: %w", err)
	}
	if s.tcp {
		_ = retune(fd, c) // of Multipath TCP not all options can be set; who opened it has had a say
	}
	return s, nil
}

// closeAll closes descriptors that aren't of use.
func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
