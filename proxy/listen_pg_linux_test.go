package proxy

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestSocketOptionsOfClients(t *testing.T) {
	p := startPooler(t, "tcp_keepalive = 1\ntcp_keepidle = 31\ntcp_keepintvl = 7\ntcp_keepcnt = 5\ntcp_user_timeout = 12000")
	p.enter("app", "app")
	want := map[string]int{"keepalive": 1, "idle": 31, "interval": 7, "count": 5, "user timeout": 12000, "no delay": 1}
	options := map[string][2]int{
		"keepalive": {unix.SOL_SOCKET, unix.SO_KEEPALIVE}, "idle": {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
		"interval": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}, "count": {unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
		"user timeout": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}, "no delay": {unix.IPPROTO_TCP, unix.TCP_NODELAY},
	}
	for name, option := range options {
		got := make(chan int, 1)
		for _, w := range p.workers {
			w.Post(taskOf(func() {
				w.each(func(s *session) {
					v, err := unix.GetsockoptInt(s.client.FD(), option[0], option[1])
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					got <- v
				})
			}))
		}
		if v := <-got; v != want[name] {
			t.Errorf("%s is %d, want %d", name, v, want[name])
		}
	}
}
