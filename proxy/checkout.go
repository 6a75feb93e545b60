package proxy

import (
	"errors"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy/state"
)

// How a session comes by a server and parts with it again:
//
//	acquire -> (waiting) -> adopt -> (migrating) -> (checking) -> begin -> active
//	release -> (the server's chores) -> back in the pool

// acquire asks for a server. It answers true when the session has one and is
// active; otherwise the session waits, or is over.
func (s *session) acquire() bool {
	if !s.follow() {
		return false
	}
	lease, outcome, err := s.route.pool.Checkout(&s.ticket, s.w.Now())
	return s.acquired(lease, outcome, err)
}

// acquireAgain asks for another server in place of one that proved dead,
// without losing the place in the queue.
func (s *session) acquireAgain() bool {
	if !s.follow() {
		return false
	}
	lease, outcome, err := s.route.pool.CheckoutAgain(&s.ticket, s.w.Now())
	return s.acquired(lease, outcome, err)
}

func (s *session) acquired(lease pool.Lease[*server], outcome pool.Outcome, err error) bool {
	switch outcome {
	case pool.Granted:
		s.adopt(lease)
		return s.state == stateActive
	case pool.Refused:
		if errors.Is(err, pool.ErrRemoved) && s.route.superseded.Load() {
			return s.acquireAgain()
		}
		s.reject(noServer(err))
		return false
	}
	s.client.Pause()
	s.noticed = false
	switch {
	case s.login == nil:
		s.become(stateWaiting)
	case s.state != stateWelcome: // the server at hand has failed its check
		s.become(stateWelcome)
	}
	return false
}

// follow sees to it that what the session asks for next is what it needs under
// the route's terms as they are now. If the route was superseded, it takes the
// one that has its place. It answers false when that ended the session.
func (s *session) follow() bool {
	if old := s.route; old.superseded.Load() {
		r, ok := s.proxy.routeTo(old.database, s.account.name)
		if !ok {
			s.reject(noSuchDatabase(old.database))
			return false
		}
		r.pool.Attach()
		old.pool.Detach()
		if s.ticket.Variant >= firstPrivate {
			r.wantVariant(s.params)
			old.leaveVariant(s.ticket.Variant)
		}
		s.rehome(r) // before the old one can be forgotten
		s.route = r // to the same database: its limit on clients is as it was
		s.proxy.leaveRoute(old)
	}
	t := s.route.terms.Load()
	if !s.private {
		s.rules = t.rules
	}
	if s.ticket.Variant < firstPrivate {
		s.ticket.Variant = t.variant(s.purpose)
	}
	return true
}

// adopt takes over a server that was granted. One that lives on another loop is
// that loop's alone until it has been moved here.
func (s *session) adopt(lease pool.Lease[*server]) {
	srv := lease.Value
	if srv.w != s.w {
		s.migrate(lease)
		return
	}
	srv.attach()
	srv.lease = lease
	if srv.dead != "" {
		srv.discard(pool.ReasonLost)
		s.acquireAgain()
		return
	}
	if srv.purpose != s.purpose {
		// The pool's plain servers are of another kind since a reload; the
		// session was in the queue, or had just asked, when that happened.
		srv.discard(pool.ReasonRetired)
		s.acquireAgain()
		return
	}
	if srv.temps && s.wantsBuffers(srv) {
		srv.discard(pool.ReasonUnclean)
		s.acquireAgain()
		return
	}
	s.server, srv.session = srv, s
	srv.lease.SetHome(s.w.ID())
	if s.needsCheck(srv) {
		s.pauseFor(stateChecking)
		srv.startChore(choreCheck, s.proxy.Config().ServerCheckQuery)
		return
	}
	s.begin()
}

// pauseFor makes the client wait in a state other than the queue. A session
// that still has to be welcomed remembers that by having no welcome, not by
// its state.
func (s *session) pauseFor(state sessionState) {
	s.client.Pause()
	s.become(state)
}

func (s *session) needsCheck(srv *server) bool {
	return s.proxy.isStale(srv.lease.IdleFor())
}

// checked goes on after the server has passed or failed its check.
func (s *session) checked(ok bool) {
	if ok {
		s.begin()
		return
	}
	srv := s.server
	s.server, srv.session = nil, nil
	srv.discard(pool.ReasonLost)
	if s.acquireAgain() {
		s.client.Resume()
	}
}

// begin starts the conversation with the server that the session holds.
func (s *session) begin() {
	srv := s.server
	now := s.w.Now()
	s.exchange.queue = srv.ring
	srv.ring = nil
	var names *statements
	if s.mode != config.PoolSession && srv.cache != nil {
		s.names.cache = srv.cache
		names = &s.names
	}
	s.names.params = s.params
	s.exchange.begin(names, &s.route.tenant.schema)
	s.queryStart, s.xactStart = now, now
	s.told, s.unserved = false, true
	s.unnamed.here, s.ownNumbers, s.begun = false, false, false
	wait := now - s.ticket.Since()
	s.route.count(s.w).clocks().waits.note(wait)
	s.watchSlow(s.proxy.Config().LogSlow)
	if s.slow != nil {
		s.waitOver(wait)
	}

	switch {
	case s.private && s.login != nil:
		s.welcomeFrom(srv)
	case s.private:
	case s.login != nil:
		s.try(srv)
		return
	case srv.params != s.params:
		s.prime(srv)
	}
	s.activate()
}

func (s *session) activate() {
	s.become(stateActive)
	if srv := s.server; len(srv.sqlNames) > 0 && srv.sqlOf != s.sql.ownedBy() {
		s.dropStrangers()
	}
	s.forgetNumbers()
	if s.deferred != nil {
		s.beginDeferred()
	}
	s.client.Resume()
}

// prime gives the server the client's parameters, ahead of the client's own
// bytes, and reports whether there was anything to give. The answer is
// swallowed.
func (s *session) prime(srv *server) bool {
	appendReplay := state.AppendGuardedReplay
	if s.untried != nil {
		appendReplay = state.AppendReplay // nothing is sent behind it
	}
	out := appendReplay(s.w.toServer[:0], srv.params, s.params)
	if len(out) == 0 {
		srv.params = s.params
		return false
	}
	s.route.count(s.w).replays.Add(1)
	srv.primed = primed{from: srv.params}
	s.exchange.ask(errandReplay)
	s.unnamed.here = false // a Query drops it
	srv.conn.Send(out)
	s.w.toServer = reuse(out)
	return true
}

// primed is what a server is being given by prime.
type primed struct {
	from *state.Params // what it had
	done int           // statements that have succeeded
}

// replayed goes on when the server has answered all of what prime sent.
func (s *session) replayed(srv *server) {
	refusal := s.refusedBy
	s.refusedBy, srv.primed = nil, primed{}
	if s.poisoned {
		return
	}
	if refusal == nil {
		// In the server's spelling, or two clients that mean the same would set
		// it anew whenever they take turns.
		s.params = s.proxy.params.Settle(s.params, srv.params, srv.base)
		srv.params = s.params
	}
	if s.state == statePriming {
		s.tried(refusal)
	}
}

// releasable reports whether the server may go back to the pool. The client is to
// have the end of a message whose beginning it has.
func (s *session) releasable() bool {
	return s.exchange.idle() && !s.private && s.state == stateActive &&
		(s.body == 0 || s.bodyDrop) && s.collected == nil && (s.server.body == 0 || s.server.bodyDrop)
}

// release gives the server back after a transaction.
func (s *session) release() {
	srv := s.unlink()
	s.become(stateIdle)
	if srv.lease.Pool() == nil {
		return
	}
	srv.giveBack(upkeep{reset: s.proxy.Config().ServerResetQueryAlways})
	if s.listening != nil && s.route.superseded.Load() {
		s.follow() // what it listens on is elsewhere now, and it may ask for nothing
	}
}

// unlink parts the session from its server, whose lease goes on.
func (s *session) unlink() *server {
	srv := s.server
	doubt := s.exchange.doubt
	s.recovering, s.poisoned, s.holding = false, false, false
	if s.mending != mendingNone {
		s.endMending()
	}
	s.exchange.end()
	srv.ring = s.exchange.queue
	s.exchange.queue = nil
	s.names.cache = nil
	s.server, srv.session = nil, nil
	srv.doubt = srv.doubt || doubt
	if srv.conn.Paused() {
		srv.conn.Resume()
	}
	return srv
}

// drop parts the session from its server and ends that one.
func (s *session) drop(why pool.Reason) {
	if s.server != nil {
		s.unlink().discard(why)
	}
}

// migrate has the server's own loop take it off its poller and put it on ours.
// Until then the server is nobody's.
func (s *session) migrate(lease pool.Lease[*server]) {
	if s.state != stateWelcome {
		s.pauseFor(stateMigrating)
	} else {
		s.client.Pause()
	}
	if !lease.Value.w.Post(&migration{session: s, server: lease.Value, lease: lease}) {
		lease.Discard(pool.ReasonShutdown, s.w.Now())
	}
}
