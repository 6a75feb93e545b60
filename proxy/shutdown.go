package proxy

import (
	"slices"
	"sync"
	"time"

	"carpool/pool"
	"carpool/proxy/reactor"
)

// ShutdownMode is how a Proxy is to end.
type ShutdownMode uint8

const (
	// WaitForClients takes no new clients and ends when the last one has left.
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
	// port. It is less than the second after which a client knocks again.
	handOverTime = 500 * time.Millisecond
	// handOverLogin is how long they have for the login then.
	handOverLogin = 500 * time.Millisecond
)

// drain is the state of a shutdown.
type drain struct {
	mu   sync.Mutex
	mode ShutdownMode

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
	handOver := mode == WaitForClients && p.Config().SOReusePort
	if handOver {
		p.workers[0].Post(reactor.TaskFunc(p.turnAway))
	} else {
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

// spawnDrain looks again and again whether the drain is through, after the door
// is closed. It is owned by the proxy and ends with it.
func (p *Proxy) spawnDrain(handOver bool) {
	p.tasks.Go(func() {
		ticker := time.NewTicker(drainPoll)
		defer ticker.Stop()
		var deadline <-chan time.Time
		if limit := p.Config().ShutdownTimeout; limit > 0 {
			timer := time.NewTimer(limit)
			defer timer.Stop()
			deadline = timer.C
		}
		if handOver {
			p.handOver()
		}
		for {
			select {
			case <-p.ctx.Done():
				return
			case <-deadline:
				p.log.Warn("shutdown_timeout is over: closing what is left")
				p.Shutdown(Immediate)
				return
			case <-ticker.C:
				if p.drained() {
					p.Shutdown(Immediate)
					return
				}
			}
		}
	})
}

// handOver closes the door behind those who had begun to come in.
func (p *Proxy) handOver() {
	for _, step := range []struct {
		limit time.Duration
		then  func()
	}{{handOverTime, p.closeListeners}, {handOverLogin, p.closeDoor}} {
		timer := time.NewTimer(step.limit)
		select {
		case <-p.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			step.then()
		}
	}
}

// drained reports whether what the drain waits for has happened.
func (p *Proxy) drained() bool {
	p.drain.mu.Lock()
	mode := p.drain.mode
	p.drain.mu.Unlock()
	if p.clients.Load() > 0 && mode == WaitForClients {
		return false
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

// sendAway ends a session as soon as it is in no transaction.
func (s *session) sendAway() {
	switch s.state {
	case stateConsole, stateLogin:
	case stateActive:
		if s.private && s.exchange.idle() {
			s.reject(shuttingDown())
			return
		}
		s.leaving = true
	case stateIdle, stateWaiting, stateWelcome, stateMigrating, stateChecking, statePriming:
		s.reject(shuttingDown())
	}
}

// throwOut ends a session now.
func (s *session) throwOut() {
	if s.state == stateClosed || s.state == stateFarewell {
		return
	}
	s.drop(pool.ReasonShutdown)
	if s.state == stateLogin {
		s.clientGone("server shutting down")
		return
	}
	s.reject(shuttingDown())
}
