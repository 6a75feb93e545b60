//go:build !linux

package reactor

import "time"

func threadID() int { return 0 }

// ProcessorTime is how much time of a processor the loop's thread has used. It
// isn't known on this system.
func (l *Loop) ProcessorTime() (time.Duration, bool) { return 0, false }
