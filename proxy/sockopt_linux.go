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

// turnAway has a listening socket overlook whoever begins to connect, who tries
// again a second later. Connections that have begun are established, now with
// the first byte at hand or without.
func turnAway(fd int) error {
	// Of the TCP header, a filter of a listening socket sees the flags in the
	// 14th byte. A SYN without ACK is dropped, everything else is let through.
	const flags, synAck, syn, all = 13, 0x12, 0x02, 1<<32 - 1
	program := [...]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: synAck},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: syn},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: all},
	}
	fprog := &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, fprog); err != nil {
		return fmt.Errorf("filtering a socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 0) // it may never have been set
	return nil
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
