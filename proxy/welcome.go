package proxy

import (
	"slices"
	"sync"

	"carpool/proxy/startup"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// welcome is what servers of a route report at login, for clients that don't
// wait for a server of their own.
type welcome struct {
	reported []wire.Param
	base     *state.Params // those that a client can change

	mu sync.Mutex
	// greetings are kept by what clients ask for. Sets are interned: the
	// pointer is the set.
	greetings map[*state.Params]*greeting
}

// greeting is what clients with the same wishes are greeted with. Only wishes
// that a server has granted get one, so a client that is greeted from here
// needn't wait until its own are tried.
type greeting struct {
	params   *state.Params // in the server's spelling
	statuses []byte        // ParameterStatus messages
}

// maxGreetings bounds the greetings kept; beyond it all are forgotten, and
// learnt again.
const maxGreetings = 1000

// greet returns the greeting for clients that ask for wanted, or nil if no
// server has granted that yet.
func (w *welcome) greet(wanted *state.Params) *greeting {
	w.mu.Lock()
	defer w.mu.Unlock()
	if g := w.greetings[wanted]; g != nil || wanted.Len() > 0 {
		return g
	}
	return w.keepLocked(wanted, w.base)
}

// granted notes that a server has granted wanted, as accepted.
func (w *welcome) granted(wanted, accepted *state.Params) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keepLocked(wanted, accepted)
}

func (w *welcome) keepLocked(wanted, accepted *state.Params) *greeting {
	if w.greetings == nil || len(w.greetings) >= maxGreetings {
		w.greetings = make(map[*state.Params]*greeting)
	}
	g := &greeting{params: accepted, statuses: appendStatuses(nil, w.reported, accepted)}
	w.greetings[wanted] = g
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

// refreshWelcome notes what a new server reports, and returns it.
func (d *destination) refreshWelcome(reported []wire.Param, base *state.Params) *welcome {
	if w := d.welcome.Load(); w != nil && w.base == base && slices.Equal(w.reported, reported) {
		return w
	}
	w := &welcome{reported: reported, base: base}
	d.welcome.Store(w)
	return w
}

// welcomeAs lets a client in with what servers of its route are known to
// report, without a server.
func (s *session) welcomeAs(w *welcome) {
	s.proxy.keys.add(s, 0, s.login.identity.ProtocolMinor)
	if g := w.greet(s.params); g != nil {
		s.params = g.params
		s.sendWelcome(g.statuses)
	} else {
		s.untried = &untried{welcome: w, wanted: s.params}
		s.params = s.overlay(w.base, s.params)
		s.sendWelcome(appendStatuses(nil, w.reported, s.params))
	}
	s.become(stateIdle)
}

// untried is what a client has asked for and no server has granted yet.
type untried struct {
	welcome *welcome
	wanted  *state.Params
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

// welcomeFrom lets a client in with what the server at hand reports. A client
// that doesn't keep it gives it back at once.
func (s *session) welcomeFrom(srv *server) {
	if !s.private {
		srv := s.unlink()
		s.welcomeAs(srv.welcome)
		srv.giveBack(upkeep{})
		s.client.Resume()
		return
	}
	s.params = srv.params
	s.proxy.keys.add(s, srv.up.PID, s.login.identity.ProtocolMinor)
	s.sendWelcome(appendStatuses(nil, srv.up.Params, s.params))
}

// sendWelcome sends everything up to the first ReadyForQuery.
func (s *session) sendWelcome(statuses []byte) {
	s.client.Send(startup.AppendWelcome(s.w.toClient[:0], statuses, s.key.pid, s.key.bytes()))
	s.route.count(s.w).clocks().welcomes.note(s.w.Now() - s.accepted)
	s.login = nil
}
