//go:build darwin || freebsd || netbsd || dragonfly

package reactor

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

func recv(fd int32, b []byte) (int, unix.Errno) {
	n, err := unix.Read(int(fd), b)
	return max(n, 0), asErrno(err)
}

func send(fd int32, b []byte) (int, unix.Errno) {
	n, err := unix.Write(int(fd), b)
	return max(n, 0), asErrno(err)
}

func asErrno(err error) unix.Errno {
	var errno unix.Errno
	if err == nil {
		return 0
	}
	if errors.As(err, &errno) {
		return errno
	}
	return unix.EIO
}

// accept returns a connection that is waiting, non-blocking and closed on exec,
// and the address of its peer, which isn't valid for a Unix socket.
func accept(fd int) (int, netip.AddrPort, error) {
	conn, sa, err := unix.Accept(fd)
	if err != nil {
		return -1, netip.AddrPort{}, err
	}
	unix.CloseOnExec(conn)
	if err := unix.SetNonblock(conn, true); err != nil {
		_ = unix.Close(conn)
		return -1, netip.AddrPort{}, fmt.Errorf("making a connection non-blocking: %w", err)
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return conn, netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), nil
	case *unix.SockaddrInet6:
		return conn, netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)), nil
	}
	return conn, netip.AddrPort{}, nil
}
