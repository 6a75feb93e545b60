//go:build !linux

package procfs

import "time"

// processClock is of Linux alone.
func processClock(int) (time.Duration, bool) { return 0, false }
