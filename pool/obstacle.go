package pool

import "time"

// Obstacle is what keeps a ticket from getting a value.
type Obstacle uint8

// The obstacles. Of several the one that is met first is named.
const (
	NoObstacle      Obstacle = iota // the ticket doesn't wait, or is about to be served
	ObstacleOpening                 // a value is being dialed for it
	ObstaclePaused                  // the pool is paused
	ObstacleDials                   // as many dials are in flight as MaxDials allows
	ObstacleBackoff                 // dialing failed, and is tried again after a pause
	ObstacleSize                    // the pool's own limit; all values are lent
	ObstacleQuota                   // a limit shared with other pools
)

// Obstacle returns what the ticket, of this pool, waits for, and the quota if it
// is one. Whoever asks has to be the one who checks the ticket out. It takes the
// registry's lock.
func (p *Pool[S]) Obstacle(t *Ticket[S]) (Obstacle, *Quota) {
	now := p.reg.Now()
	p.reg.mu.Lock()
	defer p.reg.mu.Unlock()
	return p.reg.led.obstacle(p.acct, t, now)
}

func (l *ledger[S]) obstacle(a *account[S], t *Ticket[S], now time.Duration) (Obstacle, *Quota) {
	now = max(now, l.latest)
	switch {
	case t.lane == nil:
		return NoObstacle, nil
	case a.paused:
		return ObstaclePaused, nil
	case t.covered:
		return ObstacleOpening, nil
	}
	switch l.hindered(a, t, now) {
	case byDials:
		return ObstacleDials, nil
	case byBackoff:
		return ObstacleBackoff, nil
	case bySize:
		return ObstacleSize, nil
	case byBudget:
		return ObstacleQuota, a.tightest()
	default:
		return NoObstacle, nil
	}
}

// tightest returns a quota that has no room, one without idle values if there is
// any: nobody can make room there but a lessee.
func (a *account[S]) tightest() (q *Quota) {
	for _, b := range a.budgets {
		switch {
		case !b.full():
		case b.idle == 0 || b.excess > 0:
			return b.quota
		case q == nil:
			q = b.quota
		}
	}
	return q
}
