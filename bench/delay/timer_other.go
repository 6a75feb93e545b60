//go:build !linux

package delay

import "time"

// timer is Go's own, which is precise on these systems.
type timer struct{}

func newTimer() (*timer, error) { return &timer{}, nil }

// sleep blocks for the time, which is above 0.
func (t *timer) sleep(d time.Duration) { time.Sleep(d) }

func (t *timer) close() error { return nil }
