package upstream

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Apply sets the options on a TCP socket.
func (s *Socket) Apply(fd int) error {
	set := func(name string, level, option, value int) error {
		if err := unix.SetsockoptInt(fd, level, option, value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
		return nil
	}
	if s.Buffer > 0 {
		if err := set("SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, s.Buffer); err != nil {
			return err
		}
		if err := set("SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, s.Buffer); err != nil {
			return err
		}
	}
	if s.UserTimeout > 0 && optUserTimeout != 0 {
		if err := set("TCP_USER_TIMEOUT", unix.IPPROTO_TCP, optUserTimeout, int(s.UserTimeout/time.Millisecond)); err != nil {
			return err
		}
	}
	if !s.KeepAlive {
		return nil
	}
	if err := set("SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1); err != nil {
		return err
	}
	for _, o := range [...]struct {
		name          string
		option, value int
	}{
		{"TCP_KEEPIDLE", optKeepIdle, int(s.KeepAliveIdle / time.Second)},
		{"TCP_KEEPINTVL", optKeepInterval, int(s.KeepAliveInterval / time.Second)},
		{"TCP_KEEPCNT", optKeepCount, s.KeepAliveCount},
	} {
		if o.value > 0 && o.option != 0 {
			if err := set(o.name, unix.IPPROTO_TCP, o.option, o.value); err != nil {
				return err
			}
		}
	}
	return nil
}
