package proxy

import (
	"log/slog"
	"strings"
	"time"
)

// A client that has left something on a server that can't be taken to another
// is pinned: it keeps the server between its transactions, until what it left
// is gone, or it is.

// keepPinned lets the client keep its server after a transaction.
func (s *session) keepPinned(r *residue) {
	if !r.shown {
		r.shown = true
		r.since = s.w.Now()
		s.route.count(s.w).pins.Add(1)
	} else if r.pins == r.told {
		return
	}
	r.told = r.pins
	application, _ := s.params.Value("application_name")
	s.proxy.hazards.pin(s, &Pin{
		Client: s.peer.String(), Database: s.route.database, User: s.account.name, Application: application,
		Kinds: strings.Split(kindNames(r.pins), ","), Cause: r.cause(), ServerPID: s.server.up.PID,
	}, r.since)
	s.rearm()
}

// unpinned: the client keeps its server no longer.
func (s *session) unpinned(r *residue) {
	if r != nil && r.shown {
		r.shown, r.logged, r.told = false, false, 0
		s.proxy.hazards.unpin(s)
	}
}

// pinDeadline is when it is to be logged that the client keeps its server; 0 is
// never.
func (s *session) pinDeadline() time.Duration {
	r := s.residue
	if r == nil || !r.shown || r.logged {
		return 0
	}
	return after(r.since, s.rules.logAfter)
}

// pinLasts logs that a client has kept its server for long.
func (s *session) pinLasts() {
	r := s.residue
	r.logged = true
	s.log().Warn("client keeps its server: it has left session state there (pin_log_after)",
		slog.String("state", kindNames(r.pins)), slog.String("statement", r.cause()),
		slog.Duration("for", (s.w.Now()-r.since).Round(time.Second)))
}
