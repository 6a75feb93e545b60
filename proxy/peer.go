package proxy

import (
	"net/netip"
)

// peer is where a client comes from: a TCP address, or a Unix socket.
type peer struct {
	addr netip.AddrPort
	unix bool
}

// peerAt is the client at an address, which isn't valid for a Unix socket.
func peerAt(addr netip.AddrPort) peer { return peer{addr: addr, unix: !addr.IsValid()} }

// String is the address as logs and the console show it.
func (p peer) String() string {
	if p.unix {
		return "unix"
	}
	return p.addr.String()
}
