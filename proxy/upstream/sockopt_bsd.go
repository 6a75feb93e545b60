//go:build freebsd || netbsd || dragonfly

package upstream

import "golang.org/x/sys/unix"

// The options of a TCP socket under the BSDs' names; 0 means there is none.
const (
	optKeepIdle     = unix.TCP_KEEPIDLE
	optKeepInterval = unix.TCP_KEEPINTVL
	optKeepCount    = unix.TCP_KEEPCNT
	optUserTimeout  = 0
)
