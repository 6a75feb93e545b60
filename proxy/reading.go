package proxy

import (
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
// matters may do anything, and what is prepared isn't shared with anybody.

// shift is what a statement may change of how later texts are read.
type shift uint8

const (
	shiftDialect   shift = 1 << iota // where strings end
	shiftMeaning                     // how constants are read in a statement that is prepared
	shiftPath                        // which tables and functions names are
	shiftTemporary                   // likewise, for this client alone: it has temporary ones

	shiftAll = shiftDialect | shiftMeaning | shiftPath | shiftTemporary
)

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
	if s.uncertain()&shiftDialect != 0 {
		return state.Dialect{Strings: state.StringsUnknown, Encoding: state.EncodingUnknown}
	}
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
	return r.dialect
}

// uncertain is what isn't certain now of how the client's next text is read.
// When the server owes nothing it has reported what decides on the dialect; the
// rest is known when the transaction is over.
func (s *session) uncertain() shift {
	r, x := &s.reading, &s.exchange
	if r.shifting == 0 || !x.settled() {
		return r.shifting
	}
	switch x.status {
	case wire.TxOpen, wire.TxFailed:
		return r.shifting &^ shiftDialect
	}
	r.shifting = 0
	return 0
}

// shift notes that something is sent that may change how later texts are read.
func (s *session) shift(d *deeds) {
	if d == nil {
		return
	}
	before := (s.uncertain() | d.shifts) &^ shiftTemporary
	s.reading.shifting |= d.shifts
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
	case state.KindCreateTemporary:
		return shiftTemporary
	case state.KindSet, state.KindReset:
	default:
		return 0
	}
	name := string(e.Name)
	switch path, decides := prepared.Decides(name); {
	case e.Bound[0] != 0, !state.Nameable(name): // it may be any
		return shiftAll
	case strings.EqualFold(name, "client_encoding"), strings.EqualFold(name, "standard_conforming_strings"):
		return shiftDialect | shiftMeaning
	case path:
		return shiftPath
	case decides:
		return shiftMeaning
	}
	return 0
}
