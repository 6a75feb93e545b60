package proxy

import "golang.org/x/sys/unix"

// deferAcceptSeconds is how long the kernel keeps a connection to itself that
// hasn't sent anything.
const deferAcceptSeconds = 45

func deferAccept(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, deferAcceptSeconds)
}

// acceptedInherit is whether an accepted socket has the options of the
// listening one, which saves system calls for every connection.
const acceptedInherit = true
