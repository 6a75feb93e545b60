package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carpool/pool"
	"carpool/proxy/reactor"
	"carpool/proxy/wire"
)

// ShutdownMode is how a Proxy is to end.
type ShutdownMode uint8

const (
	// WaitForClients takes no new clients and ends when the last one has left.
	// When half of shutdown_timeout is over, those who are still there are asked
	// to leave.
	WaitForClients ShutdownMode = iota + 1
	// WaitForServers lets transactions that have begun come to their end, and
	// nothing more begin; then it closes everything.
	WaitForServers
	// Immediate closes everything now.
	Immediate
)

func (m ShutdownMode) String() string {
	return [...]string{"running", "waiting for clients", "waiting for servers", "immediate"}[m]
}

const (
	// drainPoll is how often a drain looks whether it is through.
	drainPoll = 20 * time.Millisecond
	// handOverTime is how long connections that were begun before a shutdown
	// may take to be established, where another process listens on the same
	// port. It is less than the second after which a client knocks again, and
	// then had better reach the other one.
	handOverTime = 900 * time.Millisecond
	// loginGrace is how long a login may take that had begun before the
	// shutdown. With TLS and SCRAM it is half a dozen round trips.
	loginGrace = 5 * time.Second
)

// drain is the state of a shutdown.
type drain struct {
	mu   sync.Mutex
	mode ShutdownMode

	cut atomic.Int64 // transactions that were cut off

	listeners []*reactor.Listener // owned by the first worker
}

// Shutdown begins to end the proxy, and returns at once; Run returns when it is
// through. A stronger mode may follow a weaker one. shutdown_timeout turns any
// of them into Immediate. Any goroutine may call it.
func (p *Proxy) Shutdown(mode ShutdownMode) {
	p.drain.mu.Lock()
	before := p.drain.mode
	if mode <= before {
		p.drain.mu.Unlock()
		return
	}
	p.drain.mode = mode
	p.drain.mu.Unlock()

	p.stopping.Store(true)
	p.log.Info("shutting down: " + mode.String())
	handOver := mode == WaitForClients && p.Config().SOReusePort && !p.inherits()
	switch {
	case handOver:
		p.workers[0].Post(reactor.TaskFunc(p.turnAway))
	case mode == WaitForClients && p.inherits():
		p.closeListeners() // whoever waits in the sockets is for the next process; who is in may stay
	default:
		p.closeDoor()
	}
	if mode == WaitForServers {
		p.eachSession((*session).sendAway)
	}
	if mode == Immediate {
		p.eachSession((*session).throwOut)
		p.stopLoops()
		return
	}
	if before == 0 {
		p.spawnDrain(handOver)
	}
}

// inherits reports whether the sockets live on without us.
func (p *Proxy) inherits() bool {
	return slices.ContainsFunc(p.sockets, func(s socket) bool { return s.inherited })
}

// closeDoor lets nobody in any more.
func (p *Proxy) closeDoor() {
	p.refusing.Store(true)
	p.closeListeners()
}

func (p *Proxy) closeListeners() {
	p.workers[0].Post(reactor.TaskFunc(func() {
		for _, ln := range p.drain.listeners {
			ln.Close()
		}
		p.drain.listeners = nil
	}))
}

// turnAway leaves new clients to the other processes on the port. Closing a
// socket alone would reset connections that are half established, of which the
// kernel has told nobody yet. It runs on the loop that listens.
func (p *Proxy) turnAway() {
	if p.refusing.Load() {
		return // closed already
	}
	for _, s := range p.sockets {
		if s.tcp {
			if err := turnAway(s.fd); err != nil {
				p.log.Warn("clients that come at this moment may be cut off", "address", s.addr, "error", err)
			}
		}
	}
}

// eachSession has every worker call f for every session it has.
func (p *Proxy) eachSession(f func(*session)) {
	for _, w := range p.workers {
		w.Post(reactor.TaskFunc(func() { w.each(f) }))
	}
}

// stopLoops ends the loops behind the work that was posted before, so that
// clients are told.
func (p *Proxy) stopLoops() {
	for _, w := range p.workers {
		w.Post(reactor.TaskFunc(w.Stop))
	}
}

// spawnDrain takes the steps of a shutdown that need time, and looks again and
// again whether it is through. It is owned by the proxy and ends with it.
func (p *Proxy) spawnDrain(handOver bool) {
	p.tasks.Go(func() {
		ticker := time.NewTicker(drainPoll)
		defer ticker.Stop()
		var half, end, handedOver <-chan time.Time
		if limit := p.Config().ShutdownTimeout; limit > 0 {
			half, end = time.After(limit/2), time.After(limit)
		}
		if handOver {
			handedOver = time.After(handOverTime)
		}
		loginsDue := time.After(loginGrace)
		for {
			select {
			case <-p.ctx.Done():
				return
			case <-handedOver:
				handedOver = nil
				p.closeListeners()
			case <-loginsDue:
				loginsDue = nil
				p.closeDoor()
				p.eachSession((*session).endLogin)
			case <-half:
				p.askToLeave()
			case <-end:
				p.log.Warn("shutdown_timeout is over: closing what is left")
				p.Shutdown(Immediate)
				return
			case <-ticker.C:
				if handedOver == nil && p.drained(loginsDue != nil) {
					p.Shutdown(Immediate)
					return
				}
			}
		}
	})
}

// drained reports whether what the drain waits for has happened. logins is
// whether those that are under way are among it.
func (p *Proxy) drained(logins bool) bool {
	p.drain.mu.Lock()
	mode := p.drain.mode
	p.drain.mu.Unlock()
	if mode == WaitForClients {
		if p.clients.Load() > 0 || logins && p.loginsUnderWay() {
			return false
		}
		if p.clients.Load() > 0 {
			return false // it has just come through its login
		}
	}
	for _, st := range p.pools.Snapshot() {
		if st.Leased > 0 {
			return false
		}
	}
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	return !slices.ContainsFunc(p.ended, func(r *route) bool { return r.pool.Stats().Leased > 0 })
}

// loginsUnderWay reports whether anybody is proving who it is. It asks all
// loops and blocks until they have answered.
func (p *Proxy) loginsUnderWay() bool {
	counts := make(chan int, len(p.workers))
	for _, w := range p.workers {
		count := func() {
			logins := 0
			w.each(func(s *session) {
				if s.state == stateLogin {
					logins++
				}
			})
			counts <- logins
		}
		if !w.Post(reactor.TaskFunc(count)) {
			return false // it has come to its end
		}
	}
	total := 0
	for range p.workers {
		select {
		case n := <-counts:
			total += n
		case <-p.ctx.Done():
			return false
		}
	}
	return total > 0
}

// askToLeave has the clients leave that wouldn't by themselves.
func (p *Proxy) askToLeave() {
	p.drain.mu.Lock()
	mode := p.drain.mode
	p.drain.mu.Unlock()
	if mode != WaitForClients {
		return // they have been told more than that
	}
	p.closeDoor() // who came in now would miss it
	p.eachSession((*session).askToLeave)
	p.log.Info("half of shutdown_timeout is over: clients have to go when they next ask for something")
}

// askToLeave has the client told to go in answer to what it asks for next. Many
// a driver doesn't look at what it is sent while it asks for nothing: it would
// only find its connection closed, and couldn't tell whether its statement was
// executed.
func (s *session) askToLeave() {
	if s.state != stateLogin && s.state != stateConsole {
		s.client.SetHandler(&leaver{session: s})
	}
}

// leaver listens to a client that has to go, in place of its session. The answer
// is a whole one, up to ReadyForQuery, and then the connection ends: of an error
// with the end of the connection right behind it, libpq keeps the latter alone.
type leaver struct {
	*session
	telling bool // the error was sent, the rest of the batch is to come
}

// Data implements reactor.Handler.
func (l *leaver) Data(c *reactor.Conn, b []byte) int {
	if !l.telling {
		if b[0] == wire.Terminate || b[0] == wire.Sync || !l.betweenTransactions() {
			return l.session.Data(c, b)
		}
		l.telling = true
		l.drop(pool.ReasonShutdown)
		l.fail(terminating())
	}
	used := 0
	for used < len(b) {
		n := l.session.Data(c, b[used:used+l.nextMessage(b[used:])])
		used += n
		switch {
		case l.state == stateClosed || l.state == stateFarewell:
			return len(b)
		case l.body == 0 && !l.failing && !l.skipping:
			l.dismiss("server shutting down")
			return len(b)
		case n == 0:
			return used
		}
	}
	return used
}

// nextMessage is how much of b belongs to one message: what follows it must not
// be taken for the beginning of something new.
func (l *leaver) nextMessage(b []byte) int {
	if l.body > 0 {
		return min(l.body, len(b))
	}
	if h, ok, valid := wire.ParseHeader(b); ok && valid {
		return min(h.Size(), len(b))
	}
	return len(b)
}

// terminating is shuttingDown in Postgres's own words, by which drivers and
// their pools know that the connection is of no more use.
func terminating() wire.Report {
	r := shuttingDown()
	r.Message = "terminating connection due to administrator command"
	return r
}

// betweenTransactions reports whether what the client sends next begins
// something new.
func (s *session) betweenTransactions() bool {
	return (s.state == stateIdle || s.state == stateActive) && s.body == 0 && s.collected == nil &&
		!s.failing && !s.skipping && (s.server == nil || s.exchange.idle())
}

// CutOff is how many transactions the shutdown has cut off. It is final when
// Run has returned. Any goroutine may call it.
func (p *Proxy) CutOff() int { return int(p.drain.cut.Load()) }

// sendAway ends a session as soon as it is in no transaction.
func (s *session) sendAway() {
	switch s.state {
	case stateConsole, stateLogin:
	case stateActive:
		if s.exchange.idle() { // it has a server of its own, or keeps one
			s.reject(shuttingDown())
			return
		}
		s.leaving = true
	case stateIdle, stateWaiting, stateWelcome, stateMigrating, stateChecking, statePriming:
		s.reject(shuttingDown())
	}
}

// endLogin turns away a client that hasn't come through its login by now.
func (s *session) endLogin() {
	if s.state == stateLogin {
		s.throwOut()
	}
}

// throwOut ends a session now.
func (s *session) throwOut() {
	switch {
	case s.state == stateClosed || s.state == stateFarewell:
	case s.state != stateLogin:
		if s.state == stateActive && !s.exchange.idle() {
			s.proxy.drain.cut.Add(1)
		}
		s.drop(pool.ReasonShutdown)
		s.reject(shuttingDown())
	case s.login.stop != nil || s.client.Paused():
		s.clientGone("server shutting down") // in the middle of a handshake, in which nothing can be said
	default:
		s.refuse(notAccepting())
	}
}
