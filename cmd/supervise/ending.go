package supervise

import (
	"os"
	"syscall"
	"time"
)

const (
	// killAgain is how often what should be dead is looked for and killed: it
	// may have been starting others at that moment.
	killAgain = 50 * time.Millisecond
	// killPatience is how long that is tried. What a signal can't kill hangs in
	// the kernel.
	killPatience = 5 * time.Second
)

// ending is when which process is told to end. The times are zero until they
// are known.
type ending struct {
	stopping bool      // Stop was called
	tellAt   time.Time // the rest is told TERM
	told     bool
	killAt   time.Time // all are killed
}

// finished does what is due, and reports whether nothing is left to do.
func (c *Child) finished(now time.Time) bool {
	if c.hasEnded() {
		if c.none || c.restHasEnded() {
			return true
		}
		switch {
		case c.ending.stopping:
			c.tellRest(now)
		case c.ending.tellAt.IsZero():
			c.ending.tellAt = now.Add(c.command.Patience)
		}
		if !c.ending.told && !now.Before(c.ending.tellAt) {
			if c.command.Abandon {
				return true
			}
			c.tellRest(now)
		}
	}
	if c.ending.killAt.IsZero() || now.Before(c.ending.killAt) {
		return false
	}
	if c.hasEnded() && now.After(c.ending.killAt.Add(killPatience)) {
		c.log.Error("processes that the command has left behind are still there after they were killed")
		return true
	}
	c.killAll()
	return false
}

// endingDue is when finished has something to do again, zero if nothing by
// itself.
func (c *Child) endingDue(now time.Time) time.Time {
	switch {
	case !c.ending.killAt.IsZero() && !now.Before(c.ending.killAt):
		return now.Add(killAgain)
	case !c.ending.killAt.IsZero():
		return c.ending.killAt
	case !c.ending.told:
		return c.ending.tellAt
	}
	return time.Time{}
}

// stop begins what Stop asks for.
func (c *Child) stop(grace time.Duration, now time.Time) {
	if at := now.Add(grace); c.ending.killAt.IsZero() || at.Before(c.ending.killAt) {
		c.ending.killAt = at
	}
	if !c.ending.stopping && !c.hasEnded() {
		c.send(c.pid, syscall.SIGTERM)
		c.send(c.pid, syscall.SIGCONT) // a stopped process would never know
	}
	c.ending.stopping = true
}

// tellRest tells what the command left behind to end, once.
func (c *Child) tellRest(now time.Time) {
	if c.ending.told {
		return
	}
	c.ending.told = true
	if c.ending.killAt.IsZero() {
		c.ending.killAt = now.Add(c.command.Grace)
	}
	if n := c.sendRest(syscall.SIGTERM); n > 0 {
		c.log.Warn("told processes that the command has left behind to end", "processes", n)
		c.sendRest(syscall.SIGCONT)
	}
}

// sendRest sends a signal to all descendants, and returns how many there are.
func (c *Child) sendRest(sig syscall.Signal) int {
	living, _, err := c.descendants()
	if err != nil {
		c.log.Warn("looking for what the command has left behind", "error", err)
	}
	for _, pid := range living {
		c.send(pid, sig)
	}
	return len(living)
}

// killAll kills the command, if it is there, and its descendants.
func (c *Child) killAll() {
	if !c.hasEnded() {
		c.send(c.pid, syscall.SIGKILL)
	}
	c.sendRest(syscall.SIGKILL)
}

// restHasEnded reports whether none of the command's descendants is left, and
// nothing was being run by Run meanwhile, which might have left some behind.
func (c *Child) restHasEnded() bool {
	running, runs := c.running()
	_, left, err := c.descendants()
	if err != nil {
		// Then the kernel's word that there are no children must do, which it
		// doesn't give as long as the witness is there.
		c.dismissWitness()
		return false
	}
	_, runsNow := c.running()
	return !left && running == 0 && runsNow == runs
}

// running is how many processes Run waits for, and how many it ever started.
func (c *Child) running() (now, ever int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.owned), c.runs
}

// strangers are processes that have nothing to do with the command: children
// that this process had before, the witness, and the groups of what Run runs, of
// which it leaves nothing.
func (c *Child) strangers() strangers {
	s := strangers{processes: make(map[int]bool, len(c.before)+1), groups: make(map[int]bool)}
	for pid := range c.before {
		s.processes[pid] = true
	}
	if c.witness != nil {
		s.processes[c.witness.pid] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid := range c.owned {
		s.groups[pid] = true
	}
	return s
}

// strangers are told by their own number or by that of their group.
type strangers struct {
	processes, groups map[int]bool
}

// descendants are the living processes below this one that the command is to
// blame for. left says whether there are any, or any that have ended and haven't
// been reaped yet: while the list is made, one of those may be handing its own
// children to us, which then aren't in the list.
func (c *Child) descendants() (living []int, left bool, err error) {
	all, err := processes()
	if err != nil {
		return nil, false, err
	}
	living, left = below(os.Getpid(), all, c.strangers())
	return living, left, nil
}
