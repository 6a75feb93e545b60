//go:build darwin || freebsd || netbsd || dragonfly

package reactor

import (
	"errors"
	"fmt"

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

// accept returns a connection that is waiting, non-blocking and closed on exec.
func accept(fd int) (int, unix.Sockaddr, error) {
	conn, sa, err := unix.Accept(fd)
	if err != nil {
		return -1, nil, err
	}
	unix.CloseOnExec(conn)
	if err := unix.SetNonblock(conn, true); err != nil {
		_ = unix.Close(conn)
		return -1, nil, fmt.Errorf("making a connection non-blocking: %w", err)
	}
	return conn, sa, nil
}
