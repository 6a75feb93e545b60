package reactor

import (
	"math/bits"
	"time"
)

const (
	tick       = 8 * time.Millisecond
	wheelSlots = 1024
)

// Timer is one deadline, embedded in what it belongs to. The zero value is
// disarmed. All methods are called on the loop it is armed on.
//
// Moving a deadline later, which is what nearly every transaction does, costs
// one store: the timer keeps its place in the wheel and is put further when
// its old place comes up.
type Timer struct {
	// Owner is told when the deadline has passed.
	Owner Expirer

	deadline   time.Duration // 0: disarmed
	at         time.Duration // when its slot in the wheel comes up
	next, prev *Timer
	slot       int32
	linked     bool
}

// Expirer is what a Timer calls. The timer is disarmed by then.
type Expirer interface {
	Expired(t *Timer)
}

// Armed reports whether a deadline is set.
func (t *Timer) Armed() bool { return t.deadline != 0 }

// wheel holds timers by the tick they come up at. A timer fires at the first
// tick at or after its deadline, never before it.
type wheel struct {
	slots    [wheelSlots]*Timer
	occupied [wheelSlots / 64]uint64
	current  int64 // the tick up to which the wheel has been run
}

// Arm sets t to fire at the deadline, on the loop's clock.
func (l *Loop) Arm(t *Timer, deadline time.Duration) {
	t.deadline = max(deadline, 1)
	if t.linked {
		if t.at <= t.deadline {
			return
		}
		l.wheel.unlink(t)
	}
	l.wheel.link(t)
}

// Disarm stops t. It costs nothing; the timer leaves the wheel in passing.
func (l *Loop) Disarm(t *Timer) { t.deadline = 0 }

// Forget takes t out of the wheel, before its owner is given up.
func (l *Loop) Forget(t *Timer) {
	t.deadline = 0
	if t.linked {
		l.wheel.unlink(t)
	}
}

func (w *wheel) link(t *Timer) {
	n := int64((t.deadline + tick - 1) / tick)
	n = min(max(n, w.current+1), w.current+wheelSlots-1)
	t.at = time.Duration(n) * tick
	t.slot = int32(n % wheelSlots)
	head := w.slots[t.slot]
	t.next, t.prev = head, nil
	if head != nil {
		head.prev = t
	}
	w.slots[t.slot] = t
	w.occupied[t.slot/64] |= 1 << (t.slot % 64)
	t.linked = true
}

func (w *wheel) unlink(t *Timer) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.slot] = t.next
		if t.next == nil {
			w.occupied[t.slot/64] &^= 1 << (t.slot % 64)
		}
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev, t.linked = nil, nil, false
}

// run fires what is due at now.
func (w *wheel) run(now time.Duration) {
	due := int64(now / tick)
	if due-w.current >= wheelSlots {
		// Asleep for longer than the wheel is round: every slot is looked at
		// once, and what isn't due goes back in.
		w.current = due - wheelSlots
	}
	for w.current < due {
		w.current++
		slot := w.current % wheelSlots
		for w.slots[slot] != nil && w.occupied[slot/64]&(1<<(slot%64)) != 0 {
			t := w.slots[slot]
			w.unlink(t)
			switch {
			case t.deadline == 0:
			case t.deadline > now:
				w.link(t) // never into this slot: link places it after current
			default:
				t.deadline = 0
				t.Owner.Expired(t)
			}
		}
	}
}

// next is the time of the next occupied slot, or ok=false when there is none.
func (w *wheel) next() (at time.Duration, ok bool) {
	start := w.current + 1
	for off := int64(0); off < wheelSlots; {
		slot := (start + off) % wheelSlots
		word := w.occupied[slot/64] >> (slot % 64)
		if word != 0 {
			off += int64(bits.TrailingZeros64(word))
			if off >= wheelSlots {
				break
			}
			return time.Duration(start+off) * tick, true
		}
		off += 64 - slot%64
	}
	return 0, false
}
