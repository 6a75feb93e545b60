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
	shiftStrings   shift = 1 << iota // what a backslash in a string is
	shiftEncoding                    // which bytes are characters
	shiftMeaning                     // how constants are read in a statement that is prepared
	shiftPath                        // which tables and functions names are
	shiftTemporary                   // likewise, for this client alone: it has temporary ones

	shiftDialect = shiftStrings | shiftEncoding // where strings end
	shiftAll     = shiftDialect | shiftMeaning | shiftPath | shiftTemporary
)

// dialects are what statements set the parameters to that decide on the dialect,
// by bits: the sort of client_encoding, and whether strings are as the standard
// has them. From one value to another of the same sort nothing changes for the
// reading.
type dialects uint16

const (
	stringsStandard dialects = 1 << (iota + 8)
	stringsEscape

	anyStrings  = stringsStandard | stringsEscape
	anyEncoding = stringsStandard - 1
)

// from is what may change with them for a session that reads as now.
func (l dialects) from(now state.Dialect) (h shift) {
	if now.Encoding == state.EncodingUnknown || l&anyEncoding&^(1<<now.Encoding) != 0 {
		h |= l.about() & shiftEncoding
	}
	same := dialects(0)
	switch now.Strings {
	case state.StringsConforming:
		same = stringsStandard
	case state.StringsEscape:
		same = stringsEscape
	}
	if l&anyStrings&^same != 0 {
		h |= shiftStrings
	}
	return h
}

// about is which of the parameters are set.
func (l dialects) about() (h shift) {
	if l&anyEncoding != 0 {
		h |= shiftEncoding
	}
	if l&anyStrings != 0 {
		h |= shiftStrings
	}
	return h
}

const (
	encodingName = "client_encoding"
	stringsName  = "standard_conforming_strings"
)

// dialectOf is what a value of one of these parameters stands for; 0 if that
// isn't known.
func dialectOf(name, value string) dialects {
	if name == encodingName {
		if e := state.EncodingOf(value); e != state.EncodingUnknown {
			return 1 << e
		}
		return 0
	}
	switch value {
	case "on":
		return stringsStandard
	case "off":
		return stringsEscape
	}
	return 0
}

// leadsTo is what the parameters may be behind an effect. A RESET leads to the
// server's own value, and from there to the one the client came with. known is
// false if it may be anything.
func (s *session) leadsTo(e *state.Effect) (l dialects, known bool) {
	if s.server == nil {
		return 0, false
	}
	known = true
	for _, name := range [...]string{encodingName, stringsName} {
		if !strings.EqualFold(string(e.Name), name) && e.Kind != state.KindResetAll && e.Kind != state.KindDiscardAll {
			continue
		}
		value, ok := s.server.base.Value(name)
		if e.Kind == state.KindSet {
			value, ok = string(e.Value), e.Exact && e.Bound == [3]uint16{}
		}
		one := dialectOf(name, value)
		known = known && ok && one != 0
		l |= one
		if own, has := s.startup.Value(name); has && e.Kind != state.KindSet {
			one = dialectOf(name, own)
			known = known && one != 0
			l |= one
		}
	}
	return l, known && l != 0
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
		encoding, known := s.params.Value(encodingName)
		r.dialect = state.Dialect{Encoding: state.EncodingOf(encoding)}
		if !known {
			r.dialect.Encoding = state.EncodingUnknown
		}
		if value, _ := s.params.Value(stringsName); value == "off" {
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
	shifts := d.shifts | d.dialects.from(s.dialect())
	before := (s.uncertain() | shifts) &^ shiftTemporary
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
		h |= d.shifts | d.dialects.about()
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
	case strings.EqualFold(name, encodingName):
		return shiftEncoding | shiftMeaning
	case strings.EqualFold(name, stringsName):
		return shiftStrings | shiftMeaning
	case path:
		return shiftPath
	case decides:
		return shiftMeaning
	}
	return 0
}
