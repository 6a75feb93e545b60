package proxy

import (
	"bytes"

	"carpool/proxy/wire"
)

// boundDeeds are what a client's portals leave behind when they are executed.
// What they may leave is noted when they are bound; this is for what is known
// only once they are executed. Of portals with names the last one is followed
// that leaves anything.
type boundDeeds struct {
	own    *deeds // of the portal without a name
	named  *deeds
	portal uint64 // which one that is, see portalNumber
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

// put notes the deeds of a portal that is bound.
func (b *boundDeeds) put(portal []byte, d *deeds) {
	number := portalNumber(significant(portal))
	switch {
	case number == 0:
		b.own = d
	case d != nil:
		b.named, b.portal = d, number
	case b.portal == number:
		b.named, b.portal = nil, 0
	}
}

// find returns those of a portal; nil are none.
func (b *boundDeeds) find(portal []byte) *deeds {
	switch number := portalNumber(significant(portal)); number {
	case 0:
		return b.own
	case b.portal:
		return b.named
	}
	return nil
}

// bind notes what a portal leaves behind that is bound to a statement with deeds
// d, with the verdict on the Bind, which it returns.
func (s *session) bind(v verdict, portal []byte, d *deeds) verdict {
	if v == forward || v == replace {
		d = d.of(portal)
		s.bound.put(portal, d)
		s.exchange.attach(d)
		s.recovering = s.recovering || d.takesAway(s.startup)
		s.expectAll(d)
		s.shift(d)
	}
	return v
}

// clientExecute: of an Execute the portal's name is read, if it matters.
func (s *session) clientExecute(p *splice, h wire.Header) bool {
	var d *deeds
	if s.bound != (boundDeeds{}) {
		rest := p.rest()
		if len(rest) < h.Size() && h.Body <= maxNames {
			return false
		}
		portal, _, _ := bytes.Cut(rest[wire.HeaderLen:min(len(rest), h.Size())], []byte{0})
		d = s.bound.find(portal)
	}
	v := s.exchange.client(wire.Execute)
	if v == forward {
		s.exchange.attach(d)
		s.expectAll(d)
	}
	return s.apply(p, h, v, nil)
}
