package proxy

import (
	"context"
	"fmt"
	"time"
)

// reportStats logs what was done in each stats_period, in PgBouncer's words,
// while log_stats is on. It is owned by Run and ends with the proxy's context.
func (p *Proxy) reportStats() {
	before, since := p.traffic(), time.Now()
	p.EachStatsPeriod(p.ctx, func() {
		now, at := p.traffic(), time.Now()
		if p.Config().LogStats {
			p.log.Info(statsLine(before, now, at.Sub(since)))
		}
		before, since = now, at
	})
}

// EachStatsPeriod calls f whenever another stats_period is over, and returns
// when ctx has ended. A period that is changed begins when it is put in force;
// while it is 0, f isn't called.
func (p *Proxy) EachStatsPeriod(ctx context.Context, f func()) {
	var period time.Duration
	ticker := time.NewTicker(time.Hour)
	ticker.Stop()
	defer func() { ticker.Stop() }()
	for {
		n := p.current.Load()
		if period != n.StatsPeriod {
			ticker.Stop()
			if period = n.StatsPeriod; period > 0 {
				ticker.Reset(period)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-n.replaced:
		case <-ticker.C:
			f()
		}
	}
}

// traffic is what all pools have done, those apart that are gone.
func (p *Proxy) traffic() (sum Traffic) {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	for _, r := range p.routes {
		for w := range r.traffic {
			sum.add(&r.traffic[w])
		}
	}
	return sum
}

// statsLine says what was done between two looks, per second, and how long it
// took on average.
func statsLine(before, now Traffic, elapsed time.Duration) string {
	// With a pool that is gone, what it has done is gone from the sum.
	done := func(before, now int64) int64 { return max(now-before, 0) }
	rate := func(before, now int64) int64 {
		if elapsed <= 0 {
			return 0
		}
		return int64(float64(done(before, now)) / elapsed.Seconds())
	}
	micros := func(before, now, countBefore, countNow int64) int64 {
		n := done(countBefore, countNow)
		if n == 0 {
			return 0
		}
		return done(before, now) / n / int64(time.Microsecond)
	}
	return fmt.Sprintf("stats: %d xacts/s, %d queries/s, %d client parses/s, %d server parses/s, %d binds/s, %d client logins/s, "+
		"in %d B/s, out %d B/s, xact %d us, query %d us, wait %d us",
		rate(before.Transactions, now.Transactions), rate(before.Queries, now.Queries),
		rate(before.ClientParses, now.ClientParses), rate(before.ServerParses, now.ServerParses),
		rate(before.Binds, now.Binds), rate(before.Logins, now.Logins),
		rate(before.Received, now.Received), rate(before.Sent, now.Sent),
		micros(before.TransactionTime, now.TransactionTime, before.Transactions, now.Transactions),
		micros(before.QueryTime, now.QueryTime, before.Queries, now.Queries),
		micros(before.WaitTime, now.WaitTime, before.Assignments, now.Assignments))
}
