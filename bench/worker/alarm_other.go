//go:build !linux

package worker

import "time"

// alarm wakes a client at a time. Here the runtime's own timers are exact.
type alarm struct{ late *lateAlarm }

func newAlarm(bool) (*alarm, error) { return &alarm{late: newLateAlarm()}, nil }

// wait blocks for the duration, which is positive, or until interrupt.
func (a *alarm) wait(duration time.Duration) { a.late.wait(duration) }

// interrupt ends this wait and all later ones. It may be called from any goroutine.
func (a *alarm) interrupt() { a.late.interrupt() }

func (a *alarm) close() {}
