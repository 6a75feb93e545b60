package proxy

import (
	"testing"

	"golang.org/x/sys/unix"
)

// New clients' sockets get the options of the configuration in force, also
// where that goes back to the system's defaults.
func TestReloadOfSocketOptions(t *testing.T) {
	const keep = "tcp_keepidle = 77\ntcp_keepcnt = 5\ntcp_user_timeout = 5000\n"
	p := startPooler(t, "tcp_keepalive = 1")
	options := func() (list [5]int) {
		for i, o := range [...][2]int{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
			{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
			{unix.IPPROTO_TCP, unix.TCP_NODELAY},
		} {
			value, err := unix.GetsockoptInt(p.sockets[0].fd, o[0], o[1])
			if err != nil {
				t.Fatal(err)
			}
			list[i] = value
		}
		return list
	}
	standard := options()
	p.reload(keep)
	eventually(t, "the new options", func() bool { return options() == [5]int{1, 77, 5, 5000, 1} })
	value(t, p.connect("app", "app"), "select 1")
	p.reload("tcp_keepalive = 1\ntcp_defer_accept = 0")
	eventually(t, "the standard options", func() bool { return options() == standard })
	value(t, p.connect("app", "app"), "select 1")
	p.reload("tcp_keepalive = 0")
	eventually(t, "no keepalive", func() bool { return options()[0] == 0 })
}
