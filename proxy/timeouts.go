package proxy

import (
	"time"

	"carpool/pool"
	"carpool/proxy/wire"
)

// rearm sets the session's one timer to the earliest of the deadlines that
// apply now.
func (s *session) rearm() {
	at := s.deadline(s.timeLimits())
	if at == 0 {
		s.w.Disarm(&s.timer)
		return
	}
	s.w.Arm(&s.timer, at)
}

// timeLimits are those of the session's user as of now, nil if there are none.
func (s *session) timeLimits() *timeLimits {
	if s.account == nil {
		return nil
	}
	return s.account.limits.Load()
}

// deadline is when the session's state may last no longer, under the limits l;
// 0 is never.
func (s *session) deadline(l *timeLimits) time.Duration {
	c := s.proxy.Config()
	switch s.state {
	case stateLogin:
		return after(s.since, c.ClientLoginTimeout)
	case stateWelcome:
		return after(s.since, s.route.terms.Load().queryWait)
	case stateWaiting:
		at := after(s.ticket.Since(), s.route.terms.Load().queryWait)
		if c.QueryWaitNotify > 0 && !s.noticed {
			at = earlier(at, after(s.ticket.Since(), c.QueryWaitNotify))
		}
		return at
	case stateIdle:
		switch {
		case l == nil:
		case s.deferred != nil:
			return earlier(after(s.since, l.idleTransaction), after(s.xactStart, l.transaction))
		default:
			return after(s.since, l.clientIdle)
		}
	case stateActive:
		at := earlier(s.pinDeadline(), earlier(s.listenDeadline(), s.ownDeadline()))
		if l != nil && !s.holdsReady() {
			at = earlier(at, s.activeDeadline(l))
		}
		return at
	case stateConsole:
		if s.console.due {
			return after(s.since, s.proxy.consolePatience)
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
func (s *session) activeDeadline(l *timeLimits) time.Duration {
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
	now, l := s.w.Now(), s.timeLimits()
	if at := s.deadline(l); at == 0 || at > now {
		s.rearm() // it was for a state that is over
		return
	}
	switch s.state {
	case stateLogin:
		s.loginTimedOut()
	case stateWelcome:
		s.reject(queryWaitTimedOut(s.route.terms.Load().queryWait, s.route.pool.Stats().LastError))
	case stateWaiting:
		s.waitTimeUp(now)
	case stateIdle:
		s.idleTimeUp(now, l)
	case stateActive:
		if at := s.ownDeadline(); at != 0 && at <= now {
			s.ownIsLate()
			return
		}
		if at := s.listenDeadline(); at != 0 && at <= now {
			s.listenLasts()
			return
		}
		if at := s.pinDeadline(); at != 0 && at <= now {
			s.pinLasts()
			s.rearm()
			return
		}
		s.activeTimeUp(now, l)
	case stateConsole:
		s.consoleTimeUp()
	case stateFarewell:
		s.farewellTimeUp()
	case stateMigrating, stateChecking, statePriming:
		s.log().Warn("server didn't get ready in time", "state", s.state.String())
		s.drop(pool.ReasonTimeout)
		s.reject(queryWaitTimedOut(s.proxy.Config().ServerConnectTimeout, nil))
	}
}

func (s *session) waitTimeUp(now time.Duration) {
	limit := s.route.terms.Load().queryWait
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

// idleTimeUp: a client without a server was idle for too long. It may believe to
// be in a transaction.
func (s *session) idleTimeUp(now time.Duration, l *timeLimits) {
	switch {
	case s.deferred == nil:
		s.reject(clientIdleTimedOut(l.clientIdle))
	case l.idleTransaction > 0 && now-s.since >= l.idleTransaction:
		s.reject(idleTransactionTimedOut(l.idleTransaction))
	default:
		s.reject(transactionTimedOut(l.transaction))
	}
}

func (s *session) activeTimeUp(now time.Duration, l *timeLimits) {
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
