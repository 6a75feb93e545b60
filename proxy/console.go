package proxy

import (
	"context"
	"slices"

	"carpool/proxy/reactor"
	"carpool/proxy/startup"
	"carpool/proxy/wire"
)

// Console answers the queries of clients that are connected to the database
// named pgbouncer or carpool. It is implemented on a floor above; a nil Console
// means that there is none.
type Console interface {
	// Open begins a session for a user whose name is proven and who is in
	// admin_users or stats_users.
	Open(user string, admin bool) ConsoleSession
	// Parameters is what a console reports at login.
	Parameters() []wire.Param
}

// ConsoleSession is one client's console.
type ConsoleSession interface {
	// Query answers one simple Query with whole messages, the last of which is
	// ReadyForQuery. It may block, until ctx ends.
	Query(ctx context.Context, sql string) []byte
	// Close ends the session. It doesn't block, and may come during Query.
	Close()
}

// maxConsoleQuery is the longest command that the console reads, in bytes.
const maxConsoleQuery = 32 << 10

// openConsole lets a client in to the console, if it may.
func (s *session) openConsole() {
	p, user := s.proxy, s.login.identity.User
	admin := s.login.own || slices.Contains(p.Config().AdminUsers, user)
	if p.console == nil || (!admin && !slices.Contains(p.Config().StatsUsers, user)) {
		s.refuse(loginRejected("not allowed", "Only users in admin_users and stats_users may use the console."))
		return
	}
	s.console = p.console.Open(user, admin)
	p.keys.add(s, 0, s.login.identity.ProtocolMinor)
	s.client.Send(startup.AppendWelcome(nil, appendStatuses(nil, p.console.Parameters(), nil), s.key.pid, s.key.bytes()))
	s.login = nil
	s.become(stateConsole)
}

// consoleBytes reads commands for the console, one at a time.
func (s *session) consoleBytes(b []byte) int {
	h, ok, valid := wire.ParseHeader(b)
	switch {
	case !ok:
		return 0
	case !valid || !wire.IsClientType(h.Type):
		s.reject(protocolViolation("invalid message from the client"))
		return len(b)
	case h.Type == wire.Terminate:
		s.terminate()
		return len(b)
	case h.Type != wire.Query:
		s.reject(protocolViolation("extended query protocol not supported by admin console"))
		return len(b)
	case h.Body > maxConsoleQuery:
		s.reject(messageTooLong("console command", maxConsoleQuery))
		return len(b)
	case len(b) < h.Size():
		return 0
	}
	c := wire.Cursor{Rest: b[wire.HeaderLen:h.Size()]}
	sql, ok := c.String()
	if !ok {
		s.reject(protocolViolation("invalid message from the client"))
		return len(b)
	}
	s.client.Pause()
	console, text := s.console, string(sql)
	s.proxy.spawn(func(ctx context.Context) {
		answer := console.Query(ctx, text)
		s.w.Post(reactor.TaskFunc(func() { s.consoleAnswered(answer) }))
	})
	return h.Size()
}

func (s *session) consoleAnswered(answer []byte) {
	if s.state == stateConsole {
		s.client.Send(answer)
		s.client.Resume()
	}
}
