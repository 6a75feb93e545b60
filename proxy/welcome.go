package proxy

import (
	"slices"
	"sync"

	"carpool/pool"
	"carpool/proxy/startup"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// welcome is what servers of a route report at login, for clients that don't
// wait for a server of their own.
type welcome struct {
	reported []wire.Param
	base     *state.Params // those that a client can change, and what connect_query has set
	given    *state.Params // the latter alone

	mu sync.Mutex
	// grants are kept by what clients ask for, but for what they call themselves.
	// Sets are interned: the pointer is the set.
	grants map[*state.Params]*grant
}

// grant is what servers make of what clients ask for. Only wishes that a server
// has granted get one: whoever has others waits for a server to try them, and is
// told at once what it says to them.
type grant struct {
	params   *state.Params // in the server's spelling, freely but as servers begin with it
	statuses []byte        // ParameterStatus messages, but for freely
	super    string        // is_superuser among them, if a role was asked for
	given    *state.Params // what connect_query has set
}

// maxGrants bounds the grants kept; beyond it all are forgotten, and learnt
// again.
const maxGrants = 1000

// freely is the parameter that takes any value, once that has been cleaned: what
// clients call themselves, each as it likes, needn't be tried.
const freely = "application_name"

// superuserName is a report that follows the role.
const superuserName = "is_superuser"

// grantFor returns what servers are known to make of what the session's client
// asks for, nil if none has granted it yet. Who asks for nothing is granted it.
func (s *session) grantFor(w *welcome, wanted *state.Params) *grant {
	if w == nil {
		return nil
	}
	wanted = s.proxy.params.Without(wanted, freely)
	w.mu.Lock()
	defer w.mu.Unlock()
	if g := w.grants[wanted]; g != nil || wanted.Len() > 0 {
		return g
	}
	return w.keepLocked(wanted, w.base, "")
}

// keepGrant notes that a server has granted what the session's client asks for.
func (s *session) keepGrant(u *untried) *grant {
	all, w, accepted := &s.proxy.params, u.welcome, u.accepted
	if standard, ok := w.base.Value(freely); ok {
		accepted, _ = all.With(accepted, freely, standard)
	} else {
		accepted = all.Without(accepted, freely)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.keepLocked(all.Without(u.wanted, freely), accepted, u.super)
}

func (w *welcome) keepLocked(wanted, accepted *state.Params, super string) *grant {
	if w.grants == nil || len(w.grants) >= maxGrants {
		w.grants = make(map[*state.Params]*grant)
	}
	others := slices.DeleteFunc(slices.Clone(w.reported), func(p wire.Param) bool { return p.Name == freely })
	for i := range others {
		if others[i].Name == superuserName && super != "" {
			others[i].Value = super
		}
	}
	g := &grant{params: accepted, statuses: appendStatuses(nil, others, accepted), super: super, given: w.given}
	w.grants[wanted] = g
	return g
}

// appendStatuses appends what is reported, with the values in params where
// they differ.
func appendStatuses(dst []byte, reported []wire.Param, params *state.Params) []byte {
	for _, p := range reported {
		if value, ok := params.Value(p.Name); ok {
			p.Value = value
		}
		dst = wire.AppendParameterStatus(dst, p.Name, p.Value)
	}
	return dst
}

// refreshWelcome notes what a new server reports and was given by its connect
// query, and returns it.
func (d *destination) refreshWelcome(reported []wire.Param, base, given *state.Params) *welcome {
	for {
		before := d.welcome.Load()
		if before != nil && before.base == base && before.given == given && slices.Equal(before.reported, reported) {
			return before
		}
		if w := (&welcome{reported: reported, base: base, given: given}); d.welcome.CompareAndSwap(before, w) {
			return w
		}
	}
}

// untried is what a client asks for at its login and no server of its route has
// granted yet, while one is tried.
type untried struct {
	welcome *welcome
	wanted  *state.Params

	answered bool          // the server has said all it has to say
	accepted *state.Params // as it has granted them
	super    string        // is_superuser under the client's role, "" if it is as at the server's login
	refusal  *wire.Report  // its first words, if it hasn't
	// strangers: the refusal is about what another client has left on the server.
	strangers bool
}

// try finds out whether the server at hand grants what the client asks for. The
// client is let in, or told what is wrong with it, when the server has answered.
func (s *session) try(srv *server) {
	if g := s.grantFor(srv.welcome, s.params); g != nil {
		s.letIn(g, s.params)
		return
	}
	s.untried = &untried{welcome: srv.welcome, wanted: s.params}
	s.params = s.overlay(srv.welcome.base, s.params)
	if s.prime(srv) {
		s.pauseFor(statePriming)
		return
	}
	s.tried(nil)
	s.decide()
}

// tried: the server at hand grants what the client asks for, or refuses it.
func (s *session) tried(refusal *wire.Report) {
	s.untried.answered, s.untried.accepted, s.untried.refusal = true, s.params, refusal
	s.untried.super = s.server.super
}

// decided reports whether the server at hand has said what it makes of the
// client's wishes.
func (s *session) decided() bool { return s.untried != nil && s.untried.answered }

// decide lets the client in, or doesn't, by what the server has said.
func (s *session) decide() {
	u := s.untried
	s.untried = nil
	switch {
	case u.strangers:
		s.unlink().discard(pool.ReasonUnclean)
		s.params = u.wanted
		s.acquireAgain()
		return
	case u.refusal != nil:
		s.unlink().giveBack(upkeep{})
		s.reject(*u.refusal)
		return
	}
	s.letIn(s.keepGrant(u), u.wanted)
}

// letIn welcomes a client, and gives back the server at hand.
func (s *session) letIn(g *grant, wanted *state.Params) {
	srv := s.unlink()
	s.welcomeWith(g, wanted)
	srv.giveBack(upkeep{})
	s.client.Resume()
}

// welcomeWith lets a client in that keeps no server.
func (s *session) welcomeWith(g *grant, wanted *state.Params) {
	s.params, s.super = g.params, g.super
	if g.given != nil { // as if the client had brought it
		s.startup = s.overlay(g.given, s.startup)
	}
	if name, ok := wanted.Value(freely); ok {
		s.params, _ = s.proxy.params.With(s.params, freely, name)
	}
	s.proxy.keys.add(s, 0, s.login.identity.ProtocolMinor)
	name, _ := s.params.Value(freely)
	s.sendWelcome(g.statuses, wire.AppendParameterStatus(nil, freely, name))
	s.become(stateIdle)
}

// overlay is base with what the others have instead, the last of them first.
func (s *session) overlay(base *state.Params, others ...*state.Params) *state.Params {
	params := base
	for _, other := range others {
		for p := range other.All() {
			if next, ok := s.proxy.params.With(params, p.Name, p.Value); ok {
				params = next
			}
		}
	}
	return params
}

// welcomeFrom lets a client in that keeps the server at hand, with what that one
// reports.
func (s *session) welcomeFrom(srv *server) {
	s.params = srv.params
	s.proxy.keys.add(s, srv.up.PID, s.login.identity.ProtocolMinor)
	s.sendWelcome(appendStatuses(nil, srv.up.Params, s.params))
}

// sendWelcome sends everything up to the first ReadyForQuery.
func (s *session) sendWelcome(statuses ...[]byte) {
	s.client.Send(startup.AppendWelcome(s.w.toClient[:0], s.key.pid, s.key.bytes(), statuses...))
	s.route.count(s.w).clocks().welcomes.note(s.w.Now() - s.accepted)
	s.login = nil
}
