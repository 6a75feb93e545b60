package supervise

import (
	"syscall"
	"time"
)

// window is how far apart a sender may reach two processes that it means to
// tell at once. Kernels tell a group in microseconds; a platform's agent that
// goes through the list of processes takes milliseconds.
const window = 200 * time.Millisecond

// doses decides which signals went to us alone. It is pure: the time is a
// parameter, and the witness's word comes in by calls.
type doses struct {
	open []question // by time
	seen map[syscall.Signal]time.Time
}

// question is a signal that we got and of which it isn't known who else did.
type question struct {
	signal syscall.Signal
	at     time.Time
}

// ask notes that we got a signal.
func (d *doses) ask(sig syscall.Signal, now time.Time) {
	if at, ok := d.seen[sig]; ok && now.Sub(at) <= window {
		return
	}
	d.open = append(d.open, question{signal: sig, at: now})
}

// witnessed notes that the witness got a signal: what we got of it until now
// went to everybody.
func (d *doses) witnessed(sig syscall.Signal, now time.Time) {
	if d.seen == nil {
		d.seen = make(map[syscall.Signal]time.Time)
	}
	d.seen[sig] = now
	still := d.open[:0]
	for _, q := range d.open {
		if q.signal != sig {
			still = append(still, q)
		}
	}
	d.open = still
}

// due is when the witness should be asked next; zero if nothing is open.
func (d *doses) due() time.Time {
	if len(d.open) == 0 {
		return time.Time{}
	}
	return d.open[0].at.Add(window)
}

// vouched takes the witness's word that it had been sent nothing more when it
// was asked, and returns the signals that went to us alone.
func (d *doses) vouched(asked time.Time) []syscall.Signal {
	var alone []syscall.Signal
	for len(d.open) > 0 && !d.open[0].at.Add(window).After(asked) {
		alone = append(alone, d.open[0].signal)
		d.open = d.open[1:]
	}
	return alone
}

// giveUp returns all that is open, when the witness can't be asked.
func (d *doses) giveUp() []syscall.Signal {
	var all []syscall.Signal
	for _, q := range d.open {
		all = append(all, q.signal)
	}
	d.open = nil
	return all
}
