package pool

import (
	"fmt"
	"slices"
)

// verify returns an error if something isn't as it must be between any two
// events. Tests call it after each.
func (l *ledger[S]) verify() error {
	starving := make(map[*budget[S]]int)
	for _, a := range l.accounts {
		for _, check := range []func(*account[S]) error{
			l.verifyCounts, l.verifyLimits, l.verifyLists, l.verifyState, l.verifyProgress,
		} {
			if err := check(a); err != nil {
				return fmt.Errorf("account %s: %w", a.set.Name, err)
			}
		}
		if a.due < l.due {
			return fmt.Errorf("account %s is due at %v, the ledger at %v", a.set.Name, a.due, l.due)
		}
		if a.starving {
			for _, b := range a.budgets {
				starving[b]++
			}
		}
	}
	for q, b := range l.budgets {
		if err := b.verify(); err != nil {
			return fmt.Errorf("budget %s: %w", q.name, err)
		}
		if len(b.starving) != starving[b] {
			return fmt.Errorf("budget %s lists %d starving accounts of %d", q.name, len(b.starving), starving[b])
		}
	}
	return l.verifyHosts()
}

// verifyCounts: idle + leased + dialing is what is counted as open.
func (l *ledger[S]) verifyCounts(a *account[S]) error {
	leased, idle, retiring := 0, 0, 0
	for s, it := range a.items {
		switch {
		case it.value != s || it.acct != a || it.lane != a.lane(it.lane.variant):
			return fmt.Errorf("item %v is misfiled", s)
		case it.state == itemLeased:
			leased++
		case it.state == itemIdle:
			idle++
		default:
			return fmt.Errorf("item %v is in state %d", s, it.state)
		}
		if it.retired {
			retiring++
		}
	}
	if leased != a.leased || idle != a.idle.n || retiring != a.retiring {
		return fmt.Errorf("leased, idle, retiring are %d, %d, %d, counted %d, %d, %d", leased, idle, retiring, a.leased, a.idle.n, a.retiring)
	}
	if a.used != leased+idle+len(a.dials) {
		return fmt.Errorf("%d leased + %d idle + %d dialing counted as %d", leased, idle, len(a.dials), a.used)
	}
	c := &a.counts
	if done := c.Withdrawn + c.Failed; done > c.Queued || c.Queued-done < uint64(a.waiting.n) {
		return fmt.Errorf("queued %d, withdrawn %d, failed %d, waiting %d", c.Queued, c.Withdrawn, c.Failed, a.waiting.n)
	}
	return nil
}

// verifyLimits: no limit is passed, except by what a lowered one found there.
func (l *ledger[S]) verifyLimits(a *account[S]) error {
	if hard := a.hardLimit(); a.used > hard && a.used > hard+a.excess {
		return fmt.Errorf("%d used of %d, excess %d", a.used, hard, a.excess)
	}
	if a.excess > 0 && a.idle.n > 0 {
		return fmt.Errorf("%d idle while %d too many are open", a.idle.n, a.excess)
	}
	return nil
}

func (b *budget[S]) verify() error {
	used, idle := 0, 0
	for _, a := range b.accounts {
		used += a.used
		idle += a.idle.n
		if !slices.Contains(a.budgets, b) {
			return fmt.Errorf("account %s doesn't know of it", a.set.Name)
		}
	}
	switch {
	case used != b.used || idle != b.idle:
		return fmt.Errorf("used, idle are %d, %d, counted %d, %d", used, idle, b.used, b.idle)
	case b.quota.limit > 0 && used > b.quota.limit+b.excess:
		return fmt.Errorf("%d used of %d, excess %d", used, b.quota.limit, b.excess)
	case b.excess > 0 && idle > 0:
		return fmt.Errorf("%d idle while %d too many are open", idle, b.excess)
	case len(b.accounts) == 0:
		return fmt.Errorf("nobody is under it")
	}
	return nil
}

// verifyLists: the lists are in order and agree with each other.
func (l *ledger[S]) verifyLists(a *account[S]) error {
	waiting, idle, items, live, uncovered := 0, 0, 0, 0, 0
	lanes := []*lane[S]{&a.plain}
	for v, ln := range a.lanes {
		if v != ln.variant || ln.items == 0 && ln.waiting.n == 0 && ln.dialing == 0 {
			return fmt.Errorf("lane %d is misfiled or empty", ln.variant)
		}
		lanes = append(lanes, ln)
	}
	for _, ln := range lanes {
		if err := ln.verify(); err != nil {
			return fmt.Errorf("lane %d: %w", ln.variant, err)
		}
		waiting += ln.waiting.n
		idle += ln.idle.n
		items += ln.items
		live += ln.dialing
		uncovered += ln.waiting.n - ln.covered
	}
	for _, d := range a.dials {
		if d.offFor != reasonNone {
			live++
		}
	}
	if waiting != a.waiting.n || idle != a.idle.n || items != len(a.items) || live != len(a.dials) || uncovered != a.uncovered {
		return fmt.Errorf("lanes have %d waiting, %d idle, %d items, %d dials, %d uncovered", waiting, idle, items, live, uncovered)
	}
	n := 0
	for t := a.waiting.head; t != nil; t = t.link[inAccount].next {
		if next := t.link[inAccount].next; next != nil && next.seq <= t.seq {
			return fmt.Errorf("ticket %d waits before %d", t.seq, next.seq)
		}
		n++
	}
	if n != a.waiting.n {
		return fmt.Errorf("%d waiting, counted %d", n, a.waiting.n)
	}
	n = 0
	for it := a.idle.newest; it != nil; it = it.link[inAccount].older {
		if older := it.link[inAccount].older; older != nil && older.idleSince > it.idleSince {
			return fmt.Errorf("item %v lies before a newer one", it.value)
		}
		n++
	}
	if n != a.idle.n {
		return fmt.Errorf("%d idle, counted %d", n, a.idle.n)
	}
	return nil
}

// verify: the oldest waiters are covered, as many as dials are in flight; and
// nobody waits for what lies idle.
func (ln *lane[S]) verify() error {
	n, covered := 0, 0
	var edge *Ticket[S]
	for t := ln.waiting.head; t != nil; t = t.link[inLane].next {
		switch {
		case t.lane != ln:
			return fmt.Errorf("ticket %d is misfiled", t.seq)
		case t.covered && edge != nil:
			return fmt.Errorf("ticket %d is covered, an older one isn't", t.seq)
		case t.covered:
			covered++
		case edge == nil:
			edge = t
		}
		n++
	}
	switch {
	case n != ln.waiting.n || covered != ln.covered || edge != ln.edge:
		return fmt.Errorf("%d waiting, %d covered, counted %d, %d, or the edge is wrong", n, covered, ln.waiting.n, ln.covered)
	case covered != min(n, ln.dialing):
		return fmt.Errorf("%d of %d waiting are covered by %d dials", covered, n, ln.dialing)
	case n > 0 && ln.idle.n > 0:
		return fmt.Errorf("%d wait while %d lie idle", n, ln.idle.n)
	}
	return nil
}

// verifyState: what is paused, removed or shut down has nothing idle and, save
// for the paused, nobody waiting.
func (l *ledger[S]) verifyState(a *account[S]) error {
	if !l.closed && !a.removed && !a.paused {
		return nil
	}
	for _, d := range a.dials {
		if d.offFor == reasonNone {
			return fmt.Errorf("it goes on dialing though stopped")
		}
	}
	switch {
	case a.idle.n > 0 || a.starving:
		return fmt.Errorf("%d idle, starving %t, though stopped", a.idle.n, a.starving)
	case a.waiting.n > 0 && (l.closed || a.removed):
		return fmt.Errorf("%d wait for what won't come", a.waiting.n)
	case a.removed && a.used == 0:
		return fmt.Errorf("it is removed and empty, but not forgotten")
	}
	return nil
}

// verifyProgress: nobody waits for a dial that could be started, unless a tick
// is due that does it; and who is held up by a shared limit is known to starve.
func (l *ledger[S]) verifyProgress(a *account[S]) error {
	t := a.oldestUncovered()
	if t == nil {
		if a.starving {
			return fmt.Errorf("starving without anybody waiting")
		}
		return nil
	}
	h := l.hindered(a, t, l.latest)
	switch {
	case h == unhindered && a.due > l.latest:
		return fmt.Errorf("ticket %d waits for a dial that nothing hinders", t.seq)
	case h == byBudget && !a.starving && a.due > l.latest:
		return fmt.Errorf("ticket %d waits for a shared limit that doesn't know", t.seq)
	case h == byBackoff && a.host.dialing == 0 && a.due > a.host.nextTry:
		return fmt.Errorf("ticket %d waits for a back-off that nobody minds", t.seq)
	}
	return nil
}

// verifyHosts: each dial in flight is counted by its host.
func (l *ledger[S]) verifyHosts() error {
	for name, h := range l.hosts {
		for _, a := range h.accounts {
			if a.host != h {
				return fmt.Errorf("host %s lists account %s", name, a.set.Name)
			}
		}
		if h.dialing < 0 || h.failures == 0 != (h.err == nil) {
			return fmt.Errorf("host %s has %d dials, %d failures, error %w", name, h.dialing, h.failures, h.err)
		}
	}
	return nil
}
