//go:build darwin || freebsd

package proxy

import "golang.org/x/sys/unix"

// peerUID is the system's user at the other end of a Unix socket, as it was when
// he connected.
func peerUID(fd int) (uint32, error) {
	c, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, err
	}
	return c.Uid, nil
}

// solLocal is the level of a Unix socket's own options.
const solLocal = 0
