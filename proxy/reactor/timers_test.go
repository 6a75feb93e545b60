package reactor

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bell is an owner of a timer that notes when it rang.
type bell struct {
	timer Timer
	ring  func()
}

func (b *bell) Expired(*Timer) { b.ring() }

func newBell(ring func()) *bell {
	b := &bell{ring: ring}
	b.timer.Owner = b
	return b
}

// idleLoop has a wheel and a clock, and doesn't run.
func idleLoop() *Loop { return &Loop{} }

func (l *Loop) turnTo(now time.Duration) {
	l.now = now
	l.wheel.run(now)
}

func TestTimers(t *testing.T) {
	const horizon = wheelSlots * tick
	tests := []struct {
		name  string
		arm   []time.Duration // deadlines, armed one after the other; -1 disarms, -2 forgets
		turns []time.Duration
		rings []time.Duration
	}{
		{"fires at the tick after", []time.Duration{10}, []time.Duration{0, tick - 1, tick, 2 * tick}, []time.Duration{tick}},
		{"exactly on a tick", []time.Duration{3 * tick}, []time.Duration{2 * tick, 3*tick - 1, 3 * tick}, []time.Duration{3 * tick}},
		{"a deadline of long ago", []time.Duration{-5 * time.Second}, []time.Duration{tick}, []time.Duration{tick}},
		{"moved later", []time.Duration{2 * tick, 9 * tick}, []time.Duration{2 * tick, 8 * tick, 9 * tick}, []time.Duration{9 * tick}},
		{"moved earlier", []time.Duration{9 * tick, 2 * tick}, []time.Duration{tick, 2 * tick, 9 * tick}, []time.Duration{2 * tick}},
		{"disarmed", []time.Duration{2 * tick, -1}, []time.Duration{2 * tick, 9 * tick}, nil},
		{"disarmed and armed again", []time.Duration{2 * tick, -1, 4 * tick}, []time.Duration{2 * tick, 4 * tick}, []time.Duration{4 * tick}},
		{"forgotten", []time.Duration{2 * tick, -2}, []time.Duration{2 * tick}, nil},
		{"beyond the horizon", []time.Duration{3*horizon + tick}, []time.Duration{horizon, 2 * horizon, 3 * horizon, 3*horizon + tick}, []time.Duration{3*horizon + tick}},
		{"a long sleep", []time.Duration{5 * tick}, []time.Duration{10 * horizon}, []time.Duration{10 * horizon}},
		{"a long sleep that isn't long enough", []time.Duration{20 * horizon}, []time.Duration{15*horizon + 3*tick, 20*horizon - 1, 20 * horizon}, []time.Duration{20 * horizon}},
		{"a sleep of exactly one round", []time.Duration{horizon}, []time.Duration{horizon}, []time.Duration{horizon}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := idleLoop()
			var rings []time.Duration
			b := newBell(func() { rings = append(rings, l.now) })
			for _, d := range tt.arm {
				switch d {
				case -1:
					l.Disarm(&b.timer)
				case -2:
					l.Forget(&b.timer)
				default:
					l.Arm(&b.timer, d)
				}
			}
			for _, now := range tt.turns {
				l.turnTo(now)
			}
			if fmt.Sprint(rings) != fmt.Sprint(tt.rings) {
				t.Errorf("rang at %v, want %v", rings, tt.rings)
			}
			if b.timer.Armed() {
				t.Error("still armed")
			}
		})
	}
}

// TestRearmInsideExpired arms a timer again from its own call, first with
// deadlines that are past, during a turn that catches up many ticks. Such a
// deadline is met with the next tick, not within the same turn without end.
func TestRearmInsideExpired(t *testing.T) {
	l := idleLoop()
	rings := 0
	var b *bell
	b = newBell(func() {
		if rings++; rings < 4 {
			l.Arm(&b.timer, l.now) // due already
			return
		}
		l.Arm(&b.timer, l.now+3*tick)
	})
	l.Arm(&b.timer, tick)
	for _, turn := range []struct {
		at   time.Duration
		want int
	}{{100 * tick, 2}, {101 * tick, 3}, {102 * tick, 4}, {104 * tick, 4}, {105 * tick, 5}} {
		if l.turnTo(turn.at); rings != turn.want {
			t.Errorf("at %v it had rung %d times, want %d", turn.at, rings, turn.want)
		}
	}
}

// TestExpiredMayForgetOthers: an owner takes timers of the same tick with it.
func TestExpiredMayForgetOthers(t *testing.T) {
	l := idleLoop()
	var bells [8]*bell
	rings := 0
	for i := range bells {
		bells[i] = newBell(func() {
			rings++
			for _, b := range bells {
				l.Forget(&b.timer)
			}
		})
		l.Arm(&bells[i].timer, 4*tick)
	}
	l.turnTo(4 * tick)
	if rings != 1 {
		t.Errorf("%d rang, want 1", rings)
	}
	if _, ok := l.wheel.next(); ok {
		t.Error("the wheel isn't empty")
	}
}

// TestTimersAgainstModel drives the wheel and a list of deadlines with the
// same random steps. A timer must never fire early, nor be overdue after a
// turn by more than what a tick rounds; and the wheel's next must not promise
// more sleep than there is.
func TestTimersAgainstModel(t *testing.T) {
	rapid.Check(t, driveTimers)
}

// FuzzTimers is the same for the fuzzer.
func FuzzTimers(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07 timers that fire, and timers that are moved"))
	f.Fuzz(rapid.MakeFuzz(driveTimers))
}

func driveTimers(t *rapid.T) {
	l := idleLoop()
	l.now = time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "start"))
	l.wheel.current = int64(l.now / tick)
	model := map[int]time.Duration{}
	bells := make([]*bell, rapid.IntRange(1, 12).Draw(t, "timers"))
	far := rapid.Int64Range(1, int64(3*wheelSlots*tick))
	for i := range bells {
		bells[i] = newBell(func() {
			deadline, armed := model[i]
			if !armed || deadline > l.now {
				t.Fatalf("timer %d fired at %v; armed %v for %v", i, l.now, armed, deadline)
			}
			delete(model, i)
			if rapid.IntRange(0, 3).Draw(t, "again") == 0 {
				model[i] = l.now + time.Duration(far.Draw(t, "again in"))
				l.Arm(&bells[i].timer, model[i])
			}
		})
	}
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		i := rapid.IntRange(0, len(bells)-1).Draw(t, "timer")
		switch rapid.IntRange(0, 5).Draw(t, "step") {
		case 0, 1:
			model[i] = l.now + time.Duration(far.Draw(t, "in"))
			l.Arm(&bells[i].timer, model[i])
		case 2:
			delete(model, i)
			l.Disarm(&bells[i].timer)
		case 3:
			delete(model, i)
			l.Forget(&bells[i].timer)
		case 4: // as the loop does it: sleep until the wheel's next
			if at, ok := l.wheel.next(); ok {
				l.turnTo(max(at, l.now))
			}
		case 5:
			l.turnTo(l.now + time.Duration(far.Draw(t, "sleep")))
		}
		next, ok := l.wheel.next()
		for j, deadline := range model {
			if !bells[j].timer.Armed() {
				t.Fatalf("timer %d isn't armed", j)
			}
			if deadline+tick <= l.now && deadline+tick <= time.Duration(l.wheel.current)*tick {
				t.Fatalf("timer %d is overdue: %v, now %v", j, deadline, l.now)
			}
			if !ok || next >= deadline+2*tick && next >= l.now+2*tick {
				t.Fatalf("next is %v, %v; timer %d is due at %v", next, ok, j, deadline)
			}
		}
	}
}

// TestTimerWakesTheLoop sleeps for real.
func TestTimerWakesTheLoop(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		rang := make(chan time.Duration, 1)
		var deadline time.Duration
		b := newBell(func() { rang <- l.Now() })
		on(t, l, func() {
			deadline = l.Now() + 20*time.Millisecond
			l.Arm(&b.timer, deadline)
		})
		if at := await(t, rang, "the bell"); at < deadline {
			t.Errorf("rang at %v, armed for %v", at, deadline)
		}
	})
}
