package proxy

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"sync"

	"carpool/proxy/reactor"
	"carpool/proxy/startup"
	"carpool/proxy/upstream"
)

const (
	shortSecret = 4  // bytes, protocol 3.0
	longSecret  = 32 // bytes, from protocol 3.2 on
)

// cancelKey is the key that a client was given for cancel requests. The zero
// key is nobody's.
type cancelKey struct {
	pid    uint32
	secret [longSecret]byte
	length uint8 // of the secret that the client knows
}

func (k *cancelKey) bytes() []byte { return k.secret[:k.length] }

// newCancelKey makes a key. pid is what the client shall take for its server's
// process; 0 lets it be random, positive as a signed number like a real one.
func newCancelKey(pid uint32, minor uint32) cancelKey {
	k := cancelKey{pid: pid, length: shortSecret}
	if minor >= 2 {
		k.length = longSecret
	}
	rand.Read(k.bytes()) //nolint:errcheck // documented never to fail
	for k.pid == 0 {
		var b [4]byte
		rand.Read(b[:])
		k.pid = binary.BigEndian.Uint32(b[:]) &^ (1 << 31)
	}
	return k
}

// index is what keys are found by; the whole secret decides.
func (k *cancelKey) index() uint64 {
	return uint64(k.pid)<<32 | uint64(binary.BigEndian.Uint32(k.secret[:]))
}

// cancelKeys finds the session that a cancel request is for.
type cancelKeys struct {
	mu       sync.Mutex
	sessions map[uint64]*session
}

// add gives s a key that nobody else has.
func (c *cancelKeys) add(s *session, pid, minor uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions == nil {
		c.sessions = make(map[uint64]*session)
	}
	for {
		s.key = newCancelKey(pid, minor)
		if _, taken := c.sessions[s.key.index()]; !taken {
			c.sessions[s.key.index()] = s
			return
		}
	}
}

func (c *cancelKeys) remove(s *session) {
	if s.key == (cancelKey{}) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, s.key.index())
}

// find returns the session whose key was presented, or nil.
func (c *cancelKeys) find(pid uint32, secret []byte) *session {
	if len(secret) < shortSecret {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[uint64(pid)<<32|uint64(binary.BigEndian.Uint32(secret))]
	if s == nil || subtle.ConstantTimeCompare(s.key.bytes(), secret) != 1 {
		return nil
	}
	return s
}

// cancelRequest is a client's request on its way to the session it is for, and
// then back to the connection it came by, which stays open until the request
// is through: PQcancel and its like wait for that.
type cancelRequest struct {
	from   *session // the connection that brought it
	target *session
	back   bool
}

// requestCancel passes a cancel request on. A wrong key is answered with the
// end of the connection, like every other outcome.
func (s *session) requestCancel(c startup.Cancel) {
	target := s.proxy.keys.find(c.PID, c.Secret)
	if target == nil {
		s.proxy.counters.cancelsUnknown.Add(1)
		s.clientGone("cancel request with an unknown key")
		return
	}
	s.proxy.counters.cancels.Add(1)
	s.client.Pause()
	target.w.Post(&cancelRequest{from: s, target: target})
}

// Run implements reactor.Task: first on the target's loop, then on that of the
// connection that brought the request.
func (r *cancelRequest) Run(*reactor.Loop) {
	if r.back {
		if r.from.state == stateLogin {
			r.from.clientGone("cancel request is through")
		}
		return
	}
	r.back = true
	if !r.target.canceledBy(r) {
		r.from.w.Post(r)
	}
}

// canceledBy acts on a cancel request and reports whether it will post it back
// later. What it does depends on what the session is doing: a query that
// waits for a server is answered at once, one that runs is cancelled on the
// server, and if there is none, the request has come too late.
func (s *session) canceledBy(r *cancelRequest) (later bool) {
	switch s.state {
	case stateConsole:
		s.console.interrupt(ErrInterrupted)
	case stateWaiting:
		if s.route.pool.Withdraw(&s.ticket) {
			s.fail(queryCanceled())
		} else {
			s.canceling = true
		}
	case stateActive:
		if s.exchange.settled() {
			return false
		}
		s.server.cancel(r)
		return true
	}
	return false
}

// delivery is a cancel request on its way to a server.
type delivery struct {
	server   *server
	requests int32 // of clients, that it brings and hasn't sent yet
	failed   bool
}

// cancel sends a cancel request to the server, and keeps the server from being
// given to anyone else until the request is through: one that arrives late
// would hit a stranger's query. r, if not nil, is told then.
func (srv *server) cancel(r *cancelRequest) {
	if r != nil {
		srv.cancelDone = append(srv.cancelDone, r)
		srv.unsentCancels++
		srv.route.chores.cancelers.Add(1)
		srv.route.chores.unsent.Add(1)
	}
	if srv.cancels > 0 {
		// One is under way. Whether it comes early enough for what runs now
		// nobody knows, so one more follows it; but never more than one.
		srv.cancelAgain = true
		return
	}
	srv.deliverCancel()
}

func (srv *server) deliverCancel() {
	srv.cancels++
	srv.route.chores.cancels.Add(1)
	d := &delivery{server: srv, requests: srv.unsentCancels}
	srv.unsentCancels = 0
	target := srv.up.CancelTarget()
	srv.proxy.spawn(func(ctx context.Context) { d.run(ctx, target) })
}

// run delivers the request, on a goroutine of its own. It is owned by the
// proxy and ends by cancel_wait_timeout at the latest.
func (d *delivery) run(ctx context.Context, target upstream.CancelTarget) {
	p := d.server.proxy
	if limit := p.Config().CancelWaitTimeout; limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, limit)
		defer stop()
	}
	err := upstream.Cancel(ctx, target, d.sent)
	d.sent()
	if err != nil {
		d.failed = true
		p.counters.cancelsFailed.Add(1)
		if p.ctx.Err() == nil {
			p.log.Warn("a cancel request didn't get through (cancel_wait_timeout limits how long it may take)", "error", err)
		}
	}
	d.server.w.Post(d)
}

// sent notes that the request was sent, or never will be.
func (d *delivery) sent() {
	d.server.route.chores.unsent.Add(-d.requests)
	d.requests = 0
}

// Run implements reactor.Task: the request is through. A server that it may
// still reach later is discarded when it comes back.
func (d *delivery) Run(*reactor.Loop) {
	srv := d.server
	srv.cancels--
	srv.route.chores.cancels.Add(-1)
	srv.doubt = srv.doubt || d.failed
	again := srv.cancelAgain && srv.session != nil && !srv.session.exchange.settled()
	srv.cancelAgain = false
	if again && srv.dead == "" {
		srv.deliverCancel()
		return
	}
	srv.route.chores.unsent.Add(-srv.unsentCancels) // they came too late to matter
	srv.unsentCancels = 0
	srv.route.chores.cancelers.Add(-int32(len(srv.cancelDone)))
	for _, r := range srv.cancelDone {
		r.from.w.Post(r)
	}
	srv.cancelDone = nil
	if srv.parked {
		srv.unpark()
	}
}
