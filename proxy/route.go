package proxy

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy/upstream"
)

// route is the way of one user to one database: its pool of servers and what
// applies to the clients that take it.
//
// A route outlives the configuration it was opened under. Its terms follow
// every reload; a route to a database that is gone keeps its last ones, for
// those who are on it. It is forgotten when no client and no server is left.
type route struct {
	// Immutable.
	proxy    *Proxy
	database string
	pool     *pool.Pool[*server]
	tenant   *tenant // its database, as a party that limits apply to
	serial   uint64  // no two have the same; the first is the lowest

	terms   atomic.Pointer[terms]
	clients atomic.Int64
	traffic []traffic // one for each worker
	// dialFailures count servers that couldn't be opened.
	dialFailures [upstream.Failures]atomic.Int64
	// superseded: its clients are to take another route, since servers are
	// logged in as somebody else now.
	superseded atomic.Bool
	// numbersRead: clients ask for what sequences have given (numbers.go).
	numbersRead atomic.Bool
	chores      chores
	// missing: a server has said that it hasn't this database. found: one had it.
	missing, found atomic.Bool

	// Guarded by the proxy's routesMu.
	account   *tenant       // the user its servers are logged in as
	auto      bool          // made for a name that the fallback was asked for
	orphaned  bool          // the configuration has its database no more
	idleSince time.Duration // 0: not known to be idle

	mu       sync.Mutex
	variants map[pool.Variant]*variant
}

// chores are how many of the route's servers are lent, but not at a client's
// service, and how many cancel requests are on their way to them.
type chores struct {
	tested    atomic.Int32 // are being checked, reset or cleaned
	parked    atomic.Int32 // wait until a cancel request is through
	cancels   atomic.Int32 // connections that deliver cancel requests
	cancelers atomic.Int32 // clients that wait until theirs is delivered
	unsent    atomic.Int32 // those of them whose request isn't sent yet
}

// count is where what happens on a worker is counted.
func (r *route) count(w *worker) *traffic { return &r.traffic[w.ID()] }

// routeKey is what a route is found by: its database, and whom its servers are
// logged in as. All clients of a database with a forced user share one.
type routeKey struct{ database, user string }

// routeTo returns the route for a client that has proven to be user, counted as
// one of its clients, or false if there is no such database. Any goroutine may
// call it.
func (p *Proxy) routeTo(database, user string) (*route, bool) {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	n := p.current.Load()
	d, ok := n.Database(database)
	if !ok {
		return nil, false
	}
	user = cmp.Or(d.User, user)
	key := routeKey{database, user}
	r, ok := p.routes[key]
	if !ok {
		r = p.openRouteLocked(n, d, user)
		p.routes[key] = r
	}
	r.clients.Add(1)
	return r, true
}

func (p *Proxy) openRouteLocked(n *settings, d *config.Database, user string) *route {
	t := p.termsLocked(n, d, user, nil)
	p.opened++
	r := &route{
		proxy:    p,
		database: d.Name,
		serial:   p.opened,
		auto:     d.Auto,
		tenant:   t.pool.database.hold(),
		account:  t.pool.account.hold(),
		traffic:  make([]traffic, len(p.workers)),
		variants: make(map[pool.Variant]*variant),
	}
	r.terms.Store(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pool = p.pools.Open(r.settings(t))
	if p.isPausedLocked(r.database) {
		r.pool.Hold()
	}
	return r
}

// leaveRoute takes back one routeTo. The last client of a route that leads
// nowhere any more ends it.
func (p *Proxy) leaveRoute(r *route) {
	var ended *route
	p.routesMu.Lock()
	if r.clients.Add(-1) == 0 {
		switch {
		case r.orphaned:
			ended = r
		case r.isVainLocked():
			ended = p.inVainLocked(r)
		}
	}
	if ended != nil {
		p.endRouteLocked(ended)
	}
	p.routesMu.Unlock()
	if ended == nil {
		return
	}
	p.hubs.renew(ended)
	p.pools.Remove(ended.pool)
	if ended != r { // there may be many of them
		p.routesMu.Lock()
		p.forgetRoutesLocked()
		p.routesMu.Unlock()
	}
}

const (
	// vainTime is how long a route is kept at least to a database that there
	// isn't, so that who asks for it again and again is answered without a server.
	vainTime = 30 * time.Second
	// mostVain is how many of them are kept.
	mostVain = 100
)

// isVainLocked reports whether the route was made for a name that the fallback
// was asked for, and all that has come of it is that there is no such database.
func (r *route) isVainLocked() bool { return r.auto && r.missing.Load() && !r.found.Load() }

// inVainLocked notes that the last client has left a route in vain. It returns
// the one that has to go for it, nil if there is room: clients may ask for names
// faster than time passes.
func (p *Proxy) inVainLocked(r *route) *route {
	p.vain = append(slices.DeleteFunc(p.vain, func(o *route) bool { return o == r }), r)
	if len(p.vain) <= mostVain {
		return nil
	}
	oldest := p.vain[0]
	p.vain = p.vain[1:]
	if oldest.clients.Load() > 0 || !oldest.isVainLocked() {
		return nil // somebody has come, who will leave again
	}
	return oldest
}

// endRouteLocked makes the route unknown to who comes now. The caller removes
// its pool after unlocking; the route is forgotten when that is empty.
func (p *Proxy) endRouteLocked(r *route) {
	p.vain = slices.DeleteFunc(p.vain, func(o *route) bool { return o == r })
	key := routeKey{r.database, r.terms.Load().user}
	if p.routes[key] == r {
		delete(p.routes, key)
		p.ended = append(p.ended, r)
	}
}

// closeIdleRoutes closes the routes to databases made for a fallback that
// nobody has used for autodb_idle_timeout, or for a short time if there is no
// such database: otherwise clients that ask for many names would make them grow
// without end. It is called from time to time.
func (p *Proxy) closeIdleRoutes() {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	defer p.forgetRoutesLocked()
	now := p.now()
	for _, r := range p.routes {
		limit := p.Config().AutoDBIdleTimeout
		if r.isVainLocked() && (limit <= 0 || limit > vainTime) {
			limit = vainTime
		}
		switch {
		case !r.auto || limit <= 0:
		case r.clients.Load() > 0 || r.pool.Stats().Open > 0 || p.hubs.lives(r):
			r.idleSince = 0
		case r.idleSince == 0:
			r.idleSince = now
		case now-r.idleSince >= limit:
			p.endRouteLocked(r)
			p.hubs.renew(r)
			p.pools.Remove(r.pool) // nothing is open in it
		}
	}
}

// forgetRoutesLocked forgets the routes that have ended with all that was on
// them, and the limits of databases and users that no route leads to. Until
// then what is open counts towards those.
func (p *Proxy) forgetRoutesLocked() {
	p.ended = slices.DeleteFunc(p.ended, func(r *route) bool {
		if r.clients.Load() > 0 || r.pool.Stats().Open > 0 {
			return false
		}
		r.account.routes--
		p.forgetUserLocked(r.account)
		if r.tenant.routes--; r.tenant.routes == 0 && p.databases[r.database] == r.tenant {
			delete(p.databases, r.database)
			p.hubs.forget(p, r.database)
		}
		return true
	})
}
