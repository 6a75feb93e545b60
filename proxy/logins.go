package proxy

import (
	"log/slog"
	"time"

	"carpool/config"
	"carpool/proxy/wire"

	"golang.org/x/sys/unix"
)

// Anybody who reaches a socket can begin a login, and take client_login_timeout
// over it. So there is a limit on those under way, which isn't the limit on
// clients: a place among max_client_conn is taken by who has proven who it is.
// One login more than the limit, and the one that has lasted for the longest
// gives way. Who does log in takes some round trips for it, and is through long
// before; who only holds the place loses it; and an operator gets in.

const (
	// fewestLogins and mostLogins are the bounds of extraLogins.
	fewestLogins = 64
	mostLogins   = 5000
)

// extraLogins is how many logins may be under way, where the configuration leaves
// that open, of clients for whom there would be no room: a quarter of the
// descriptors that the process may have besides those for max_client_conn. A
// login takes two of them during a TLS handshake, and servers need some.
func extraLogins(c *config.Config, descriptors uint64) int {
	left := int(min(descriptors, 1<<30)) - c.MaxClientConn
	return min(max(left/4, fewestLogins), mostLogins)
}

// loginLimit is how many logins may be under way while there are so many clients.
// All that may be clients may log in at the same time, as after a restart.
func (n *settings) loginLimit(clients int64) int {
	if n.MaxClientLogins > 0 {
		return n.MaxClientLogins
	}
	return max(n.MaxClientConn-int(clients), 0) + n.extraLogins
}

// descriptorLimit is how many file descriptors the process may have.
func descriptorLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(max(limit.Cur, 0)) // signed on some systems
}

// logins are those under way on one loop, which owns the list, the oldest first.
type logins struct {
	first, last *login
	count       int
}

func (q *logins) enter(l *login) {
	l.waiting, l.older = true, q.last
	if q.last != nil {
		q.last.younger = l
	} else {
		q.first = l
	}
	q.last = l
	q.count++
}

// leave takes a login out of the list, if it is in it.
func (q *logins) leave(l *login) {
	if !l.waiting {
		return
	}
	if l.older != nil {
		l.older.younger = l.younger
	} else {
		q.first = l.younger
	}
	if l.younger != nil {
		l.younger.older = l.older
	} else {
		q.last = l.older
	}
	l.waiting, l.older, l.younger = false, nil, nil
	q.count--
}

// beginLogin counts a login that has just begun. The loops share the limit
// evenly, as they do new clients.
func (s *session) beginLogin(n *settings) {
	w := s.w
	w.logins.enter(s.login)
	limit := n.loginLimit(s.proxy.clients.Load())
	share := (limit + len(s.proxy.workers) - 1) / len(s.proxy.workers)
	for w.logins.count > share && w.logins.count > 1 {
		s.proxy.warnOfLogins(limit)
		w.logins.first.session.giveWay(tooManyLogins(limit))
	}
}

// giveWay ends the session of a client that has been logging in for so long that
// others want its place. It isn't waited for, nor is there a line in the log for
// it: it may be one of very many.
func (s *session) giveWay(r wire.Report) {
	p, l := s.proxy, s.login
	s.w.logins.leave(l)
	p.counters.gaveWay.Add(1)
	if l.stop == nil && (l.inquiry != nil || !s.client.Paused()) { // else nothing can be said
		l.machine.Refuse(r)
		s.sendLogin()
		p.counters.refused(r.Code)
		s.client.Finish() // sends it
	}
	s.client.Close()
	s.leave(abandoned)
}

// warnOfLogins logs from time to time that logins are ended for others.
func (p *Proxy) warnOfLogins(limit int) {
	now, before := int64(p.now()), p.loginsWarned.Load()
	if before != 0 && time.Duration(now-before) < acceptWarnPause || !p.loginsWarned.CompareAndSwap(before, now) {
		return
	}
	p.log.Warn("too many logins under way (max_client_logins): those that have lasted for the longest give way to new ones",
		slog.Int("limit", limit), slog.Int64("gave_way", p.counters.gaveWay.Load()))
}
