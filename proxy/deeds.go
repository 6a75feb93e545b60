package proxy

import (
	"bytes"

	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// What a client's statements may leave behind in the session of a server. In
// transaction mode the text of every Query and Parse is read; nearly all leave
// nothing, and for these nothing more is done.

// deeds are what one text may leave behind. They are noted with the answers
// that are owed to it: what wasn't executed has left nothing.
type deeds struct {
	effects []state.Effect
	text    []byte // what they are parts of; only for its excerpts
	dialect state.Dialect
	// lone: the text is a statement and a transaction of its own.
	lone bool
	// large: the text is too long to be read, and may do anything that can be
	// asked for.
	large bool
	// potential is what a statement will leave behind that an SQL PREPARE among
	// the effects prepares, when it is executed.
	potential state.Holdings
	// leaves: there is more to them than what the journal of LISTEN is told.
	leaves bool
	// listens: they may change what the client listens on.
	listens bool
	// turns: what is sent behind them means something else when they are done.
	turns bool
	// apart: they belong to a portal with a name, whose execution isn't followed.
	apart bool
	// completed counts the statements of a Query that have been executed.
	completed int
}

// of are the deeds of a portal. One with a name may be executed after others
// have been bound.
func (d *deeds) of(portal []byte) *deeds {
	if d == nil || len(portal) == 0 || d.apart {
		return d
	}
	apart := *d
	apart.apart = true
	return &apart
}

// maxDeedText is how much of a text is kept for excerpts, in bytes.
const maxDeedText = 4 << 10

// maxRead is the longest message whose text is read, in bytes: reading takes a
// loop up to two nanoseconds a byte. What is longer may do anything.
const maxRead = 512 << 10

// readable is the longest message that is collected to be read.
func (s *session) readable() int { return min(maxRead, s.proxy.Config().MaxParseSize) }

// readText is read for texts of any length.
func (s *session) readText(text []byte, prepared bool) (d *deeds, refused string) {
	if len(text) > maxRead {
		return tooLarge(), ""
	}
	return s.read(text, prepared)
}

// read says what a text, without the zero at its end, may leave behind; nil is
// nothing. If a policy refuses it, refused is the setting's name. prepared is for
// the text of a Parse.
func (s *session) read(text []byte, prepared bool) (d *deeds, refused string) {
	dialect := s.dialect()
	effects := s.w.classifier.Classify(text, dialect)
	kept, leaves, listens, turns := s.w.effects[:0], false, false, false
	for i := range effects {
		e := &effects[i]
		if refused = s.rules.refusal(e); refused != "" {
			return nil, refused
		}
		if !prepared {
			s.expect(e)
		}
		matters := s.matters(e)
		leaves = leaves || matters
		listens = listens || changesChannels(e)
		turns = turns || s.turns(e)
		if matters || s.toldOf(e, prepared) {
			kept = append(kept, *e)
		}
	}
	s.w.effects = kept[:0]
	if len(kept) == 0 {
		return nil, ""
	}
	d = &deeds{
		effects: state.CloneEffects(nil, kept), dialect: dialect,
		text: append([]byte(nil), text[:min(len(text), maxDeedText)]...),
		lone: s.w.classifier.Statements() == 1, leaves: leaves, listens: listens, turns: turns,
	}
	clear(kept)
	for i := range d.effects {
		if e := &d.effects[i]; e.Kind == state.KindPrepare {
			for _, inner := range s.w.classifier.Classify(e.Value, dialect) {
				d.potential |= made(&inner)
			}
		}
	}
	return d, ""
}

// turns reports whether the client's next message can't be dealt with before it
// is known what became of an effect: which names statements have, and what
// parameters a RESET has taken to the server's values instead of the client's.
func (s *session) turns(e *state.Effect) bool {
	switch e.Kind {
	case state.KindPrepare, state.KindDeallocate, state.KindDeallocateAll:
		return true
	case state.KindReset, state.KindResetAll, state.KindDiscardAll:
		return s.startup.Len() > 0
	}
	return false
}

// matters reports whether an effect leaves anything behind that isn't ignored,
// or takes something away.
func (s *session) matters(e *state.Effect) bool {
	if e.Kind == state.KindChangeSchema && s.createsTemporary() {
		e.Kind = state.KindCreateTemporary
	}
	if e.Kind == state.KindSequenceRead {
		return s.rules.ignored&state.HoldsSequences == 0
	}
	return made(e)&^s.rules.ignored != 0 || e.Ends()&^s.rules.ignored != 0 || e.Kind == state.KindExecute
}

// createsTemporary reports whether what the client creates is temporary
// because of its search_path.
func (s *session) createsTemporary() bool {
	path, ok := s.params.Value("search_path")
	return ok && state.TemporaryFirst([]byte(path))
}

// made is what an effect may leave behind. What isn't known may be anything
// that can be asked for, and something that can't.
func made(e *state.Effect) state.Holdings {
	m := e.Makes()
	if e.Kind == state.KindUnsure && e.Reason == state.ReasonFunction {
		// What such a function leaves may be of a sort that only ends with the
		// session, as a connection is.
		return state.Askable() | state.HoldsUnknown | state.HoldsConnections
	}
	if m == state.HoldsAnything {
		return state.Askable() | state.HoldsUnknown
	}
	return m
}

// dialect is how the client's texts are read.
func (s *session) dialect() state.Dialect {
	if s.dialectOf != s.params || s.params == nil {
		s.dialectOf = s.params
		encoding, known := s.params.Value("client_encoding")
		s.reading = state.Dialect{Encoding: state.EncodingOf(encoding)}
		if !known {
			s.reading.Encoding = state.EncodingUnknown
		}
		if value, _ := s.params.Value("standard_conforming_strings"); value == "off" {
			s.reading.Strings = state.StringsEscape
		}
	}
	return s.reading
}

// tooLarge are the deeds of a text that is too long to be read.
func tooLarge() *deeds { return &deeds{large: true} }

// clientQuery: the text of a Query is read before it is passed on.
func (s *session) clientQuery(p *splice, h wire.Header) bool {
	var d *deeds
	if s.reads() && h.Body > 0 {
		rest := p.rest()
		switch {
		case len(rest) >= h.Size():
			var refused string
			if d, refused = s.readText(rest[wire.HeaderLen:h.Size()-1], false); refused != "" {
				return s.refuseQuery(p, h, refused)
			}
		case h.Size() <= maxInPlace:
			return false
		case h.Body <= s.readable():
			return s.beginCollecting(p, h)
		default:
			d = tooLarge()
		}
	}
	if s.uncertain(d) {
		return s.waitForServer(p)
	}
	if d != nil {
		d.lone = d.lone && s.exchange.undisturbed()
	}
	s.provide(p, d)
	v := s.exchange.client(wire.Query)
	if v == forward {
		s.unnamed.replaced() // it drops the statement without a name
		s.exchange.attach(d)
	}
	return s.apply(p, h, v, nil)
}

// refuseQuery has the server refuse a Query in the client's place.
func (s *session) refuseQuery(p *splice, h wire.Header, setting string) bool {
	x := &s.exchange
	switch {
	case x.full():
		return s.apply(p, h, hold, nil)
	case x.skipping:
		return s.apply(p, h, drop, nil)
	}
	s.unnamed.replaced()
	return s.apply(p, h, replace, x.doomQuery(p.insert(), setting))
}

// readParse reads the text in a Parse, of whose body there is at least the
// beginning.
func (s *session) readParse(body []byte, h wire.Header) (d *deeds, refused string) {
	if len(body) < h.Body {
		return tooLarge(), ""
	}
	_, rest, ok := wire.ParseStatement(body)
	if !ok {
		return nil, "" // the server will say so
	}
	text, _, _ := bytes.Cut(rest, []byte{0})
	return s.readText(text, true)
}

// readNamed reads the text in a Parse with a name, given its whole body. done
// is for one that a policy refuses.
func (s *session) readNamed(p *splice, h wire.Header, body []byte) (done, more bool) {
	name, _, ok := wire.ParseStatement(body)
	if !s.reads() || !ok || s.exchange.full() || s.exchange.skipping {
		return false, false
	}
	if _, taken := s.names.names.Lookup(name); taken {
		return false, false
	}
	if _, taken := s.sql.find(name); taken && s.exchange.statements != nil {
		return true, s.apply(p, h, replace, s.exchange.doom(p.insert(), kindParse, refuseDuplicate, name))
	}
	d, refused := s.readParse(body, h)
	if refused != "" {
		return true, s.refuseParse(p, h, refused)
	}
	s.provide(p, d)
	key := string(significant(name))
	if d == nil {
		delete(s.named, key)
		return false, false
	}
	if s.named == nil {
		s.named = make(map[string]*deeds)
	}
	if len(s.named) >= int(s.proxy.translation.maxNames.Load()) && s.named[key] == nil {
		r := s.remember()
		r.pin(state.HoldsUnknown, func() string { return "more prepared statements than can be followed" })
		return false, false
	}
	s.named[key] = d
	return false, false
}

// refuseParse has the server refuse a Parse in the client's place.
func (s *session) refuseParse(p *splice, h wire.Header, setting string) bool {
	x := &s.exchange
	switch {
	case x.full():
		return s.apply(p, h, hold, nil)
	case x.skipping:
		return s.apply(p, h, drop, nil)
	}
	return s.apply(p, h, replace, x.doom(p.insert(), kindParse, refuseState, []byte(setting)))
}

// bind notes what the portal that is bound leaves behind, with the verdict on
// its Bind, which it returns.
func (s *session) bind(v verdict, d *deeds) verdict {
	if v == forward || v == replace {
		s.bound = d
		s.exchange.attach(d)
		s.expectAll(d)
	}
	return v
}
