package proxy

import (
	"bytes"

	"carpool/proxy/prepared"
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
	// blind is what a large text leaves besides, of which nobody can ask.
	blind state.Holdings
	// potential is what a statement will leave behind that an SQL PREPARE among
	// the effects prepares, when it is executed.
	potential state.Holdings
	// potentiallyUnlisted: there may be parameters among that which no server lists.
	potentiallyUnlisted bool
	// potentialShifts is what it may change of how later texts are read.
	potentialShifts shift
	// home is under what a PREPARE among them is executed; nil if it isn't known.
	home *prepared.Meaning
	// numbers: they ask for what sequences have given before, or prepare a
	// statement that does.
	numbers bool
	// leaves: there is more to them than what the journal of LISTEN is told.
	leaves bool
	// listens: they may change what the client listens on.
	listens bool
	// turns: what is sent behind them means something else when they are done.
	turns bool
	// apart: they belong to a portal with a name, whose execution isn't followed.
	apart bool
	// shifts is what they may change of how later texts are read.
	shifts shift
	// dialects is what they set the parameters to that decide on the dialect, as
	// far as shifts hasn't that.
	dialects dialects
	// completed counts the statements of a Query that have been executed.
	completed int
}

// maxDeeds is how many effects of one text are followed. One with more may do
// anything that can be asked for, like one that isn't read.
const maxDeeds = 256

// maxDeedText is how much of a text is kept for excerpts, in bytes.
const maxDeedText = 4 << 10

// maxRead is the longest message whose text is read, in bytes: reading takes a
// loop up to two nanoseconds a byte. What is longer may do anything.
const maxRead = 512 << 10

// readable is the longest message that is collected to be read.
func (s *session) readable() int { return min(maxRead, s.proxy.Config().MaxParseSize) }

// denial is why a text isn't passed on; the zero value is no reason.
type denial struct {
	refusal refusal
	name    string // of the setting that refuses it, or of a statement
}

// readText is read for texts of any length.
func (s *session) readText(text []byte, prepared bool) (d *deeds, denied denial) {
	if len(text) > maxRead {
		return tooLarge(), denial{}
	}
	return s.read(text, prepared)
}

// read says what a text, without the zero at its end, may leave behind; nil is
// nothing. prepared is for the text of a Parse.
func (s *session) read(text []byte, prepared bool) (d *deeds, denied denial) {
	dialect := s.dialect()
	effects := s.w.classifier.Classify(text, dialect)
	kept, leaves, listens, turns, shifts, set := s.w.effects[:0], false, false, false, shift(0), dialects(0)
	for i := range effects {
		e := &effects[i]
		if denied = s.denies(e); denied.refusal != 0 {
			return nil, denied
		}
		if !prepared {
			s.expect(e)
		}
		matters := s.matters(e)
		leaves = leaves || matters
		listens = listens || changesChannels(e)
		turns = turns || e.Kind == state.KindPrepare || e.Kind == state.KindDeallocate || e.Kind == state.KindDeallocateAll
		h := shiftOf(e)
		if h&shiftDialect != 0 && e.Kind != state.KindUnsure {
			if l, known := s.leadsTo(e); known {
				set |= l
				h &^= shiftDialect
			}
		}
		shifts |= h
		if matters || e.Kind == state.KindChangeSchema || s.toldOf(e, prepared) {
			kept = append(kept, *e)
		}
	}
	s.w.effects = kept[:0]
	if len(kept) == 0 && shifts == 0 {
		return nil, denial{}
	}
	if len(kept) > maxDeeds {
		d = s.tooMany(kept)
		clear(kept)
		return d, denial{}
	}
	d = &deeds{
		effects: state.CloneEffects(nil, kept), dialect: dialect,
		text: append([]byte(nil), text[:min(len(text), maxDeedText)]...),
		lone: s.w.classifier.Statements() == 1, leaves: leaves, listens: listens, turns: turns,
		shifts: shifts, dialects: set,
	}
	clear(kept)
	for i := range d.effects {
		switch e := &d.effects[i]; e.Kind {
		case state.KindPrepare:
			for _, inner := range s.w.classifier.Classify(e.Value, dialect) {
				if denied = s.denies(&inner); denied.refusal != 0 {
					return nil, denied
				}
				d.potential |= made(&inner)
				d.potentiallyUnlisted = d.potentiallyUnlisted || unlisted(&inner)
				d.potentialShifts |= shiftOf(&inner)
				d.numbers = d.numbers || inner.Kind == state.KindSequenceRead && s.matters(&inner)
			}
		case state.KindSequenceRead:
			d.numbers = true
		}
	}
	if d.numbers {
		s.route.readsNumbers()
	}
	return d, denial{}
}

// tooMany are the deeds of a text with more effects than are followed.
func (s *session) tooMany(effects []state.Effect) *deeds {
	d := tooLarge()
	for i := range effects {
		e := &effects[i]
		d.blind |= made(e) &^ state.Askable()
		if unlisted(e) {
			d.blind |= state.HoldsParameters
		}
	}
	return d
}

// unlisted reports whether an effect may set a parameter that no server lists: a
// custom one.
func unlisted(e *state.Effect) bool {
	return (e.Kind == state.KindSet || e.Kind == state.KindReset) && made(e)&state.HoldsParameters != 0 &&
		(e.Bound[0] != 0 || !state.Nameable(string(e.Name)) || bytes.IndexByte(e.Name, '.') >= 0)
}

// denies says why a text with an effect isn't passed on. The statements that
// servers have for everybody don't exist for SQL.
func (s *session) denies(e *state.Effect) denial {
	if setting := s.rules.refusal(e); setting != "" {
		return denial{refuseState, setting}
	}
	if e.Kind == state.KindExecute && e.Scope == state.ScopeSession {
		one, _ := s.sql.find(e.Name) // prepared under other rules
		if setting := s.rules.refusalOf(one.makes); setting != "" {
			return denial{refuseState, setting}
		}
	}
	x := s.exchange.statements
	if x == nil || !bytes.HasPrefix(e.Name, []byte(x.reserved)) {
		return denial{}
	}
	switch e.Kind {
	case state.KindExecute, state.KindDeallocate:
		return denial{refuseUnknown, string(e.Name)}
	case state.KindPrepare:
		return denial{refuseDuplicate, string(e.Name)}
	}
	return denial{}
}

// matters reports whether an effect leaves anything behind that isn't ignored,
// or takes something away.
func (s *session) matters(e *state.Effect) bool {
	switch e.Kind {
	case state.KindSequenceRead:
		return s.rules.ignored&state.HoldsSequences == 0
	case state.KindCreateTemporary: // though it be dropped at the end, see temps
		return s.rules.ignored&state.HoldsTemporary == 0
	}
	return made(e)&^s.rules.ignored != 0 || e.Ends()&^s.rules.ignored != 0 || e.Kind == state.KindExecute
}

// made is what an effect may leave behind. What isn't known may be anything
// that can be asked for, and something that can't. What is created where
// search_path says may be temporary: the one that counts may have been set by
// the statement before, by a function, or for the user or the database.
func made(e *state.Effect) state.Holdings {
	m := e.Makes()
	if e.Placed {
		m |= state.HoldsTemporary
	}
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

// tooLarge are the deeds of a text that is too long to be read.
func tooLarge() *deeds { return &deeds{large: true, shifts: shiftAll} }

// clientQuery: the text of a Query is read before it is passed on.
func (s *session) clientQuery(p *splice, h wire.Header) bool {
	var d *deeds
	if s.reads() && h.Body > 0 {
		rest := p.rest()
		switch {
		case len(rest) >= h.Size():
			var denied denial
			if d, denied = s.readText(rest[wire.HeaderLen:h.Size()-1], false); denied.refusal != 0 {
				return s.refuseQuery(p, h, denied)
			}
		case h.Size() <= maxInPlace:
			return false
		case h.Body <= s.readable():
			return s.beginCollecting(p, h)
		default:
			d = tooLarge()
		}
	}
	if d != nil {
		d.lone = d.lone && s.exchange.undisturbed()
	}
	if s.unreadable(d) || !s.provide(p, d, false) {
		return s.waitForServer(p)
	}
	v := s.exchange.client(wire.Query)
	if v == forward {
		s.unnamed.replaced() // it drops the statement without a name
		s.exchange.attach(d)
		s.shift(d)
		s.recovering = s.recovering || d.takesAway(s.startup)
	}
	return s.apply(p, h, v, nil)
}

// refuseQuery has the server refuse a Query in the client's place.
func (s *session) refuseQuery(p *splice, h wire.Header, denied denial) bool {
	x := &s.exchange
	switch {
	case x.full():
		return s.apply(p, h, hold, nil)
	case x.skipping:
		return s.apply(p, h, drop, nil)
	}
	s.unnamed.replaced()
	return s.apply(p, h, replace, x.doomQuery(p.insert(), denied))
}

// readParse reads the text in a Parse, of whose body there is at least the
// beginning.
func (s *session) readParse(body []byte, h wire.Header) (d *deeds, denied denial) {
	if len(body) < h.Body {
		return tooLarge(), denial{}
	}
	_, rest, ok := wire.ParseStatement(body)
	if !ok {
		return nil, denial{} // the server will say so
	}
	text, _, _ := bytes.Cut(rest, []byte{0})
	return s.readText(text, true)
}

// readNamed reads the text in a Parse with a name, given its whole body. done
// is for one that is refused.
func (s *session) readNamed(p *splice, h wire.Header, body []byte) (done, more bool) {
	name, _, ok := wire.ParseStatement(body)
	if !s.reads() || !ok || s.exchange.full() || s.exchange.skipping {
		return false, false
	}
	if s.exchange.statements != nil && (s.exchange.unsettled > 0 || s.asksForStatements()) {
		return true, s.waitForServer(p) // see lookup
	}
	if _, taken := s.names.names.Lookup(name); taken {
		return false, false
	}
	if s.exchange.changes > 0 && s.named.find(name) != nil {
		return true, s.waitForServer(p) // an error may yet take back that it was closed
	}
	if _, taken := s.sql.find(name); taken && s.exchange.statements != nil {
		return true, s.apply(p, h, replace, s.exchange.doom(p.insert(), kindParse, refuseDuplicate, name))
	}
	d, denied := s.readParse(body, h)
	if denied.refusal != 0 {
		return true, s.refuseParse(p, h, denied)
	}
	if s.unreadable(d) || !s.provide(p, d, true) {
		return true, s.waitForServer(p)
	}
	s.rememberNamed(string(significant(name)), d)
	return false, false
}

// refuseParse has the server refuse a Parse in the client's place.
func (s *session) refuseParse(p *splice, h wire.Header, denied denial) bool {
	x := &s.exchange
	switch {
	case x.full():
		return s.apply(p, h, hold, nil)
	case x.skipping:
		return s.apply(p, h, drop, nil)
	}
	return s.apply(p, h, replace, x.doom(p.insert(), kindParse, denied.refusal, []byte(denied.name)))
}
