package pool

import (
	"math/rand/v2"
	"slices"
	"time"
)

// ledger decides who gets which value, what is dialed and what is closed. It
// is pure: every event brings the time along, and what is to be done about it
// is added to effects. verify states what is always true of it.
type ledger[S comparable] struct {
	rng    *rand.Rand
	latest time.Duration // the time never goes back, whatever callers have cached
	seq    uint64        // the last place given to a ticket

	accounts []*account[S] // in order of opening
	budgets  map[*Quota]*budget[S]
	hosts    map[string]*host[S]
	total    *Quota
	closed   bool

	due     time.Duration // no deadline is earlier than this
	round   uint64        // counts calls of rebalance, to mark accounts tried
	ready   []*account[S] // scratch of tick
	victims []*item[S]    // scratch of hindrance: what would be evicted
}

const never = time.Duration(1<<63 - 1)

// account is a pool as the ledger sees it.
type account[S comparable] struct {
	pool *Pool[S] // nil where the ledger is used without the shell
	set  Settings[S]
	host *host[S]
	// budgets are those of set.Quotas and the total.
	budgets []*budget[S]

	used     int // idle + leased + dialing
	excess   int // the part of used above the limits that a lowered limit found there
	leased   int
	retiring int // leased and retired
	idle     shelf[S]
	items    map[S]*item[S] // idle and leased
	dials    []*dial[S]     // in flight, those called off too

	plain     lane[S] // variant 0
	lanes     map[Variant]*lane[S]
	waiting   queue[S]
	uncovered int // tickets waiting that no dial in flight is expected to serve
	starving  bool

	lastErrAt time.Duration // when counts.LastError was met

	attached int
	paused   bool
	removed  bool
	watched  bool // the shell waits for a state; tell it of changes

	due      time.Duration // no deadline of this account is earlier
	lastDial time.Duration
	topUpAt  time.Duration // MinSize isn't tried before this
	tried    uint64        // the round in which a dial was last found impossible

	counts Stats // the counters only
}

func (l *ledger[S]) setUp(total *Quota, seed uint64) {
	l.rng = rand.New(rand.NewPCG(seed, seed))
	l.budgets = make(map[*Quota]*budget[S])
	l.hosts = make(map[string]*host[S])
	l.total = total
	l.due = never
}

// clock returns now, or the latest time seen if that is later.
func (l *ledger[S]) clock(now time.Duration) time.Duration {
	l.latest = max(l.latest, now)
	return l.latest
}

// checkout lends t an idle value, queues it, or refuses it.
func (l *ledger[S]) checkout(a *account[S], t *Ticket[S], again bool, now time.Duration, fx *effects[S]) (Lease[S], Outcome, error) {
	now = l.clock(now)
	if !again || t.seq == 0 {
		l.seq++
		t.seq, t.since = l.seq, now
	}
	if l.closed {
		a.counts.Refused++
		return Lease[S]{}, Refused, ErrClosed
	}
	if a.removed {
		a.counts.Refused++
		return Lease[S]{}, Refused, ErrRemoved
	}
	// Nobody is overtaken here: while a value lies idle, none waits for its
	// variant.
	if it := a.pick(t); it != nil {
		idle := now - it.idleSince
		l.unshelve(it)
		return l.lend(it, t, now, idle), Granted, nil
	}
	if a.hopeless(now) {
		a.counts.Refused++
		return Lease[S]{}, Refused, a.hopelessErr()
	}
	a.counts.Queued++
	a.enqueue(t)
	l.rebalance(a, now, fx)
	return Lease[S]{}, Queued, nil
}

// withdraw takes t out of the queue if it is in one.
func (l *ledger[S]) withdraw(t *Ticket[S]) bool {
	ln := t.lane
	if ln == nil {
		return false
	}
	ln.acct.counts.Withdrawn++
	l.dequeue(t)
	ln.prune()
	return true
}

// checkin ends the lease of it; the value is fit for another.
func (l *ledger[S]) checkin(it *item[S], now time.Duration, fx *effects[S]) {
	l.endLease(it)
	l.place(it, l.clock(now), fx)
}

// discard ends the lease of it and closes it.
func (l *ledger[S]) discard(it *item[S], reason Reason, now time.Duration, fx *effects[S]) {
	l.endLease(it)
	l.closeItem(it, reason, fx)
	l.rebalance(it.acct, l.clock(now), fx)
}

// lost closes the value s if it is idle.
func (l *ledger[S]) lost(a *account[S], s S, reason Reason, now time.Duration, fx *effects[S]) bool {
	it := a.items[s]
	if it == nil || it.state != itemIdle {
		return false
	}
	l.closeItem(it, reason, fx)
	l.rebalance(a, l.clock(now), fx)
	return true
}

// place finds a use for an item that is in nobody's hand: the oldest waiter of
// its variant, a waiter elsewhere with an older claim, or the shelf.
func (l *ledger[S]) place(it *item[S], now time.Duration, fx *effects[S]) {
	a := it.acct
	if reason := l.unfit(it, now); reason != reasonNone {
		l.closeItem(it, reason, fx)
		l.rebalance(a, now, fx)
		return
	}
	next := it.lane.waiting.head
	if next == nil {
		l.shelve(it, now, fx)
		if a.uncovered > 0 || a.contested() {
			l.rebalance(a, now, fx)
		}
		return
	}
	if claimant := l.claimant(it, next, now); claimant != nil {
		l.shelve(it, now, fx)
		l.dialOldest(claimant, now, fx)
		if it.state != itemIdle {
			l.rebalance(claimant, now, fx)
			l.rebalance(a, now, fx)
			return
		}
		l.unshelve(it)
	}
	l.dequeue(next)
	fx.deliver(next, l.lend(it, next, now, 0), nil)
}

// unfit says why an item mustn't be used again, or reasonNone.
func (l *ledger[S]) unfit(it *item[S], now time.Duration) Reason {
	a := it.acct
	switch {
	case l.closed:
		return ReasonShutdown
	case a.removed:
		return ReasonRemoved
	case a.paused:
		return ReasonPaused
	case it.retired:
		return ReasonRetired
	case it.expiry() <= now:
		return ReasonLifetime
	case a.overLimit():
		return ReasonResized
	}
	return reasonNone
}

// lend makes the item, which is in no list, t's.
func (l *ledger[S]) lend(it *item[S], t *Ticket[S], now, idle time.Duration) Lease[S] {
	a := it.acct
	it.state = itemLeased
	it.term++
	a.leased++
	a.counts.Granted++
	a.counts.WaitTime += max(now-t.since, 0)
	return Lease[S]{Value: it.value, item: it, term: it.term, idle: idle}
}

func (l *ledger[S]) endLease(it *item[S]) {
	it.state = itemLoose
	it.acct.leased--
	if it.retired {
		it.acct.retiring--
	}
}

// closeItem ends an item that is idle or in nobody's hand. The caller
// rebalances afterwards: there is room now.
func (l *ledger[S]) closeItem(it *item[S], reason Reason, fx *effects[S]) {
	a := it.acct
	if it.state == itemIdle {
		l.unshelve(it)
	}
	it.state = itemClosed
	delete(a.items, it.value)
	it.lane.items--
	it.lane.prune()
	a.vacate()
	a.counts.Closed[reason]++
	fx.close(a, it.value, reason)
}

// rebalance starts what dials are possible for a's waiters and, as far as they
// wait for a limit that a shares, for those of other accounts: the oldest
// waiter first.
func (l *ledger[S]) rebalance(a *account[S], now time.Duration, fx *effects[S]) {
	fx.note(a)
	if !l.closed {
		l.despair(a, now, fx)
		l.round++
		for {
			next := l.neediest(a)
			if next == nil {
				break
			}
			if l.dialOldest(next, now, fx) != unhindered {
				next.tried = l.round
			}
		}
		l.topUp(a, now, fx)
	}
	l.release(a)
}

// neediest returns the account with the oldest uncovered waiter among a and
// those that starve for a limit a shares, leaving out those tried this round.
func (l *ledger[S]) neediest(a *account[S]) *account[S] {
	var best *account[S]
	var oldest uint64
	consider := func(c *account[S]) {
		if c.uncovered == 0 || c.tried == l.round {
			return
		}
		if seq := c.oldestUncovered().seq; best == nil || seq < oldest {
			best, oldest = c, seq
		}
	}
	consider(a)
	for _, b := range a.budgets {
		if len(b.starving) > 0 && b.roomy() {
			for _, c := range b.starving {
				consider(c)
			}
		}
	}
	return best
}

// attach counts n more parties interested in the account.
func (l *ledger[S]) attach(a *account[S], n int, now time.Duration, fx *effects[S]) {
	now = l.clock(now)
	a.attached += n
	switch {
	case n > 0 && a.attached == n && a.used < a.minimum():
		l.rebalance(a, now, fx)
	case n < 0 && a.attached == 0 && a.set.MinSize > 0:
		// What MinSize kept past its idle time may go.
		l.arm(a, now, fx)
	}
}

// open adds an account.
func (l *ledger[S]) open(s Settings[S], now time.Duration, fx *effects[S]) *account[S] {
	a := &account[S]{items: make(map[S]*item[S]), due: never}
	a.waiting.by = inAccount
	a.idle.by = inAccount
	a.plain.setUp(a, 0)
	l.accounts = append(l.accounts, a)
	l.adopt(a, s)
	l.rebalance(a, l.clock(now), fx)
	return a
}

// adopt makes s the settings of a, and a a member of the budgets and the host
// they name.
func (l *ledger[S]) adopt(a *account[S], s Settings[S]) {
	old := a.budgets
	a.set = s
	a.budgets = nil
	quotas := slices.Clone(s.Quotas)
	if l.total != nil {
		quotas = append(quotas, l.total)
	}
	for i, q := range quotas {
		if !slices.Contains(quotas[:i], q) {
			a.budgets = append(a.budgets, l.budget(q))
		}
	}
	for _, b := range a.budgets {
		b.join(a)
	}
	for _, b := range old {
		b.leave(a)
		if !slices.Contains(a.budgets, b) {
			l.dropBudget(b)
		}
	}
	was := a.host
	if was != nil && was.name == s.Host {
		return
	}
	a.host = l.hostOf(s.Host)
	a.host.accounts = append(a.host.accounts, a)
	if was != nil {
		l.leaveHost(a, was)
	}
}

// release forgets a removed account once nothing of it is left.
func (l *ledger[S]) release(a *account[S]) {
	if !a.removed || a.used > 0 || a.host == nil {
		return
	}
	for _, b := range a.budgets {
		b.leave(a)
		l.dropBudget(b)
	}
	l.leaveHost(a, a.host)
	a.budgets, a.host = nil, nil
	l.accounts = slices.DeleteFunc(l.accounts, func(o *account[S]) bool { return o == a })
}

// minimum is the number of values kept open without demand.
func (a *account[S]) minimum() int {
	if a.attached <= 0 && !a.set.Warm || a.paused || a.removed {
		return 0
	}
	return a.set.MinSize
}

// empty reports whether the account has no value; dials may be in flight.
func (a *account[S]) empty() bool { return a.leased == 0 && a.idle.n == 0 }
