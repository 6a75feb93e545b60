package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os/user"
	"strconv"

	"carpool/proxy/auth"
	"carpool/proxy/reactor"
)

// Clients that others vouch for: an authority by a certificate, or the operating
// system. Neither asks the client anything.

// commonNameOf is the name in a client's certificate, if an authority has signed
// it that the configuration trusts.
func commonNameOf(state tls.ConnectionState) string {
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return ""
	}
	return state.PeerCertificates[0].Subject.CommonName
}

// vouchedByCertificate lets a client in whose certificate is the user's.
func (s *session) vouchedByCertificate(m *auth.NameMap, known bool) {
	l := s.login
	reason := ""
	switch {
	case !l.identity.Secure:
		reason = "TLS connection required"
	case l.commonName == "":
		reason = "TLS client certificate required"
	case !m.Allows(l.commonName, l.identity.User):
		reason = fmt.Sprintf("TLS certificate name mismatch: %q", l.commonName)
	case !known:
		reason = auth.ErrUnknownUser.Error()
	}
	s.vouched("certificate authentication failed", reason)
}

// vouchedBySystem lets a client in that belongs to the system's user of the
// right name. To find that name may take long.
func (s *session) vouchedBySystem(m *auth.NameMap, known bool) {
	const refusal = "unix socket login rejected"
	if !s.peer.unix {
		s.vouched(refusal, "the client doesn't come by a Unix socket")
		return
	}
	uid, err := peerUID(s.client.FD())
	if err != nil {
		s.vouched(refusal, err.Error())
		return
	}
	s.client.Pause()
	s.proxy.spawn(func(context.Context) {
		name, reason := "", ""
		if account, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err != nil {
			reason = err.Error()
		} else {
			name = account.Username
		}
		s.w.Post(reactor.TaskFunc(func() {
			if s.state != stateLogin {
				return
			}
			s.client.Resume()
			switch {
			case reason != "":
			case !m.Allows(name, s.login.identity.User):
				reason = fmt.Sprintf("the client is the system's user %q", name)
			case !known:
				reason = auth.ErrUnknownUser.Error()
			}
			s.vouched(refusal, reason)
		}))
	})
}

// vouched lets the client in, unless there is a reason not to, which is for the
// log.
func (s *session) vouched(refusal, reason string) {
	if reason == "" {
		s.loginEvent(s.login.machine.Authenticate(nil))
		return
	}
	ev := s.login.machine.Refuse(loginRejected(refusal, ""))
	ev.Cause = errors.New(reason)
	s.loginEvent(ev)
}
