package proxy

import (
	"fmt"
	"os"

	"carpool/config"
	"carpool/proxy/auth"
	"carpool/proxy/reactor"
	"carpool/proxy/startup"
)

// identified: the client has said who it is. What may be known of the
// configuration before it has proven it is decided here: the limit on clients,
// and nothing else.
func (s *session) identified() {
	p, l := s.proxy, s.login
	l.console = config.IsConsole(l.identity.Database)
	if p.Config().LogConnections {
		id := &l.identity
		s.log().Info(fmt.Sprintf("login attempt: db=%s user=%s tls=%s replication=%s",
			id.Database, id.User, yesNo(id.Secure), yesNo(id.Replication != startup.NoReplication)))
	}
	if p.refusing.Load() && !l.console {
		s.refuse(notAccepting())
		return
	}
	if l.spare && !l.console {
		s.refuse(noDescriptors())
		return
	}
	n := p.current.Load()
	// A place is taken by who has proven who it is; but where there is none it
	// needn't come to that.
	if !l.console && p.clients.Load() >= int64(n.MaxClientConn) {
		s.refuse(tooManyClients("max_client_conn", n.MaxClientConn))
		return
	}
	s.lookUp(n)
}

// isOurOwn reports whether the client is the console's own user and comes by a
// Unix socket from the system's user that runs this process. As with PgBouncer it
// needs no password: whoever is that could do anything with this process.
func (s *session) isOurOwn() bool {
	l := s.login
	if !l.console || !s.peer.unix || !config.IsConsole(l.identity.User) {
		return false
	}
	uid, err := peerUID(s.client.FD())
	return err == nil && int64(uid) == int64(os.Geteuid())
}

// ruleFor is how a client has to prove who it is.
func (n *settings) ruleFor(s *session) auth.Rule {
	if n.AuthType != config.AuthHBA {
		return auth.Rule{Method: n.method}
	}
	id := &s.login.identity
	return n.hba.Rule(auth.Origin{
		Unix: s.peer.unix, Addr: s.peer.addr.Addr(), TLS: id.Secure,
		User: id.User, Database: id.Database, Physical: id.Replication == startup.PhysicalReplication,
	})
}

// lookUp finds the secret of the user that the client claims to be: among those
// of the configuration, or else by auth_query.
func (s *session) lookUp(n *settings) {
	l := s.login
	if l.own = s.isOurOwn(); l.own {
		s.loginEvent(l.machine.Authenticate(nil))
		return
	}
	if l.rule = n.ruleFor(s); l.rule.Method == auth.Reject {
		s.refuse(loginRejected("login rejected", "No rule of auth_hba_file lets in clients from there, or one keeps them out."))
		return
	}
	if secret, known := n.lookup(l.identity.User); known {
		s.challenge(secret, true)
		return
	}
	key, ok := n.inquiryFor(l.identity.Database, l.identity.User)
	if !ok || l.rule.Method == auth.Any {
		s.challenge(auth.Secret{}, false)
		return
	}
	l.asked = key
	q := s.proxy.inquiries
	if a, ok := q.remembered(key); ok {
		q.counters.remembered.Add(1)
		s.challenge(a.secret, a.known)
		return
	}
	s.client.Pause()
	l.inquiry = q.ask(key, s)
}

// inquired is the answer of an auth_query on its way to a session.
type inquired struct {
	session *session
	inquiry *inquiry
	found   found
}

// Run implements reactor.Task.
func (i inquired) Run(*reactor.Loop) {
	s := i.session
	if s.state != stateLogin || s.login.inquiry != i.inquiry {
		return
	}
	s.login.inquiry = nil
	s.client.Resume()
	if i.found.err != nil {
		s.refuse(inquiryFailed())
		return
	}
	s.challenge(i.found.secret, i.found.known)
}

// challenge has the client prove that it is the user whose secret this is.
func (s *session) challenge(secret auth.Secret, known bool) {
	l := s.login
	l.secret = secret
	switch l.rule.Method {
	case auth.Cert:
		s.vouchedByCertificate(l.rule.Map, known)
		return
	case auth.Peer:
		s.vouchedBySystem(l.rule.Map, known)
		return
	}
	user := l.identity.User
	mech, err := s.proxy.verifier.Mechanism(l.rule.Method, user, secret, known)
	if err != nil {
		s.unproven()
		s.refuse(loginRejected(fmt.Sprintf("login rejected: no such user: %q", user), ""))
		return
	}
	if mech == nil {
		s.loginEvent(l.machine.Authenticate(nil))
		return
	}
	l.mechanism = mech
	auth.Bind(mech, l.endpoint)
	s.loginEvent(l.machine.Authenticate(mech))
}

// unproven: the client couldn't prove who it is. What is remembered of the user
// may be old.
func (s *session) unproven() {
	if l := s.login; l.asked.settings != nil {
		s.proxy.inquiries.forget(l.asked, l.secret)
	}
}
