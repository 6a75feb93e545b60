package proxy

import (
	"bytes"
	"hash/maphash"

	"carpool/proxy/prepared"
	"carpool/proxy/wire"
)

// Statements whose result changes. Postgres refuses to execute a prepared
// statement that would return other columns than when it was prepared. Through
// a pooler a statement is prepared on several servers at several times, so a
// client might meet the refusal where it needn't, or columns that it doesn't
// expect where the refusal should be. What is known:
//
//   - of a server's copy, under which epoch of the schema it was prepared, and
//     its shape, if anybody has asked for it (prepared.Copy);
//   - of a client's name, the shape that the client was told (prepared.Name).
//
// What holds:
//
//  1. A client that relies on what it was told executes a copy only if that has
//     the shape it was told; the server sees to it that it keeps it. Copies of
//     unknown or another shape are prepared anew, and asked, first; if the shape
//     is still another, the client gets the refusal.
//  2. A client that wasn't told anything, or is told anew each time, never uses
//     a copy from an older epoch: it is prepared anew, ahead of the use.
//  3. What (2) doesn't see coming fails at once. If that is the first thing in a
//     transaction of its own, all that was sent is sent again behind a new
//     preparation, and the client doesn't notice.

// relies reports whether a client that binds a statement for a portal relies on
// what it was told of it before. rest is what it says next: somebody who asks
// for the portal's columns each time is told them each time. Who was told of
// the statement has made up his mind about formats, too. If he is about to be
// told, he relies on that.
func relies(n *prepared.Name, portal, rest []byte) bool {
	return (n.Shape.Rows != 0 || n.At != 0) && (n.Whole || !describesPortal(rest, portal))
}

// describesPortal reports whether the first message of rest describes a portal.
func describesPortal(rest, portal []byte) bool {
	h, ok, valid := wire.ParseHeader(rest)
	if !ok || !valid || h.Type != wire.Describe || h.Size() > len(rest) {
		return false
	}
	target, name, ok := wire.ParseTarget(rest[wire.HeaderLen:h.Size()])
	return ok && target == 'P' && bytes.Equal(name, portal)
}

// fits reports whether a copy of a shape is what the client was told of.
func fits(n *prepared.Name, c *prepared.Copy) bool {
	if n.Whole {
		return n.Shape == c.Shape
	}
	return n.Shape.Rows == c.Shape.Rows
}

// fresh reports whether no change of the schema is known since the copy was
// prepared.
func (x *exchange) fresh(c *prepared.Copy) bool { return c.At != 0 && c.Epoch == x.schema.now() }

// ready sees to it that the server has a copy of a statement that the client
// may use now, appending what the server needs for that. The verdict is replace
// if it is there, hold until the server has told its shape, and refused if it
// is none that the client may use. direct: the copy was there before.
func (x *exchange) ready(dst []byte, n *prepared.Name, relying bool) (out []byte, v verdict, direct bool) {
	x.statements.choose(n)
	cache := x.statements.cache
	probed := x.probing == n && x.probed == n.Statement // or else it means something else by now
	x.probing = nil
	has := cache.Has(n.Statement)
	c := cache.Copy(n.Statement)
	told := has && c.At != 0 && c.At == n.At // of this very copy
	if relying = relying && (told || n.Shape.Rows != 0); relying {
		x.keeping = false // what is sent again may find another result
	}
	switch {
	case !relying && has && x.fresh(c):
		x.tally.hits++
		return dst, replace, true
	case !relying:
		n.Statement.Retain()
		return x.prepare(dst, n.Statement, swallow, nil, ""), replace, false
	case told, has && fits(n, c):
		x.tally.hits++
		return dst, replace, false
	case probed && x.probes > 0:
		x.probing = n
		return dst, hold, false
	case probed:
		return dst, refused, false
	}
	return x.probe(dst, n), hold, false
}

// probe appends what gives the server a new copy of a statement and has it tell
// its shape. The client's message is held until then.
func (x *exchange) probe(dst []byte, n *prepared.Name) []byte {
	n.Statement.Retain()
	dst = x.prepare(dst, n.Statement, swallow, nil, "")
	at := x.statements.cache.Copy(n.Statement).At
	x.batch, x.probing, x.probed = true, n, n.Statement
	x.push(pending{kind: kindDescribe, treatment: swallow, renamed: true, uses: n.Statement, learns: true, whole: true, probe: true, at: at})
	return appendDescribe(dst, n.Statement.Name())
}

// bound notes which statement a portal is made of, for a Describe behind.
func (x *exchange) bound(portal []byte, n *prepared.Name) {
	x.portal = boundPortal{of: n, at: x.statements.cache.Copy(n.Statement).At, name: portalNumber(portal)}
}

// boundPortal is the portal that was bound last.
type boundPortal struct {
	of   *prepared.Name // nil: none that is known of
	at   uint64         // the preparation it was made of
	name uint64         // see portalNumber
}

// portalSeed makes numbers of portals unpredictable.
var portalSeed = maphash.MakeSeed()

// portalNumber stands for a portal's name; 0 for the one without.
func portalNumber(name []byte) uint64 {
	if len(name) == 0 {
		return 0
	}
	return maphash.Bytes(portalSeed, name)
}

// describePortal decides on a Describe of a portal. Its answer is looked into
// only if it may be news.
func (x *exchange) describePortal(name []byte) verdict {
	v := x.client(wire.Describe)
	n := x.portal.of
	if v != forward || n == nil || x.portal.name != portalNumber(name) || n.Statement.Varies() {
		return v
	}
	c := x.statements.cache.Copy(n.Statement)
	p := &x.queue[len(x.queue)-1]
	p.uses = n.Statement
	p.tells(n, x.portal.at)
	p.learns = c == nil || c.At != x.portal.at || c.Shape.Rows == 0 || c.Shape.Rows != n.Shape.Rows
	return v
}

// tells notes that p tells the client of a preparation. If it hasn't been told
// anything before, it relies on that from now on; otherwise on what it knows
// until the answer is there, for that may never come.
func (p *pending) tells(n *prepared.Name, at uint64) {
	p.as, p.at = n, at
	if n.Shape.Rows == 0 {
		n.At = at
	}
}

// describes reports whether what the next answer says of rows and parameters is
// looked at: its shape is to be noted, or it may have to be withheld.
func (x *exchange) describes() bool {
	p := x.front()
	return p != nil && (p.learns || p.heals)
}

// learn notes what the server says of a statement's rows in answer to p.
func (x *exchange) learn(p *pending, description []byte) {
	if !p.learns || x.statements == nil {
		return
	}
	rows := prepared.ShapeOfRows(description)
	if c := x.statements.cache.Copy(p.uses); c != nil && c.At == p.at {
		c.Shape.Rows = rows
		if p.whole {
			c.Shape.Params = x.params
		}
	}
	if n := p.as; n != nil {
		n.At, n.Shape.Rows = p.at, rows
		if p.whole {
			n.Shape.Params, n.Whole = x.params, true
		}
	}
}

// surprised: the server has refused a copy for returning other columns now. If
// it was thought fresh, the schema has changed behind our back.
func (x *exchange) surprised(s *prepared.Statement) {
	if x.statements == nil || s == nil {
		return
	}
	if c := x.statements.cache.Copy(s); c != nil && x.fresh(c) {
		x.schema.changed()
	}
}

// first reports whether what comes next is the first thing that the server
// hears of in a transaction of its own.
func (x *exchange) first() bool {
	if x.status != wire.TxIdle || x.copyIn || x.begun {
		return false
	}
	for i := x.head; i < len(x.queue); i++ {
		p := &x.queue[i]
		ours := p.errand != errandNone && p.errand != errandBegin
		if !ours && p.treatment != makeUp {
			return false
		}
	}
	return true
}

// keep has all that goes to the server from the message noted last on be kept:
// should the server refuse that, it can be sent again.
func (x *exchange) keep() {
	x.queue[len(x.queue)-1].heals = true
	x.keeping, x.complete = true, false
}

// kept follows what is sent while it is kept.
func (x *exchange) kept(k kind) {
	switch {
	case x.complete, k == kindQuery, k == kindFunction, k == kindCopyEnd:
		x.keeping = false
	case k == kindSync:
		x.complete = true
	}
}

// heal appends what follows on verdict heal: the end of the batch that has
// failed, new preparations of what may be stale in it, and what was kept of it.
// What is owed to the client stays owed.
func (x *exchange) heal(dst, kept []byte) []byte {
	ahead := []pending{{kind: kindSync, treatment: swallow}}
	changes := 0
	if !x.complete {
		dst = wire.AppendEmpty(dst, wire.Sync) // or else the client's own, which comes again
	}
	for i := x.head; i < len(x.queue); i++ {
		s := x.queue[i].uses
		if s == nil {
			continue
		}
		c := x.statements.cache.Copy(s)
		if ahead, _ := s.Around(); c == nil || x.fresh(c) || x.parses(s) || ahead != "" {
			continue
		}
		was := *c
		*c = prepared.Copy{At: x.statements.catalog.Preparation(), Epoch: x.schema.now()}
		x.renumber(s, was.At, c.At)
		dst = s.AppendParse(s.AppendClose(dst))
		s.Retain()
		s.Retain()
		ahead = append(ahead,
			pending{kind: kindClose, treatment: swallow, statement: s},
			pending{kind: kindParse, treatment: swallow, renamed: true, statement: s, at: c.At})
		changes += 2
	}
	x.queue = append(x.queue[:x.head], append(ahead, x.queue[x.head:]...)...)
	if x.complete {
		x.unsettled += changes
	} else {
		x.changes += changes
	}
	return append(dst, kept...)
}

// maxWithheld is the longest ParameterDescription that is withheld, in bytes.
const maxWithheld = 1 << 10

// withholds reports whether part of the answer to p is kept back until it is
// certain that p isn't refused: Postgres describes a statement's parameters
// before it looks whether the result has changed.
func (x *exchange) withholds(p *pending, t byte, body []byte) bool {
	if t != wire.ParameterDescription || p.kind != kindDescribe || !x.keeping || len(body) > maxWithheld {
		return false
	}
	x.params = prepared.ShapeOfParams(body)
	x.withheld = append(wire.AppendHeader(x.withheld[:0], t, len(body)), body...)
	return true
}

// released appends what was withheld if it needn't be any longer. It comes
// before the server's message at hand.
func (x *exchange) released(dst []byte) []byte {
	if x.keeping || len(x.withheld) == 0 {
		return dst
	}
	dst = append(dst, x.withheld...)
	x.withheld = x.withheld[:0]
	return dst
}

// parses reports whether a Parse of s is owed an answer.
func (x *exchange) parses(s *prepared.Statement) bool {
	for i := x.head; i < len(x.queue); i++ {
		if p := &x.queue[i]; p.kind == kindParse && p.statement == s && p.treatment != makeUp {
			return true
		}
	}
	return false
}

// renumber has what was noted for one preparation of s stand for another.
func (x *exchange) renumber(s *prepared.Statement, from, to uint64) {
	for i := x.head; i < len(x.queue); i++ {
		p := &x.queue[i]
		if p.uses != s || p.at != from {
			continue
		}
		p.at = to
		p.learns = p.kind == kindDescribe
		if p.as != nil && p.as.At == from {
			p.as.At = to
		}
	}
	if x.portal.at == from {
		x.portal.at = to
	}
}
