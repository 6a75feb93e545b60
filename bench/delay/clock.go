package delay

import (
	"context"
	"sync/atomic"
	"time"
)

// longestSleep is how long closing a clock may have to wait for its goroutine.
const longestSleep = 50 * time.Millisecond

// backlog is how many alarms may be set before those who set more have to wait.
const backlog = 4096

// clock rings each alarm a fixed time after it was set. Because that time is the same for all, alarms ring in the order in
// which they were set, and one goroutine with one timer serves every connection.
type clock struct {
	quantum time.Duration
	alarms  chan alarm
	done    chan struct{} // closed when the clock's goroutine has ended
	timer   *timer        // of that goroutine
	closing atomic.Bool   // alarms ring at once
}

// alarm is a time and the channel that gets a token then.
type alarm struct {
	due  time.Time
	wake chan struct{}
}

func newClock(quantum time.Duration) (*clock, error) {
	timer, err := newTimer()
	if err != nil {
		return nil, err
	}
	c := &clock{quantum: quantum, alarms: make(chan alarm, backlog), done: make(chan struct{}), timer: timer}
	go c.run()
	return c, nil
}

// ring sets an alarm. It may block for as long as the oldest alarm has to wait.
func (c *clock) ring(wake chan struct{}) {
	c.alarms <- alarm{due: time.Now().Add(c.quantum), wake: wake}
}

// hold blocks for some quanta, or until ctx ends.
func (c *clock) hold(ctx context.Context, quanta int) {
	wake := make(chan struct{}, 1)
	for range quanta {
		c.ring(wake)
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

// run rings alarms until there are no more to come.
func (c *clock) run() {
	defer close(c.done)
	for a := range c.alarms {
		for wait := time.Until(a.due); wait > 0 && !c.closing.Load(); wait = time.Until(a.due) {
			c.timer.sleep(min(wait, longestSleep))
		}
		signal(a.wake)
	}
}

// close ends the clock. Nobody may set an alarm any more.
func (c *clock) close() error {
	c.closing.Store(true)
	close(c.alarms)
	<-c.done
	return c.timer.close()
}
