package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy/auth"
	"carpool/proxy/reactor"
	"carpool/proxy/startup"
	"carpool/proxy/state"
	"carpool/proxy/wire"

	"golang.org/x/sys/unix"
)

// login is what a session needs until its client is let in.
type login struct {
	machine  *startup.Machine
	identity startup.Identity
	started  time.Duration
	console  bool // it is for the console
	// stop ends a TLS handshake that is under way on a goroutine; nil if none.
	stop context.CancelFunc
}

// end gives up a login that isn't through.
func (l *login) end() {
	if l.stop != nil {
		l.stop()
	}
}

// loginBytes feeds what the client has sent to the start-up machine.
func (s *session) loginBytes(b []byte) int {
	used := 0
	for used < len(b) && s.state == stateLogin && !s.client.Paused() {
		n, ev := s.login.machine.Feed(b[used:])
		used += n
		if ev.Kind == startup.DirectTLS {
			s.shakeHands(append([]byte(nil), b[used:]...))
			return len(b)
		}
		if ev.Kind == startup.More {
			s.sendLogin()
			break
		}
		s.loginEvent(ev)
	}
	if s.state == stateFarewell || s.state == stateClosed {
		return len(b)
	}
	return used
}

func (s *session) sendLogin() {
	if out := s.login.machine.Out(); len(out) > 0 {
		s.client.Send(out)
	}
}

// loginEvent does what the start-up machine says.
func (s *session) loginEvent(ev startup.Event) {
	s.sendLogin()
	switch ev.Kind {
	case startup.StartTLS:
		s.shakeHands(nil)
	case startup.CancelQuery:
		s.requestCancel(ev.Cancel)
	case startup.Identify:
		s.login.identity = ev.Identity
		s.identified()
	case startup.Work:
		s.client.Pause()
		s.proxy.spawn(func(context.Context) {
			ev.Work()
			s.w.Post(reactor.TaskFunc(s.workDone))
		})
	case startup.Authenticated:
		s.authenticated()
	case startup.Reject:
		s.turnedAway(ev)
	case startup.Drop:
		s.clientGone("client sent something that isn't this protocol")
	}
}

func (s *session) workDone() {
	if s.state != stateLogin {
		return
	}
	ev := s.login.machine.Resume()
	s.client.Resume()
	s.loginEvent(ev)
}

// turnedAway ends a session whose client has been told why already.
func (s *session) turnedAway(ev startup.Event) {
	if s.proxy.config.LogPoolerErrors {
		attrs := []any{slog.String("sqlstate", ev.Report.Code), slog.String("user", s.login.identity.User), slog.String("database", s.login.identity.Database)}
		if ev.Cause != nil {
			attrs = append(attrs, slog.String("cause", ev.Cause.Error()))
		}
		s.log().Warn("login refused: "+ev.Report.Message, attrs...)
	}
	s.proxy.counters.refused(ev.Report.Code)
	s.client.Finish()
	s.leave(abandoned)
}

// refuse turns the client away in the course of its login.
func (s *session) refuse(r wire.Report) { s.loginEvent(s.login.machine.Refuse(r)) }

func (s *session) loginTimedOut() {
	l := s.login
	if l.stop != nil || s.client.Paused() {
		s.clientGone("client_login_timeout")
		return
	}
	s.refuse(loginTimedOut(s.proxy.config.ClientLoginTimeout))
}

// identified: the client has said who it is. What may be known of the
// configuration before it has proven it is decided here: the limit on clients,
// and nothing else.
func (s *session) identified() {
	p, id := s.proxy, &s.login.identity
	s.login.console = config.IsConsole(id.Database)
	if p.stopping.Load() && !s.login.console {
		s.refuse(notAccepting())
		return
	}
	if !s.login.console && !p.admit(s) {
		s.refuse(tooManyClients("max_client_conn", p.config.MaxClientConn))
		return
	}
	secret, known := p.lookup(id.User)
	mech, err := p.verifier.Mechanism(p.method, id.User, secret, known)
	if err != nil {
		s.refuse(loginRejected(fmt.Sprintf("login rejected: no such user: %q", id.User), ""))
		return
	}
	if mech == nil {
		s.loginEvent(s.login.machine.Authenticate(nil))
		return
	}
	s.loginEvent(s.login.machine.Authenticate(mech))
}

// authenticated: the client is who it says. Now it is told whether the
// database exists and whether there is room.
func (s *session) authenticated() {
	id := &s.login.identity
	if s.login.console {
		s.openConsole()
		return
	}
	if s.proxy.stopping.Load() {
		s.refuse(notAccepting())
		return
	}
	r, ok := s.proxy.routeTo(id.Database, id.User)
	if !ok {
		s.refuse(noSuchDatabase(id.Database))
		return
	}
	private := r.mode == config.PoolSession || id.Replication != startup.NoReplication
	params, report, ok := s.requested(id, private)
	if !ok {
		r.clients.Add(-1)
		s.refuse(report)
		return
	}
	if report, ok := s.enterRoute(r, id.User); !ok {
		s.refuse(report)
		return
	}
	s.mode = r.mode
	s.ticket.Waiter, s.ticket.Home = s, s.w.ID()
	s.names.translation = s.proxy.translation
	s.private, s.replication = private, id.Replication != startup.NoReplication
	r.count(s.w).logins.Add(1)
	if s.private {
		s.params = params
		s.ticket.Variant = r.wantVariant(params)
		s.mode = config.PoolSession
	} else if w := r.welcome.Load(); w != nil {
		s.params = params
		s.welcomeAs(w)
		return
	}
	s.params = params
	s.become(stateWelcome)
	s.acquire()
}

// requested is what the client's start-up packet asks for. What goes into the
// start-up packet of a server of the client's own may be anything; what has to
// be set on servers that are up may not.
func (s *session) requested(id *startup.Identity, private bool) (*state.Params, wire.Report, bool) {
	p := s.proxy
	wanted := make([]wire.Param, 0, len(id.Params)+1)
	for _, param := range id.Params {
		if p.ignored(param.Name) {
			continue
		}
		if name, tracked := state.Canonical([]byte(param.Name)); tracked {
			param.Name = name
		}
		if param.Name == "application_name" {
			param.Value = s.applicationName(param.Value)
		}
		if !private && !state.Acceptable(param.Name, param.Value) {
			return nil, unacceptableParameter(param.Name), false
		}
		wanted = append(wanted, param)
	}
	if id.Replication != startup.NoReplication {
		value := "true"
		if id.Replication == startup.LogicalReplication {
			value = "database"
		}
		wanted = append(wanted, wire.Param{Name: "replication", Value: value})
	}
	params, ok := p.params.Of(wanted)
	if !ok {
		return nil, unacceptableParameter("options"), false
	}
	return params, wire.Report{}, true
}

// applicationName is what servers are told: printable ASCII, as they would
// make it themselves, and with the client's address if that is asked for.
func (s *session) applicationName(name string) string {
	name = state.CleanApplicationName(name, false)
	if s.proxy.config.ApplicationNameAddHost {
		name += " - " + s.peer.String()
	}
	return name[:min(len(name), startup.MaxName)]
}

// welcomeAs lets a client in with what servers of its route are known to
// report, without a server.
func (s *session) welcomeAs(w *welcome) {
	wanted := s.params
	s.params = s.overlay(w.base, wanted)
	if wanted.Len() > 0 {
		if accepted, ok := s.proxy.verified.find(s.params); ok {
			s.params = accepted
		} else {
			s.unverified = true
		}
	}
	s.proxy.keys.add(s, 0, s.login.identity.ProtocolMinor)
	s.sendWelcome(w.reported)
	s.become(stateIdle)
}

// overlay is base with what the client wants instead.
func (s *session) overlay(base, wanted *state.Params) *state.Params {
	params := base
	for p := range wanted.All() {
		if next, ok := s.proxy.params.With(params, p.Name, p.Value); ok {
			params = next
		}
	}
	return params
}

// welcomeFrom lets a client in with what the server at hand reports. A client
// that doesn't keep it gives it back at once.
func (s *session) welcomeFrom(srv *server) {
	if !s.private {
		w := s.route.welcome.Load()
		srv := s.unlink()
		s.welcomeAs(w)
		srv.giveBack(false)
		s.client.Resume()
		return
	}
	s.params = srv.params
	s.proxy.keys.add(s, srv.up.PID, s.login.identity.ProtocolMinor)
	s.sendWelcome(srv.up.Params)
}

// sendWelcome sends everything up to the first ReadyForQuery.
func (s *session) sendWelcome(reported []wire.Param) {
	list := make([]wire.Param, 0, len(reported))
	for _, p := range reported {
		if value, ok := s.params.Value(p.Name); ok {
			p.Value = value
		}
		list = append(list, p)
	}
	s.client.Send(startup.AppendWelcome(s.w.toClient[:0], list, s.key.pid, s.key.bytes()))
	if s.proxy.config.LogConnections {
		id := &s.login.identity
		s.log().Info("login", slog.String("requested", id.Database), slog.Bool("tls", id.Secure))
	}
	s.login = nil
}

// shakeHands takes the socket off the loop and lets a goroutine do the TLS
// handshake on it. prefix is what was read of it already.
func (s *session) shakeHands(prefix []byte) {
	s.client.Pause()
	// The loop may still be using the connection's buffers: detach it when
	// this round is over.
	s.w.Post(reactor.TaskFunc(func() { s.detachForTLS(prefix) }))
}

func (s *session) detachForTLS(prefix []byte) {
	if s.state != stateLogin {
		return
	}
	fd, _, ok := s.client.Detach()
	if !ok {
		s.clientGone("received unencrypted data after SSL request")
		return
	}
	ctx, stop := context.WithCancel(s.proxy.ctx)
	s.login.stop = stop
	s.proxy.spawn(func(context.Context) {
		defer stop()
		layer, err := handshake(ctx, fd, prefix, s.proxy.clientTLS.Load())
		if !s.w.Post(reactor.TaskFunc(func() { s.secured(fd, layer, err) })) {
			_ = unix.Close(fd)
		}
	})
}

// handshake is the server's side of a TLS handshake on a descriptor that no
// loop has. The descriptor stays open whatever comes of it.
func handshake(ctx context.Context, fd int, prefix []byte, cfg *tls.Config) (*reactor.TLS, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicating a socket: %w", err)
	}
	file := os.NewFile(uintptr(dup), "client")
	raw, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		return nil, fmt.Errorf("handing a socket to TLS: %w", err)
	}
	defer raw.Close() //nolint:errcheck // a duplicate
	feed := &reactor.Feed{Raw: raw, Prefix: prefix}
	conn := tls.Server(feed, cfg)
	// HandshakeContext would only close the feed, which ends no read.
	release := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer release()
	if err := conn.Handshake(); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", cmp.Or(ctx.Err(), err))
	}
	feed.Switch()
	return &reactor.TLS{Conn: conn, Feed: feed}, nil
}

// secured goes on with the login after the handshake.
func (s *session) secured(fd int, layer *reactor.TLS, err error) {
	if s.state != stateLogin {
		_ = unix.Close(fd)
		return
	}
	s.login.stop = nil
	if err == nil {
		err = s.w.AttachTLS(&s.client, fd, s, *layer)
	}
	if err != nil {
		_ = unix.Close(fd)
		s.proxy.log.Debug("client's TLS handshake didn't succeed", "client", s.peer.String(), "error", err)
		s.leave(abandoned)
		return
	}
	s.loginEvent(s.login.machine.Secured(layer.Conn.ConnectionState().NegotiatedProtocol))
}

// enterRoute takes a place in the route, if the limits allow one more client.
func (s *session) enterRoute(r *route, user string) (wire.Report, bool) {
	t := r.tenant
	if n := t.clients.Add(1); t.maxClients > 0 && n > int64(t.maxClients) {
		t.clients.Add(-1)
		r.clients.Add(-1)
		return tooManyClients("max_db_client_connections", t.maxClients), false
	}
	account, ok := s.proxy.enterAccount(user)
	if !ok {
		t.clients.Add(-1)
		r.clients.Add(-1)
		return tooManyClients("max_user_client_connections", account.maxClients), false
	}
	r.pool.Attach()
	s.route, s.account = r, account
	s.limits = r.limits
	if user != r.user {
		s.limits = timeLimitsOf(s.proxy.config.Resolve(&config.Database{}, user))
	}
	return wire.Report{}, true
}

// forget takes a session that leaves out of everything it is counted in.
func (p *Proxy) forget(s *session) {
	if !s.entered {
		return
	}
	s.entered = false
	s.w.leave(s)
	p.keys.remove(s)
	if s.admitted {
		p.clients.Add(-1)
	}
	if r := s.route; r != nil {
		r.clients.Add(-1)
		r.tenant.clients.Add(-1)
		p.leaveAccount(s.account)
		r.pool.Detach()
		if s.private {
			r.leaveVariant(s.ticket.Variant)
		}
	}
}

var (
	_ pool.Waiter[*server] = (*session)(nil)
	_ startup.Mechanism    = auth.Mechanism(nil)
)
