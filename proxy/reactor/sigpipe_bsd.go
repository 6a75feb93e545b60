//go:build darwin || freebsd || netbsd || dragonfly

package reactor

import "golang.org/x/sys/unix"

// hideFromSIGPIPE makes writing to a closed connection an error instead of a
// signal. (The Go runtime ignores the signal for sockets as well; this keeps
// it out of embedding programs.)
func hideFromSIGPIPE(fd int) {
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NOSIGPIPE, 1)
}
