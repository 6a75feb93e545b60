package upstream

import "golang.org/x/sys/unix"

// The options of a TCP socket under Linux's names; 0 would mean there is none.
const (
	optKeepIdle     = unix.TCP_KEEPIDLE
	optKeepInterval = unix.TCP_KEEPINTVL
	optKeepCount    = unix.TCP_KEEPCNT
	optUserTimeout  = unix.TCP_USER_TIMEOUT
)
