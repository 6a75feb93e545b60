package proxy

import (
	"time"

	"carpool/pool"
	"carpool/proxy/wire"
)

// timeLimits are the limits that apply while a session has a server or none,
// of one route. 0 is no limit.
type timeLimits struct {
	query           time.Duration
	idleTransaction time.Duration
	transaction     time.Duration
	clientIdle      time.Duration
}

// rearm sets the session's one timer to the earliest of the deadlines that
// apply now.
func (s *session) rearm() {
	at := s.deadline()
	if at == 0 {
		s.w.Disarm(&s.timer)
		return
	}
	s.w.Arm(&s.timer, at)
}

func (s *session) deadline() time.Duration {
	c := s.proxy.config
	switch s.state {
	case stateLogin:
		return after(s.since, c.ClientLoginTimeout)
	case stateWelcome:
		return after(s.since, s.route.queryWait)
	case stateWaiting:
		at := after(s.ticket.Since(), s.route.queryWait)
		if c.QueryWaitNotify > 0 && !s.noticed {
			at = earlier(at, after(s.ticket.Since(), c.QueryWaitNotify))
		}
		return at
	case stateIdle:
		if s.limits != nil {
			return after(s.since, s.limits.clientIdle)
		}
	case stateActive:
		if s.limits != nil {
			return s.activeDeadline()
		}
	case stateFarewell:
		return s.farewellEnd
	case stateMigrating, stateChecking, statePriming:
		return after(s.since, c.ServerConnectTimeout)
	}
	return 0
}

// activeDeadline: which limits apply depends on whether the server is working,
// waits inside a transaction, or waits outside (in session mode).
func (s *session) activeDeadline() time.Duration {
	l := s.limits
	switch {
	case !s.exchange.settled():
		return earlier(after(s.queryStart, l.query), after(s.xactStart, l.transaction))
	case s.exchange.status != wire.TxIdle:
		return earlier(after(s.since, l.idleTransaction), after(s.xactStart, l.transaction))
	}
	return after(s.since, l.clientIdle)
}

// after is when limit is over, 0 if there is none.
func after(start, limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return start + limit
}

// earlier is the earlier of two deadlines, of which 0 is none.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

// timeUp: the timer has fired.
func (s *session) timeUp() {
	now := s.w.Now()
	if at := s.deadline(); at == 0 || at > now {
		s.rearm() // it was for a state that is over
		return
	}
	c := s.proxy.config
	switch s.state {
	case stateLogin:
		s.loginTimedOut()
	case stateWelcome:
		s.reject(queryWaitTimedOut(s.route.queryWait, s.route.pool.Stats().LastError))
	case stateWaiting:
		s.waitTimeUp(now)
	case stateIdle:
		s.reject(clientIdleTimedOut(s.limits.clientIdle))
	case stateActive:
		s.activeTimeUp(now)
	case stateFarewell:
		s.farewellTimeUp()
	case stateMigrating, stateChecking, statePriming:
		s.log().Warn("server didn't get ready in time", "state", s.state.String())
		s.drop(pool.ReasonTimeout)
		s.reject(queryWaitTimedOut(c.ServerConnectTimeout, nil))
	}
}

func (s *session) waitTimeUp(now time.Duration) {
	limit := s.route.queryWait
	waited := now - s.ticket.Since()
	if limit > 0 && waited >= limit {
		if s.route.pool.Withdraw(&s.ticket) {
			s.reject(queryWaitTimedOut(limit, s.route.pool.Stats().LastError))
		}
		return
	}
	s.noticed = true
	s.client.Send(wire.AppendNotice(nil, stillWaiting(waited)))
	s.rearm()
}

func (s *session) activeTimeUp(now time.Duration) {
	l := s.limits
	over := func(start, limit time.Duration) bool { return limit > 0 && now-start >= limit }
	working := !s.exchange.settled()
	switch inTransaction := s.exchange.status != wire.TxIdle; {
	case working && over(s.queryStart, l.query):
		s.reject(queryTimedOut(l.query))
	case (working || inTransaction) && over(s.xactStart, l.transaction):
		s.reject(transactionTimedOut(l.transaction))
	case !working && inTransaction && over(s.since, l.idleTransaction):
		s.reject(idleTransactionTimedOut(l.idleTransaction))
	default:
		s.reject(clientIdleTimedOut(l.clientIdle))
	}
}
