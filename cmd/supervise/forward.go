package supervise

import (
	"syscall"
	"time"
)

// arrived decides about a signal that came to this process, or leaves the
// decision to the witness.
func (c *Child) arrived(sig syscall.Signal, now time.Time) {
	if c.witness != nil && (c.hasEnded() || inOurGroup(c.pid)) {
		c.doses.ask(sig, now)
		return
	}
	c.forwardWithCaution(sig, now)
}

// forwardWithCaution forwards a signal of which it can't be known who else got
// it.
func (c *Child) forwardWithCaution(sig syscall.Signal, now time.Time) {
	if c.broadcast {
		if fromTerminal(sig) && !c.hasEnded() && inOurGroup(c.pid) && inForeground() {
			return
		}
		if isStop(sig) {
			if c.stopSent[sig] {
				return
			}
			c.stopSent[sig] = true
		}
	}
	c.deliver(sig, now)
}

// deliver sends a signal that came to us alone to the command, or to what it
// has left behind.
func (c *Child) deliver(sig syscall.Signal, now time.Time) {
	c.log.Debug("forwarding a signal", "signal", sig.String())
	switch {
	case !c.hasEnded():
		c.send(c.pid, sig)
	case isStop(sig):
		c.tellRest(now)
	default:
		c.sendRest(sig)
	}
}

// callWitness starts a witness if one is wanted.
func (c *Child) callWitness() {
	if !c.broadcast || len(c.command.Witness) == 0 {
		return
	}
	w, err := startWitness(c.command.Witness)
	if err != nil {
		c.log.Warn("starting the witness of signals: they are forwarded with more caution", "error", err)
		return
	}
	c.witness = w
}

// reports is where the witness is heard, nil if there is none.
func (c *Child) reports() <-chan byte {
	if c.witness == nil {
		return nil
	}
	return c.witness.reports
}

// testified takes a word of the witness. ok is false if it will say no more.
func (c *Child) testified(word byte, ok bool, now time.Time) {
	w := c.witness
	switch {
	case !ok:
		c.loseWitness("it has closed its pipe")
	case word != answered:
		c.doses.witnessed(syscall.Signal(word), now)
	case !w.ready:
		w.ready = true
	case !w.asked.IsZero():
		asked := w.asked
		w.asked = time.Time{}
		for _, sig := range c.doses.vouched(asked) {
			c.deliver(sig, now)
		}
	}
}

// questionDue is when the witness has to be asked, or given up.
func (c *Child) questionDue() time.Time {
	switch {
	case c.witness == nil:
		return time.Time{}
	case !c.witness.asked.IsZero():
		return c.witness.asked.Add(witnessPatience)
	}
	return c.doses.due()
}

// questionWitness asks the witness if it is time to, and does without it if it
// doesn't answer.
func (c *Child) questionWitness(now time.Time) {
	due := c.questionDue()
	if due.IsZero() || now.Before(due) {
		return
	}
	if !c.witness.asked.IsZero() {
		c.loseWitness("it doesn't answer")
		return
	}
	if err := c.witness.question(now); err != nil {
		c.loseWitness(err.Error())
	}
}

// loseWitness goes on without the witness, and decides what it was asked for.
func (c *Child) loseWitness(reason string) {
	c.log.Warn("the witness of signals is lost: they are forwarded with more caution", "reason", reason)
	c.dismissWitness()
	now := time.Now()
	for _, sig := range c.doses.giveUp() {
		c.forwardWithCaution(sig, now)
	}
}

// dismissWitness ends the witness if there is one.
func (c *Child) dismissWitness() {
	if c.witness != nil {
		c.witness.dismiss()
		c.witness = nil
	}
}
