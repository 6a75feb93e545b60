package proxy

import (
	"slices"
	"strings"

	"carpool/proxy/prepared"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// How a client's texts are read depends on its parameters: what a backslash and
// a byte beyond ASCII are, and which day 01/02/2024 is. Servers report the new
// value of a parameter when they are ready again, or not at all before the end
// of the transaction, and clients needn't wait for that. So from the moment
// that something is sent which may change one of these parameters, until the
// server has said what they are, the reading isn't certain: a text of which it
// matters waits for that, or, if it is in the same batch, may do anything; and
// what is prepared isn't shared with anybody.

// shift is what a statement may change of how later texts are read.
type shift uint8

const (
	shiftStrings  shift = 1 << iota // what a backslash in a string is
	shiftEncoding                   // which bytes are characters
	shiftMeaning                    // how constants are read in a statement that is prepared
	shiftPath                       // which tables and functions names are

	shiftDialect = shiftStrings | shiftEncoding // where strings end
	shiftAll     = shiftDialect | shiftMeaning | shiftPath
)

// encodings are sorts of client_encoding, by bits: what statements set it to.
// From one to another of the same sort nothing changes for the reading.
type encodings uint8

// without reports whether one of them is of another sort than now.
func (l encodings) without(now state.Encoding) bool {
	return l&^(1<<now) != 0 || l&(1<<state.EncodingUnknown) != 0
}

// encodes are the sorts of client_encoding that an effect on it leads to. A RESET
// leads to the server's own, and from there to the one the client came with.
func (s *session) encodes(e *state.Effect) encodings {
	const name, unknown = "client_encoding", 1 << state.EncodingUnknown
	switch {
	case !e.Exact || e.Bound != [3]uint16{} || !strings.EqualFold(string(e.Name), name) || s.server == nil:
	case e.Kind == state.KindSet:
		return 1 << state.EncodingOf(string(e.Value))
	case e.Kind == state.KindReset:
		first, known := s.server.base.Value(name)
		last, own := s.startup.Value(name)
		if !own {
			last = first
		}
		if known {
			return 1<<state.EncodingOf(first) | 1<<state.EncodingOf(last)
		}
	}
	return unknown
}

// reading is what is known of how a client's texts are read. It belongs to the
// session's loop; the zero value is certain of what the parameters say.
type reading struct {
	of      *state.Params // what dialect was made of
	dialect state.Dialect
	// shifting is what may have changed since the server was last idle.
	shifting shift
}

// dialect is how the client's next text is read.
func (s *session) dialect() state.Dialect {
	r := &s.reading
	if r.of != s.params || s.params == nil {
		r.of = s.params
		encoding, known := s.params.Value("client_encoding")
		r.dialect = state.Dialect{Encoding: state.EncodingOf(encoding)}
		if !known {
			r.dialect.Encoding = state.EncodingUnknown
		}
		if value, _ := s.params.Value("standard_conforming_strings"); value == "off" {
			r.dialect.Strings = state.StringsEscape
		}
	}
	d := r.dialect
	unsure := s.uncertain()
	if unsure&shiftStrings != 0 {
		d.Strings = state.StringsUnknown
	}
	if unsure&shiftEncoding != 0 {
		d.Encoding = state.EncodingUnknown
	}
	return d
}

// uncertain is what isn't certain now of how the client's next text is read.
// When the server owes nothing it has reported what decides on the dialect; the
// rest is known when the transaction is over.
func (s *session) uncertain() shift {
	r, x := &s.reading, &s.exchange
	switch {
	case r.shifting == 0 || !x.questioned():
		return r.shifting
	case x.status != wire.TxIdle: // what was changed may be rolled back
		return r.shifting &^ shiftDialect
	case !x.settled(): // the question may be what the rest is
		r.shifting &^= shiftDialect
		return r.shifting
	}
	r.shifting = 0
	return 0
}

// unreadable reports whether a text that was read as deeds has to wait, since it
// isn't certain how it is read. In a batch it can't: servers report parameters at
// its end.
func (s *session) unreadable(d *deeds) bool {
	x := &s.exchange
	return d != nil && !x.batch && !x.skipping && !x.copyIn && s.uncertain()&shiftDialect != 0 &&
		slices.ContainsFunc(d.effects, func(e state.Effect) bool { return e.Reason == state.ReasonAmbiguous })
}

// shift notes that something is sent that may change how later texts are read.
func (s *session) shift(d *deeds) {
	if d == nil {
		return
	}
	shifts := d.shifts
	if d.encodes.without(s.dialect().Encoding) {
		shifts |= shiftEncoding
	}
	before := s.uncertain() | shifts
	s.reading.shifting |= shifts
	for i := range d.effects {
		switch e := &d.effects[i]; {
		case e.Kind == state.KindExecute:
			s.reading.shifting |= s.shiftsBy(e.Name)
		case e.Kind == state.KindPrepare:
			if d.home = nil; before == 0 {
				d.home = s.names.now()
			}
		}
	}
}

// shiftsBy is what executing the statement called name may change.
func (s *session) shiftsBy(name []byte) shift {
	one, _ := s.sql.find(name)
	h := one.shifts
	if d := s.named.find(name); d != nil {
		h |= d.shifts
		if d.encodes != 0 {
			h |= shiftEncoding
		}
	}
	return h
}

// shiftOf is what an effect may change of how later texts are read. That of an
// EXECUTE is the statement's.
func shiftOf(e *state.Effect) shift {
	switch e.Kind {
	case state.KindUnsure:
		switch {
		case e.Reason == state.ReasonTemporaryPath:
			return shiftPath
		case made(e)&state.HoldsUnknown != 0:
			// The client keeps its server, and nobody else meets what is prepared
			// there: it is dropped when the client leaves.
			return shiftDialect
		}
		return shiftAll
	case state.KindResetAll, state.KindDiscardAll:
		return shiftAll
	case state.KindSet, state.KindReset:
	default:
		return 0
	}
	name := string(e.Name)
	switch path, decides := prepared.Decides(name); {
	case e.Bound[0] != 0, !state.Nameable(name): // it may be any
		return shiftAll
	case strings.EqualFold(name, "client_encoding"):
		return shiftEncoding | shiftMeaning
	case strings.EqualFold(name, "standard_conforming_strings"):
		return shiftStrings | shiftMeaning
	case path:
		return shiftPath
	case decides:
		return shiftMeaning
	}
	return 0
}
