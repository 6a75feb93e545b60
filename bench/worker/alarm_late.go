package worker

import (
	"sync"
	"time"
)

// lateAlarm wakes a client by a timer of Go's runtime.
type lateAlarm struct {
	interrupted chan struct{}
	once        sync.Once
}

func newLateAlarm() *lateAlarm { return &lateAlarm{interrupted: make(chan struct{})} }

// wait blocks for the duration or until interrupt.
func (a *lateAlarm) wait(duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.interrupted:
	}
}

func (a *lateAlarm) interrupt() { a.once.Do(func() { close(a.interrupted) }) }
