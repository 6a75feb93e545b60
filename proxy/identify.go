package proxy

import (
	"fmt"

	"carpool/config"
	"carpool/proxy/auth"
	"carpool/proxy/reactor"
)

// identified: the client has said who it is. What may be known of the
// configuration before it has proven it is decided here: the limit on clients,
// and nothing else.
func (s *session) identified() {
	p, l := s.proxy, s.login
	l.console = config.IsConsole(l.identity.Database)
	if p.refusing.Load() && !l.console {
		s.refuse(notAccepting())
		return
	}
	n := p.current.Load()
	if !l.console && !p.admit(s, n.MaxClientConn) {
		s.refuse(tooManyClients("max_client_conn", n.MaxClientConn))
		return
	}
	s.lookUp(n)
}

// lookUp finds the secret of the user that the client claims to be: among those
// of the configuration, or else by auth_query.
func (s *session) lookUp(n *settings) {
	l := s.login
	if secret, known := n.lookup(l.identity.User); known {
		s.challenge(n, secret, true)
		return
	}
	key, ok := n.inquiryFor(l.identity.Database, l.identity.User)
	if !ok || n.method == auth.Any {
		s.challenge(n, auth.Secret{}, false)
		return
	}
	l.asked = key
	q := s.proxy.inquiries
	if secret, ok := q.remembered(key); ok {
		s.challenge(n, secret, true)
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
	s.challenge(i.inquiry.key.settings, i.found.secret, i.found.known)
}

// challenge has the client prove that it is the user whose secret this is.
func (s *session) challenge(n *settings, secret auth.Secret, known bool) {
	l := s.login
	user := l.identity.User
	mech, err := s.proxy.verifier.Mechanism(n.method, user, secret, known)
	if err != nil {
		s.refuse(loginRejected(fmt.Sprintf("login rejected: no such user: %q", user), ""))
		return
	}
	l.secret = secret
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
