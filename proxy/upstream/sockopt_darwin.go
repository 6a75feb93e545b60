package upstream

import "golang.org/x/sys/unix"

// The options of a TCP socket under macOS's names; 0 means there is none.
const (
	optKeepIdle     = unix.TCP_KEEPALIVE
	optKeepInterval = unix.TCP_KEEPINTVL
	optKeepCount    = unix.TCP_KEEPCNT
	optUserTimeout  = 0
)
