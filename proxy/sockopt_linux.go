package proxy

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// deferAcceptSeconds is how long the kernel keeps a connection to itself that
// hasn't sent anything.
const deferAcceptSeconds = 45

func deferAccept(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, deferAcceptSeconds)
}

// resetOptions gives a socket the system's defaults of all options that a
// reload may change, as a fresh socket has them.
func resetOptions(fd int) error {
	fresh, err := newSocket(unix.AF_INET)
	if err != nil {
		return err
	}
	defer unix.Close(fresh) //nolint:errcheck // nothing was sent on it
	for _, o := range [...]struct{ level, option int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
		{unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT},
	} {
		value, err := unix.GetsockoptInt(fresh, o.level, o.option)
		if err == nil {
			err = unix.SetsockoptInt(fd, o.level, o.option, value)
		}
		if err != nil {
			return fmt.Errorf("resetting option %d of a socket: %w", o.option, err)
		}
	}
	return nil
}

// acceptedInherit is whether an accepted socket has the options of the
// listening one, which saves system calls for every connection.
const acceptedInherit = true
