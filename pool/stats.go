package pool

import "time"

// Stats are the counts of one pool, all read at one moment. Open = Idle +
// Leased + Dialing. The counters only grow.
type Stats struct {
	Name string

	Idle, Leased, Dialing, Open int
	Stale                       int // of the idle, those that lie there for longer than Settings.StaleAfter
	Retiring                    int // leased values that will be closed because of Retire
	Waiting                     int // tickets queued
	LongestWait                 time.Duration
	Attached                    int
	Paused                      bool

	// Limits as configured; 0 = unlimited for Size.
	Size, MinSize, ReserveSize int

	Granted      uint64        // leases given
	Queued       uint64        // checkouts that had to wait
	Withdrawn    uint64        // of those, taken back
	Failed       uint64        // of those, ended by an error
	Refused      uint64        // checkouts refused at once
	WaitTime     time.Duration // total waited by tickets that were granted a lease
	Dials        uint64        // begun
	DialFailures uint64        // ended with an error, save those called off
	Closed       [reasonCount]uint64
	LastError    error // of the last dial that failed, nil after one that didn't
}

// Evictions returns how many values were closed to make room for a waiter of
// another variant or pool.
func (s *Stats) Evictions() uint64 { return s.Closed[ReasonEvicted] }

// Stats returns the pool's counts.
func (p *Pool[S]) Stats() Stats {
	now := p.reg.Now()
	p.reg.mu.Lock()
	defer p.reg.mu.Unlock()
	return p.acct.stats(now)
}

// Snapshot returns the counts of all pools, in the order of Pools, all read at
// the same moment.
func (r *Registry[S]) Snapshot() []Stats {
	now := r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Stats, 0, len(r.led.accounts))
	for _, a := range r.led.accounts {
		if !a.removed {
			all = append(all, a.stats(now))
		}
	}
	return all
}

func (a *account[S]) stats(now time.Duration) Stats {
	s := a.counts
	s.Name = a.set.Name
	s.Idle, s.Leased, s.Dialing, s.Open = a.idle.n, a.leased, len(a.dials), a.used
	s.Retiring = a.retiring
	if limit := a.set.StaleAfter; limit > 0 {
		for it := a.idle.oldest; it != nil && now-it.idleSince > limit; it = it.link[inAccount].newer {
			s.Stale++
		}
	}
	s.Waiting = a.waiting.n
	if t := a.waiting.head; t != nil {
		s.LongestWait = max(now-t.since, 0)
	}
	s.Attached, s.Paused = a.attached, a.paused
	s.Size, s.MinSize, s.ReserveSize = a.set.Size, a.set.MinSize, a.set.ReserveSize
	return s
}
