package proxy

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// peer is where a client comes from: a TCP address, or a Unix socket.
type peer struct {
	addr netip.AddrPort
	unix bool
}

func peerOf(sa unix.Sockaddr) peer {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return peer{addr: netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))}
	case *unix.SockaddrInet6:
		return peer{addr: netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))}
	}
	return peer{unix: true}
}

// String is the address as logs and the console show it.
func (p peer) String() string {
	if p.unix {
		return "unix"
	}
	return p.addr.String()
}

// host is the address without the port, and the port.
func (p peer) host() (string, string) {
	if p.unix {
		return "unix", "0"
	}
	return p.addr.Addr().String(), strconv.Itoa(int(p.addr.Port()))
}
