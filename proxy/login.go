package proxy

import (
	"context"
	"log/slog"
	"strings"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy/auth"
	"carpool/proxy/reactor"
	"carpool/proxy/startup"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// login is what a session needs until its client is let in.
type login struct {
	session  *session
	settings *settings // that it began under
	machine  *startup.Machine
	identity startup.Identity
	spare    bool // it is on a descriptor kept back for the console
	console  bool // it is for the console
	own      bool // and comes from who runs this process
	// stop ends a TLS handshake that is under way on a goroutine; nil if none.
	stop context.CancelFunc
	// endpoint is what a login can be bound to: the certificate that the client
	// was shown. nil outside TLS.
	endpoint []byte
	// commonName is what the client's certificate says, if it is a good one.
	commonName string
	rule       auth.Rule // how it has to prove who it is

	// Of a user who is looked up by auth_query.
	asked   inquiryKey
	inquiry *inquiry // under way; nil if none

	secret    auth.Secret    // the user's; the zero value if it isn't known
	mechanism auth.Mechanism // by which it is proven; nil if it isn't

	older, younger *login // of the loop's logins under way
	waiting        bool   // it is among them
}

// end gives up a login that isn't through.
func (l *login) end(s *session) {
	s.w.logins.leave(l)
	if l.stop != nil {
		l.stop()
	}
	if f := l.inquiry; f != nil {
		l.inquiry = nil
		s.proxy.inquiries.withdraw(f, s)
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
	if s.proxy.Config().LogPoolerErrors {
		attrs := []any{slog.String("sqlstate", ev.Report.Code), slog.String("user", s.login.identity.User), slog.String("database", s.login.identity.Database)}
		if ev.Cause != nil {
			attrs = append(attrs, slog.String("cause", ev.Cause.Error()))
		}
		s.log().Warn("pooler error: "+ev.Report.Message, attrs...)
	}
	if ev.Cause != nil {
		s.unproven()
	}
	s.proxy.counters.refused(ev.Report.Code)
	s.disconnected(ev.Report.Message)
	s.client.Finish()
	s.leave(abandoned)
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

// refuse turns the client away in the course of its login.
func (s *session) refuse(r wire.Report) { s.loginEvent(s.login.machine.Refuse(r)) }

func (s *session) loginTimedOut() {
	l := s.login
	limit := s.proxy.Config().ClientLoginTimeout
	if l.inquiry != nil {
		s.refuse(loginTimedOut("client_login_timeout (server down)", limit))
		return
	}
	if l.stop != nil || s.client.Paused() {
		s.clientGone("client_login_timeout")
		return
	}
	s.refuse(loginTimedOut("client_login_timeout", limit))
}

// authenticated: the client is who it says. Now it is told whether the
// database exists and whether there is room.
func (s *session) authenticated() {
	s.w.logins.leave(s.login)
	s.noteSecret()
	id := &s.login.identity
	if s.login.console {
		s.openConsole()
		return
	}
	if s.proxy.refusing.Load() {
		s.refuse(notAccepting())
		return
	}
	if limit := s.proxy.Config().MaxClientConn; !s.proxy.admit(s, limit) {
		s.refuse(tooManyClients("max_client_conn", limit))
		return
	}
	if !s.proxy.Config().Reaches(id.User, id.Database) {
		s.refuse(databaseDenied(id.Database))
		return
	}
	if s.proxy.isDisabled(id.Database) {
		s.refuse(databaseDisabled(id.Database))
		return
	}
	r, ok := s.proxy.routeTo(id.Database, id.User)
	if !ok {
		s.refuse(noSuchDatabase(id.Database))
		return
	}
	t := r.terms.Load()
	private := t.purpose == purposePrivate || id.Replication != startup.NoReplication
	params, report, ok := s.requested(id, private)
	if !ok {
		s.proxy.leaveRoute(r)
		s.refuse(report)
		return
	}
	if report, ok := s.enterRoute(r, id.User); !ok {
		s.refuse(report)
		return
	}
	s.mode, s.purpose = t.mode, t.purpose
	s.ticket.Waiter, s.ticket.Home = s, s.w.ID()
	s.names.translation = s.proxy.translation
	s.private, s.replication = private, id.Replication != startup.NoReplication
	s.rules = t.rules
	if private {
		s.rules = &s.proxy.blind
	} else {
		s.startup = params
	}
	r.count(s.w).logins.Add(1)
	if s.private {
		s.params = params
		s.ticket.Variant = r.wantVariant(params)
		s.mode, s.purpose = config.PoolSession, purposePrivate
	} else if g := s.grantFor(t.dest.welcome.Load(), params); g != nil {
		s.welcomeWith(g, params)
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
	p, n := s.proxy, s.proxy.current.Load()
	wanted := make([]wire.Param, 0, len(id.Params)+1)
	for _, param := range id.Params {
		if n.ignored(param.Name) || strings.EqualFold(param.Name, "transaction_read_only") {
			// With Postgres the latter is of the login's own transaction alone.
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
	if s.proxy.Config().ApplicationNameAddHost {
		name += " - " + s.peer.String()
	}
	return name[:min(len(name), startup.MaxName)]
}

// enterRoute takes a place in the route, if the limits allow one more client.
func (s *session) enterRoute(r *route, user string) (wire.Report, bool) {
	t := r.tenant
	limit := t.maxClients.Load()
	if n := t.clients.Add(1); limit > 0 && n > limit {
		t.clients.Add(-1)
		s.proxy.leaveRoute(r)
		return tooManyClients("max_db_client_connections", int(limit)), false
	}
	account, ok := s.proxy.enterAccount(user)
	if !ok {
		t.clients.Add(-1)
		s.proxy.leaveRoute(r)
		return tooManyClients("max_user_client_connections", int(account.maxClients.Load())), false
	}
	r.pool.Attach()
	s.route, s.account = r, account
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
		r.tenant.clients.Add(-1)
		p.leaveAccount(s.account)
		r.pool.Detach()
		if s.private {
			r.leaveVariant(s.ticket.Variant)
		}
		p.leaveRoute(r)
	}
}

var (
	_ pool.Waiter[*server] = (*session)(nil)
	_ startup.Mechanism    = auth.Mechanism(nil)
)
