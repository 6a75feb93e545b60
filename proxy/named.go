package proxy

import "carpool/proxy/state"

// namedDeeds are what a client's prepared statements with names of the protocol
// leave behind when they are executed, as far as they leave anything. nil is
// empty. It belongs to the session's loop.
type namedDeeds struct {
	of    map[string]*deeds
	size  int // about, in bytes
	swept int // what it was when it was swept last
}

// maxNamedDeeds is how many bytes of them are remembered for one client.
const maxNamedDeeds = 1 << 20

// find returns those of the statement called name; nil are none.
func (l *namedDeeds) find(name []byte) *deeds {
	if l == nil {
		return nil
	}
	return l.of[string(significant(name))]
}

// drop forgets those of the statement called name.
func (l *namedDeeds) drop(name string) {
	if l == nil {
		return
	}
	if d := l.of[name]; d != nil {
		l.size -= d.size(name)
		delete(l.of, name)
	}
}

// put remembers those of the statement called name; false if there is no room.
func (l *namedDeeds) put(name string, d *deeds, most int) bool {
	l.drop(name)
	if len(l.of) >= most || l.size+d.size(name) > maxNamedDeeds {
		return false
	}
	if l.of == nil {
		l.of = make(map[string]*deeds)
	}
	l.of[name] = d
	l.size += d.size(name)
	return true
}

// sweep forgets those of statements that aren't there: their preparation has
// failed, or they were closed. It does so if there is much to be forgotten.
func (l *namedDeeds) sweep(there func(name []byte) bool) {
	if l == nil || l.size < maxNamedDeeds/2 || l.size < l.swept+maxNamedDeeds/16 {
		return
	}
	for name := range l.of {
		if !there([]byte(name)) {
			l.drop(name)
		}
	}
	l.swept = l.size
}

// sweepNamed forgets what there is no statement for any more, when it is certain
// which there are.
func (s *session) sweepNamed() {
	if s.exchange.statements != nil {
		s.named.sweep(func(name []byte) bool {
			_, ok := s.names.names.Lookup(name)
			return ok
		})
	}
}

// size is about how many bytes they take under a name.
func (d *deeds) size(name string) int {
	const own, each = 256, 128
	size := own + len(d.text) + len(name)
	for i := range d.effects {
		e := &d.effects[i]
		size += each + len(e.Name) + len(e.Value) + len(e.Types)
	}
	return size
}

// rememberNamed remembers what a statement called name leaves behind; nil is
// nothing. A client that has more to be remembered than may be keeps its server.
func (s *session) rememberNamed(name string, d *deeds) {
	if d == nil {
		s.named.drop(name)
		return
	}
	if s.named == nil {
		s.named = &namedDeeds{}
	}
	most := int(s.proxy.translation.maxNames.Load())
	if s.named.put(name, d, most) {
		return
	}
	if x := &s.exchange; x.unsettled+x.changes == 0 {
		s.sweepNamed()
	}
	if !s.named.put(name, d, most) {
		s.remember().pin(state.HoldsUnknown, func() string { return "more prepared statements than can be followed" })
	}
}
