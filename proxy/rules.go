package proxy

import (
	"time"

	"carpool/config"
	"carpool/proxy/state"
)

// rules are what applies to the state that a client's statements leave behind,
// under one configuration. They never change.
type rules struct {
	// blind: no text is read, since nothing is to be done about any.
	blind bool
	// ignored and refused are the kinds of state with such a policy.
	ignored, refused state.Holdings
	// general are the kinds whose policy is that of session_state.
	general config.StateKindSet
	// suspicious: after a statement that may do anything the server is asked.
	suspicious bool
	// every asks after one in so many transactions whatever the text; 0 is never.
	every int
	// multiplex: what clients listen on goes over to one connection for all.
	multiplex bool
	// listenQueue is how many notifications may wait for one client.
	listenQueue int
	// deferBegin: a BEGIN is answered before a server has seen it.
	deferBegin bool
	// logAfter is how long a pin lasts before it is logged; 0 is never.
	logAfter time.Duration
}

// holding is the state that a policy's kind is about.
func holding(kind config.StateKind) state.Holdings {
	switch kind {
	case config.StateParameters:
		return state.HoldsParameters
	case config.StateStatements:
		return state.HoldsStatements
	case config.StateCursors:
		return state.HoldsCursors
	case config.StateListen:
		return state.HoldsListens
	case config.StateTemporary:
		return state.HoldsTemporary
	case config.StateLocks:
		return state.HoldsAdvisoryLocks
	case config.StateLibraries:
		return state.HoldsLibraries
	case config.StateSequences:
		return state.HoldsSequences
	case config.StateSeed:
		return state.HoldsSeed
	case config.StateConnections:
		return state.HoldsConnections
	}
	return state.HoldsUnknown
}

// kindsIn yields the kinds in a set of holdings, in their order.
func kindsIn(h state.Holdings) func(func(config.StateKind) bool) {
	return func(yield func(config.StateKind) bool) {
		for kind := range config.StateKinds {
			if h&holding(kind) != 0 && !yield(kind) {
				return
			}
		}
	}
}

// kindNames are the names of the kinds in h, as SHOW PINS has them.
func kindNames(h state.Holdings) string {
	names := ""
	for kind := range kindsIn(h) {
		if names != "" {
			names += ","
		}
		names += kind.String()
	}
	return names
}

func rulesOf(l *config.Resolved) *rules {
	r := &rules{
		suspicious: l.SessionAudit.Suspicious, every: l.SessionAudit.Every, logAfter: l.PinLogAfter, deferBegin: l.DeferredBegin,
		general: l.StateGeneral, multiplex: l.State[config.StateListen] == config.PolicyTransparent, listenQueue: l.ListenQueueSize,
	}
	for kind, policy := range l.State {
		switch policy {
		case config.PolicyIgnore:
			r.ignored |= holding(config.StateKind(kind))
		case config.PolicyReject:
			r.refused |= holding(config.StateKind(kind))
		}
	}
	r.blind = r.ignored == state.HoldsAnything|state.HoldsUnknown && r.every == 0
	return r
}

// refusal is the setting under which an effect is refused, or empty.
func (r *rules) refusal(e *state.Effect) string {
	return r.refusalOf(e.Makes())
}

// refusalOf is the same for what a statement leaves behind. One that may leave
// anything is a kind of its own.
func (r *rules) refusalOf(m state.Holdings) string {
	if r.refused == 0 {
		return ""
	}
	if m == state.HoldsAnything || m&state.HoldsUnknown != 0 {
		m = state.HoldsUnknown
	}
	for kind := range kindsIn(m & r.refused) {
		if r.general[kind] {
			return "session_state"
		}
		return "state_" + kind.String()
	}
	return ""
}
