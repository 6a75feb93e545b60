package proxy

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"carpool/proxy/reactor"
	"carpool/proxy/startup"
	"carpool/proxy/wire"
)

// Console answers clients that are connected to the database named pgbouncer or
// carpool. It is implemented on a floor above; a nil Console means that there is
// none.
type Console interface {
	// Open begins a session for a user whose name is proven and who is in
	// admin_users or stats_users. What it orders is logged to log, which names
	// the client and the user.
	Open(user string, admin bool, log *slog.Logger) ConsoleSession
	// Parameters is what a console reports at login.
	Parameters() []wire.Param
}

// ConsoleSession is one client's console.
type ConsoleSession interface {
	// Message answers one message of the client, given by its type and its body,
	// with whole messages, or with none. It may block, until ctx ends, and keeps
	// nothing of body. One call at a time. Of a client that has asked to cancel
	// what it does, the cause of the end is ErrInterrupted.
	Message(ctx context.Context, typ byte, body []byte) []byte
	// Close ends the session. It doesn't block, and may come during Message.
	Close()
}

// ErrInterrupted is why a message's context ends whose client wants it
// cancelled.
var ErrInterrupted = errors.New("canceled by the client")

// maxConsoleQuery is the longest message that the console reads, in bytes.
const maxConsoleQuery = 32 << 10

// consolePatience is how long a client of the console may take to read an
// answer. Until it has, nothing more is done for it.
const consolePatience = 30 * time.Second

// consoleClient is what a session is that talks to the console.
type consoleClient struct {
	ConsoleSession
	session *session
	user    string
	admin   bool
	stop    context.CancelCauseFunc // ends what is being done for it; nil if nothing is
	due     bool                    // whether it has read its answer is to be looked at

	// Guarded by the mu of the proxy's consoles.
	busy  bool          // something is being done for it
	heard time.Duration // when it last sent something, or was answered
}

// openConsole lets a client in to the console, if it may.
func (s *session) openConsole() {
	p, user := s.proxy, s.login.identity.User
	admin := s.login.own || slices.Contains(p.Config().AdminUsers, user)
	if p.console == nil || (!admin && !slices.Contains(p.Config().StatsUsers, user)) {
		s.refuse(loginRejected("not allowed", "Only users in admin_users and stats_users may use the console."))
		return
	}
	c := &consoleClient{session: s, user: user, admin: admin, heard: s.w.Now()}
	gone, ok := p.consoles.enter(c, s.login.own)
	if !ok {
		s.refuse(tooManyConsoles())
		return
	}
	if gone != nil {
		gone.giveWay()
	}
	c.ConsoleSession = p.console.Open(user, admin, s.log().With(slog.String("user", user)))
	s.console = c
	p.keys.add(s, 0, s.login.identity.ProtocolMinor)
	s.client.Send(startup.AppendWelcome(nil, s.key.pid, s.key.bytes(), appendStatuses(nil, p.console.Parameters(), nil)))
	s.login = nil
	s.become(stateConsole)
}

// consoleBytes reads messages for the console, one at a time.
func (s *session) consoleBytes(b []byte) int {
	if s.client.Buffered() > 0 {
		s.clogged = true
		s.client.Pause()
		return 0
	}
	h, ok, valid := wire.ParseHeader(b)
	switch {
	case !ok:
		return 0
	case !valid || !wire.IsClientType(h.Type) || h.Type == wire.Password:
		s.reject(protocolViolation("invalid message from the client"))
		return len(b)
	case h.Type == wire.Terminate:
		s.terminate()
		return len(b)
	case h.Body > maxConsoleQuery:
		s.reject(messageTooLong("console command", maxConsoleQuery))
		return len(b)
	case len(b) < h.Size():
		return 0
	}
	s.client.Pause()
	s.proxy.consoles.note(s.console, true, s.w.Now())
	console, body := s.console, slices.Clone(b[wire.HeaderLen:h.Size()])
	var ctx context.Context
	ctx, console.stop = context.WithCancelCause(s.proxy.ctx)
	s.proxy.spawn(func(context.Context) {
		answer := console.Message(ctx, h.Type, body)
		s.w.Post(reactor.TaskFunc(func() { s.consoleAnswered(answer) }))
	})
	return h.Size()
}

func (s *session) consoleAnswered(answer []byte) {
	if s.state != stateConsole {
		return // leaving has ended the context
	}
	s.console.stop(nil)
	s.console.stop = nil
	s.proxy.consoles.note(s.console, false, s.w.Now())
	s.client.Send(answer)
	s.client.Resume()
	s.console.due = true
	s.become(stateConsole)
}

// consoleTimeUp ends the session of a client that doesn't read its answer.
func (s *session) consoleTimeUp() {
	if s.client.Buffered() > 0 {
		s.clientGone("console client doesn't read")
		return
	}
	s.console.due = false
	s.rearm()
}

// interrupt ends what is being done for the client, if anything is.
func (c *consoleClient) interrupt(why error) {
	if c.stop != nil {
		c.stop(why)
	}
}

// end is the end of the session.
func (c *consoleClient) end() {
	c.session.proxy.consoles.leave(c)
	c.interrupt(nil)
	c.Close()
}
