package proxy

import (
	"cmp"
	"slices"
	"time"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy/upstream"
)

// PoolView is what can be seen of one pool, for the console and the metrics.
type PoolView struct {
	Database string
	User     string
	// Mode is the pool mode of new clients: session, transaction or statement.
	Mode string
	// Clients is the number of clients that are logged in, waiting or not.
	Clients int64
	Pool    pool.Stats
	// Tested are the servers, of those lent, that are being checked, reset or
	// cleaned, BeingCanceled those that wait until a cancel request is through.
	Tested, BeingCanceled int
	// Cancels are the connections that deliver cancel requests, Cancelers the
	// clients that wait for that; of those, the requests of CancelersWaiting
	// haven't been sent yet.
	Cancels, Cancelers, CancelersWaiting int
	Traffic                              Traffic
	// DialFailures is how often a server couldn't be opened, by reason.
	DialFailures [upstream.Failures]int64

	route *route
}

// Latency returns how long things took in the pool, until now. Any goroutine
// may call it.
func (v *PoolView) Latency() *Latency {
	l := &Latency{}
	if v.route != nil {
		for i := range v.route.traffic {
			l.add(&v.route.traffic[i])
		}
	}
	return l
}

// Pools returns what can be seen of every pool, those that were opened first
// first. Any goroutine may call it.
func (p *Proxy) Pools() []PoolView {
	p.routesMu.Lock()
	routes := make([]*route, 0, len(p.routes))
	for _, r := range p.routes {
		routes = append(routes, r)
	}
	p.routesMu.Unlock()
	slices.SortFunc(routes, func(a, b *route) int { return cmp.Compare(a.serial, b.serial) })
	list := make([]PoolView, len(routes))
	for i, r := range routes {
		t := r.terms.Load()
		v := PoolView{
			Database: r.database, User: t.user, Mode: t.mode.String(),
			Clients: r.clients.Load(), Pool: r.pool.Stats(),
			Tested: int(r.chores.tested.Load()), BeingCanceled: int(r.chores.parked.Load()),
			Cancels: int(r.chores.cancels.Load()), Cancelers: int(r.chores.cancelers.Load()),
			CancelersWaiting: int(r.chores.unsent.Load()),
			route:            r,
		}
		for i := range v.DialFailures {
			v.DialFailures[i] = r.dialFailures[i].Load()
		}
		for w := range r.traffic {
			v.Traffic.add(&r.traffic[w])
		}
		list[i] = v
	}
	return list
}

// State is what can be seen of the whole process.
type State struct {
	Poller   string
	Loops    int
	Clients  int64 // that are logged in, those of the console apart
	Stopping bool

	Accepted       int64 // connections
	AcceptFailed   int64
	GaveWay        int64            // logins that were ended to make room for others
	Cancels        int64            // requests for a session that was there
	CancelsUnknown int64            // with a key that is nobody's
	CancelsFailed  int64            // not delivered in time
	Errors         map[string]int64 // that clients were told by us, by SQLSTATE; nil: none
	// ServerErrors are those that servers sent in conversations, by SQLSTATE, whether
	// clients were told or not; nil: none.
	ServerErrors map[string]int64
	Lookups      LookupCounts
	Statements   int // in the catalog
	// LoopTimes is how much processor time each event loop has used; nil where
	// the system doesn't say.
	LoopTimes []time.Duration
}

// State returns what can be seen of the whole process. Any goroutine may call it.
func (p *Proxy) State() State {
	st := State{
		Poller: p.workers[0].PollerName(), Loops: len(p.workers),
		Clients: p.clients.Load(), Stopping: p.stopping.Load(),
		Accepted: p.counters.accepted.Load(), AcceptFailed: p.counters.acceptFailed.Load(), GaveWay: p.counters.gaveWay.Load(),
		Cancels: p.counters.cancels.Load(), CancelsUnknown: p.counters.cancelsUnknown.Load(),
		CancelsFailed: p.counters.cancelsFailed.Load(), Errors: p.counters.toClients.counts(),
		ServerErrors: p.counters.fromServers.counts(), Statements: p.translation.catalog.Len(),
		Lookups: p.inquiries.counts(),
	}
	for _, w := range p.workers {
		if used, ok := w.ProcessorTime(); ok {
			st.LoopTimes = append(st.LoopTimes, used)
		}
	}
	return st
}

// Config returns the configuration in force, which must not be changed. A
// Reload puts another in its place; what is read of one belongs together.
func (p *Proxy) Config() *config.Config { return p.current.Load().Config }
