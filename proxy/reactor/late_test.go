package reactor

import (
	"testing"
	"time"
)

// stopped is a poller whose process stands still behind a look for events that
// has found nothing. What came meanwhile is found by the next one.
type stopped struct {
	standstill time.Duration
	looks      int
	arrived    func()
}

func (p *stopped) wait(l *Loop, timeout time.Duration) error {
	p.looks++
	switch p.looks {
	case 1:
		l.epoch = l.epoch.Add(-p.standstill)
		l.woke()
	case 2:
		l.woke()
		p.arrived()
	default:
		l.epoch = l.epoch.Add(-max(timeout, 0)) // as if it had slept
		l.woke()
	}
	return nil
}

func (*stopped) add(int, uint64, interest) error    { return nil }
func (*stopped) modify(int, uint64, interest) error { return nil }
func (*stopped) remove(int) error                   { return nil }
func (*stopped) forget(int)                         {}
func (*stopped) wake()                              {}
func (*stopped) name() string                       { return "stopped" }
func (*stopped) close()                             {}

// expiry notes when a timer fires, and ends the loop.
type expiry struct {
	loop *Loop
	at   time.Duration
}

func (e *expiry) Expired(*Timer) {
	e.at = e.loop.Now()
	e.loop.Stop()
}

// A process that stood still isn't held against its peers: what they have sent
// meanwhile is looked at before any time limit is.
func TestStandstillFiresNoTimer(t *testing.T) {
	const limit, standstill = time.Second, 30 * time.Second
	for name, spoke := range map[string]bool{"a peer that has spoken": true, "one that hasn't": false} {
		t.Run(name, func(t *testing.T) {
			p := &stopped{standstill: standstill}
			l := &Loop{epoch: time.Now(), poller: p}
			e := &expiry{loop: l}
			timer := &Timer{Owner: e}
			l.Arm(timer, limit)
			p.arrived = func() {
				if spoke {
					l.Arm(timer, l.Now()+limit)
				}
			}
			if err := l.Run(); err != nil {
				t.Fatal(err)
			}
			if late := e.at - standstill; spoke != (late >= limit) || late < 0 || late > limit+time.Second {
				t.Errorf("the timer fired %s after the standstill", late)
			}
		})
	}
}
