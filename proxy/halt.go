package proxy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"carpool/pool"
)

// Operators halt databases, all of them or one:
//
//	paused    nobody is lent a server; what is lent is closed when it comes back
//	disabled  new clients are turned away
//
// Who gives an order logs it: here nobody knows who that is.
//
// A pool is paused if its database is, or all are. What holds while orders are
// carried out: they come one at a time, under haltMu, and are noted in halts
// before pools hear of them; a pool that is opened meanwhile looks there.

// Errors of the methods by which operators give orders.
var (
	ErrNoDatabase    = errors.New("no such database")
	ErrAlreadyPaused = errors.New("already suspended/paused")
	ErrNotPaused     = errors.New("is not paused")
	ErrStopping      = errors.New("pooler is shutting down")
	ErrNoClient      = errors.New("client not found")
)

// halts are the orders in force.
type halts struct {
	orders sync.Mutex // held while an order is carried out, waits apart

	// Guarded by the proxy's routesMu.
	all       bool             // all databases are paused
	databases map[string]*halt // without those that are neither
	resumed   chan struct{}    // closed and replaced when something is resumed

	// disabling is whether any database is disabled, so that logins needn't
	// look.
	disabling atomic.Bool
}

type halt struct{ paused, disabled bool }

// changeLocked has f change what is noted of a database. The caller holds
// routesMu.
func (h *halts) changeLocked(database string, f func(*halt)) {
	if h.databases == nil {
		h.databases = make(map[string]*halt)
	}
	one := h.databases[database]
	if one == nil {
		one = &halt{}
		h.databases[database] = one
	}
	if f(one); *one == (halt{}) {
		delete(h.databases, database)
	}
	disabling := false
	for _, one := range h.databases {
		disabling = disabling || one.disabled
	}
	h.disabling.Store(disabling)
}

// Halted reports whether a database itself is paused or disabled, and for ""
// whether all are paused. Any goroutine may call it.
func (p *Proxy) Halted(database string) (paused, disabled bool) {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	if database == "" {
		return p.halts.all, false
	}
	if one := p.halts.databases[database]; one != nil {
		return one.paused, one.disabled
	}
	return false, false
}

// isPausedLocked reports whether the pools of a database are to be paused, for
// whatever reason.
func (p *Proxy) isPausedLocked(database string) bool {
	one := p.halts.databases[database]
	return p.halts.all || one != nil && one.paused
}

// isDisabled reports whether new clients of a database are turned away.
func (p *Proxy) isDisabled(database string) bool {
	if !p.halts.disabling.Load() {
		return false
	}
	_, disabled := p.Halted(database)
	return disabled
}

// halting changes what is noted of a database, or of all ("") if change says so,
// and returns the routes that it is about. Who changes something holds
// halts.orders.
func (p *Proxy) halting(database string, change func() error) ([]*route, error) {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	if database != "" && !p.knowsLocked(database) {
		return nil, ErrNoDatabase
	}
	if change != nil {
		if err := change(); err != nil {
			return nil, err
		}
	}
	var list []*route
	for _, r := range p.routes {
		if database == "" || r.database == database {
			list = append(list, r)
		}
	}
	return list, nil
}

// knowsLocked reports whether there is a database of that name, or could be by
// way of the fallback, or is a route to it yet.
func (p *Proxy) knowsLocked(database string) bool {
	if _, ok := p.current.Load().Database(database); ok || p.halts.databases[database] != nil {
		return true
	}
	return p.hasRouteLocked(database)
}

func (p *Proxy) hasRouteLocked(database string) bool {
	for key := range p.routes {
		if key.database == database {
			return true
		}
	}
	return false
}

// isOpenLocked reports whether there is a database of that name already: in the
// configuration, or because somebody has come to it by way of the fallback, or
// an operator has halted it.
func (p *Proxy) isOpenLocked(database string) bool {
	if d, ok := p.current.Load().Database(database); ok && !d.Auto {
		return true
	}
	return p.halts.databases[database] != nil || p.hasRouteLocked(database)
}

// leavingRoutes are those that have ended with servers left, which close when
// they come back.
func (p *Proxy) leavingRoutes(database string) []*route {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	var list []*route
	for _, r := range p.ended {
		if database == "" || r.database == database {
			list = append(list, r)
		}
	}
	return list
}

// Pause has a database, or all of them (""), lend no servers: what is idle is
// closed at once, what is lent when it is given back, and clients wait. It
// blocks until no server is left, or ctx is done. If the cause of that is
// ErrInterrupted, the pause is taken back; any other end leaves it in force.
// Another pause of the same database waits likewise; where all are paused
// already it is ErrAlreadyPaused. A Resume meanwhile is [pool.ErrResumed].
func (p *Proxy) Pause(ctx context.Context, database string) error {
	if err := p.Hold(database); err != nil {
		return err
	}
	err := p.AwaitHeld(ctx, database)
	if err != nil && errors.Is(context.Cause(ctx), ErrInterrupted) {
		_ = p.Resume(database) // somebody may have done so already
	}
	return err
}

// AwaitHeld is the wait of Pause.
func (p *Proxy) AwaitHeld(ctx context.Context, database string) error {
	routes, err := p.halting(database, nil)
	if err != nil {
		return err
	}
	for _, r := range append(routes, p.leavingRoutes(database)...) {
		if err := r.pool.AwaitEmpty(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Hold is Pause without the wait.
func (p *Proxy) Hold(database string) error {
	if p.stopping.Load() {
		return ErrStopping
	}
	p.halts.orders.Lock()
	defer p.halts.orders.Unlock()
	routes, err := p.halting(database, func() error {
		switch {
		case p.halts.all:
			return ErrAlreadyPaused
		case database == "":
			p.halts.all = true
		default:
			p.halts.changeLocked(database, func(h *halt) { h.paused = true })
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range routes {
		r.pool.Hold()
	}
	p.hubs.reopen(database) // which waits in dial
	return nil
}

// Resume takes back a Pause or a Kill of the same scope. Databases that were
// paused by themselves stay so when all are resumed, and the other way around.
func (p *Proxy) Resume(database string) error {
	if p.stopping.Load() {
		return ErrStopping
	}
	p.halts.orders.Lock()
	defer p.halts.orders.Unlock()
	routes, err := p.halting(database, func() error {
		one := p.halts.databases[database]
		switch {
		case database != "" && !p.isOpenLocked(database):
			return ErrNoDatabase
		case database == "" && !p.halts.all, database != "" && (one == nil || !one.paused):
			return ErrNotPaused
		case database == "":
			p.halts.all = false
		default:
			p.halts.changeLocked(database, func(h *halt) { h.paused = false })
		}
		if p.halts.resumed != nil {
			close(p.halts.resumed)
			p.halts.resumed = nil
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range routes {
		p.routesMu.Lock()
		paused := p.isPausedLocked(r.database)
		p.routesMu.Unlock()
		if !paused {
			r.pool.Resume()
		}
	}
	return nil
}

// Disable has new clients of a database turned away, Enable takes that back.
// Neither says anything about a database of which it is true already.
func (p *Proxy) Disable(database string) error { return p.disable(database, true) }

// Enable takes back Disable.
func (p *Proxy) Enable(database string) error { return p.disable(database, false) }

func (p *Proxy) disable(database string, disabled bool) error {
	p.halts.orders.Lock()
	defer p.halts.orders.Unlock()
	_, err := p.halting(database, func() error {
		if !disabled && !p.isOpenLocked(database) {
			return ErrNoDatabase
		}
		p.halts.changeLocked(database, func(h *halt) { h.disabled = disabled })
		return nil
	})
	return err
}

// Reconnect has the servers of a database, or of all (""), replaced: what is
// idle is closed at once, what is lent when it is given back. It doesn't wait.
func (p *Proxy) Reconnect(database string) error {
	p.halts.orders.Lock()
	defer p.halts.orders.Unlock()
	routes, err := p.halting(database, nil)
	if err != nil {
		return err
	}
	for _, r := range routes {
		r.pool.Retire()
	}
	p.hubs.reopen(database)
	return nil
}

// AwaitClose blocks until the servers of a database, or of all (""), are closed
// that were to be closed when it was called, or ctx is done.
func (p *Proxy) AwaitClose(ctx context.Context, database string) error {
	routes, err := p.halting(database, nil)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if err := r.pool.AwaitRetired(ctx); err != nil {
			return err
		}
	}
	for _, r := range p.leavingRoutes(database) {
		if err := r.pool.AwaitEmpty(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Kill ends the clients and the servers of a database, or of all (""), and
// leaves it paused: new clients wait until it is resumed. It blocks until those
// that were there have been told.
func (p *Proxy) Kill(database string) error {
	if err := p.Hold(database); err != nil {
		return err
	}
	p.walkAll(func(*worker) walk {
		return walk{session: func(s *session) {
			if s.route != nil && (database == "" || s.route.database == database) {
				s.kill()
			}
		}}
	})
	return nil
}

// KillClient ends the client with an ID, as [Socket] has it. It blocks until
// that is done; if there is none, it is ErrNoClient.
func (p *Proxy) KillClient(id uint64) error {
	var found atomic.Bool
	p.walkAll(func(*worker) walk {
		return walk{session: func(s *session) {
			if s.id == id {
				found.Store(true)
				s.kill()
			}
		}}
	})
	if !found.Load() {
		return ErrNoClient
	}
	return nil
}

// kill ends a session because an operator wants it, and the server it holds.
func (s *session) kill() {
	if s.state == stateLogin {
		s.throwOut()
		return
	}
	midMessage := s.server != nil && s.server.body > 0 && !s.server.bodyDrop
	s.drop(pool.ReasonAdmin)
	if midMessage {
		s.dismiss(adminDisconnect().Message)
		return
	}
	s.reject(adminDisconnect())
}

// awaitResumed blocks while a database is paused, or until ctx is done.
func (p *Proxy) awaitResumed(ctx context.Context, database string) error {
	for {
		p.routesMu.Lock()
		if !p.isPausedLocked(database) {
			p.routesMu.Unlock()
			return nil
		}
		if p.halts.resumed == nil {
			p.halts.resumed = make(chan struct{})
		}
		resumed := p.halts.resumed
		p.routesMu.Unlock()
		select {
		case <-resumed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
