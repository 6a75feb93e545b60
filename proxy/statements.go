package proxy

import (
	"bytes"
	"sync/atomic"

	"carpool/proxy/prepared"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// statements is what an exchange needs to translate statement names: the
// client's names, the server's cache, and what is shared by all.
type statements struct {
	*translation
	names prepared.Names
	cache *prepared.Cache
	// params are the client's, for what they say of what its queries mean.
	params *state.Params
	meant  meant
}

// translation is what all clients share in translating statement names.
type translation struct {
	catalog *prepared.Catalog
	// reserved begins every server-side name. A client that uses such a name of
	// its own accord, in the protocol or in SQL, must not reach anybody's
	// statement.
	reserved string
	// maxNames is how many statements one client may keep.
	maxNames atomic.Int64
}

// changedResult reports whether an error says that a statement returns other
// columns than when it was prepared, as after a migration. The message is
// translated, where it comes from isn't.
func changedResult(r *wire.Report) bool {
	return r.Code == "0A000" && r.Routine == "RevalidateCachedQuery"
}

// maxNameLen is how much of a statement's name Postgres looks at, in bytes.
const maxNameLen = 63

func significant(name []byte) []byte { return name[:min(len(name), maxNameLen)] }

// refusal is an error of ours that takes the place of the server's.
type refusal uint8

const (
	refuseDuplicate refusal = iota + 1 // 42P05
	refuseUnknown                      // 26000
	refuseTooMany                      // max_client_prepared_statements
	refuseState                        // a policy on what statements leave behind
	refuseAborted                      // 25P02
	refuseResult                       // a statement returns other columns than the client was told
)

// ofText reports whether a server refuses anything but the end of a failed
// transaction before it would come to this refusal.
func (r refusal) ofText() bool { return r != refuseUnknown }

// parse decides on a Parse message, given its whole body.
func (x *exchange) parse(dst, body []byte) ([]byte, verdict) {
	if x.full() {
		return dst, hold
	}
	if x.skipping {
		return dst, drop
	}
	s := x.statements
	name, rest, ok := wire.ParseStatement(body)
	if s == nil || !ok || len(name) == 0 {
		return dst, x.client(wire.Parse) // what is malformed the server will say
	}
	if x.unsettled > 0 {
		return dst, hold
	}
	if x.aborted() && !mayEnd(rest) {
		return x.doom(dst, kindParse, refuseAborted, name), replace
	}
	if _, taken := s.names.Lookup(name); taken {
		return x.doom(dst, kindParse, refuseDuplicate, name), replace
	}
	if s.names.Len() >= int(s.maxNames.Load()) {
		return x.doom(dst, kindParse, refuseTooMany, name), replace
	}
	x.batch = true
	statement := s.intern(rest)
	own := string(significant(name))
	n := s.names.Set(own, statement)
	n.Home = s.certain()
	n.Seen = n.Home
	if s.meant.unsure == 0 && s.cache.Has(statement) && x.fresh(s.cache.Copy(statement)) && !x.mayFail() {
		x.tally.hits++
		x.push(pending{kind: kindParse, treatment: makeUp, statement: statement, as: n, name: own})
		return dst, drop
	}
	return x.prepare(dst, statement, passOn, n, own), replace
}

// aborted reports whether the server refuses what comes next because the
// transaction has failed. What is under way may end that.
func (x *exchange) aborted() bool { return x.status == wire.TxFailed && x.empty() && !x.batch }

// mayFail reports whether a transaction of the client's may have failed by what
// is still unanswered from before the present batch. It may have begun by a Query;
// a batch by which it begins nobody goes on behind without waiting.
func (x *exchange) mayFail() bool {
	for i := x.head; i < len(x.queue); i++ {
		p := &x.queue[i]
		if p.errand == errandNone && (p.kind == kindQuery || p.kind == kindSync && x.status != wire.TxIdle) {
			return true
		}
	}
	return false
}

// mayEnd reports whether a text may be one that ends a transaction, which is
// all that is prepared in one that has failed.
func mayEnd(text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n\f\v")
	if len(text) == 0 {
		return true
	}
	switch text[0] | 0x20 {
	case 'r', 'a', 'c', 'e', 'p', '-' | 0x20, '/' | 0x20, 0x20:
		return true
	}
	return false
}

// prepare appends the Parse that gives the server a new copy of a statement,
// and the Close of the old one, or of the statement that has to make room. The
// entry takes over the caller's reference to the statement.
func (x *exchange) prepare(dst []byte, statement *prepared.Statement, t treatment, n *prepared.Name, name string) []byte {
	cache := x.statements.cache
	closed := statement
	if cache.Has(statement) {
		statement.Retain()
	} else {
		if closed = cache.Add(statement); closed != nil {
			x.tally.evictions++
		}
	}
	x.tally.misses++
	if closed != nil {
		dst = closed.AppendClose(dst)
		x.push(pending{kind: kindClose, treatment: swallow, statement: closed})
	}
	c := cache.Copy(statement)
	*c = prepared.Copy{At: x.statements.catalog.Preparation(), Epoch: x.schema.now()}
	ahead, behind := statement.Around()
	if ahead != "" {
		dst = x.command(dst, x.statements.reserved, ahead, errandMeaning, "")
	}
	x.push(pending{kind: kindParse, treatment: t, renamed: true, statement: statement, as: n, name: name, at: c.At})
	if behind == "" {
		return statement.AppendParse(dst)
	}
	return x.command(statement.AppendParse(dst), x.statements.reserved, behind, errandMeaning, "")
}

// doom appends a message that is certain to fail, so that the server's error
// state and transaction are what they would be had it refused the client's
// own, and notes which error the client gets instead.
func (x *exchange) doom(dst []byte, k kind, r refusal, name []byte) []byte {
	x.batch = true
	x.push(pending{kind: k, treatment: substitute, refusal: r, name: string(significant(name))})
	return appendDescribe(dst, x.statements.reserved+"_0") // numbers begin at 1
}

// doomQuery does the same for a Query. What is sent is no SQL, so the server
// refuses it in every state.
func (x *exchange) doomQuery(dst []byte, denied denial) []byte {
	x.batch = false
	x.push(pending{kind: kindQuery, treatment: substitute, refusal: denied.refusal, name: denied.name})
	text := "carpool refuses a statement"
	if denied.refusal == refuseState {
		text += ": " + denied.name
	}
	return wire.AppendQuery(dst, text)
}

func appendDescribe(dst []byte, statement string) []byte {
	dst = wire.AppendHeader(dst, wire.Describe, len(statement)+2)
	return wire.AppendString(append(dst, 'S'), statement)
}

// bind decides on a Bind message, given its names, and what the client says
// next as far as it has come. With verdict replace, what
// was appended stands for the header and the names, of namesLen bytes in the
// client's message whose body has bodyLen; the rest of the body is to follow
// if follow says so.
func (x *exchange) bind(dst, portal, name []byte, namesLen, bodyLen int, next []byte) (out []byte, v verdict, follow bool) {
	if x.full() {
		return dst, hold, false
	}
	if x.skipping {
		return dst, drop, false
	}
	x.portal.of = nil
	n, v := x.lookup(name)
	switch v {
	case hold:
		return dst, hold, false
	case forward:
		return dst, x.client(wire.Bind), true
	case refused:
		return x.doom(dst, kindBind, refuseUnknown, name), replace, false
	}
	relying := relies(n, portal, next)
	dst, v, direct := x.ready(dst, n, relying)
	switch v {
	case hold:
		return dst, hold, false
	case refused:
		return x.doom(dst, kindBind, refuseResult, name), replace, false
	}
	first := direct && x.first()
	server := n.Statement.Name()
	dst = wire.AppendHeader(dst, wire.Bind, bodyLen-namesLen+len(portal)+1+len(server)+1)
	dst = append(append(dst, portal...), 0)
	dst = wire.AppendString(dst, server)
	x.batch = true
	x.push(pending{kind: kindBind, renamed: true, uses: n.Statement})
	x.bound(portal, n)
	if first {
		x.keep()
	}
	return dst, replace, true
}

// describe decides on a Describe message, given its whole body.
func (x *exchange) describe(dst, body []byte) ([]byte, verdict) {
	if x.full() {
		return dst, hold
	}
	if x.skipping {
		return dst, drop
	}
	target, name, ok := wire.ParseTarget(body)
	switch {
	case ok && target == 'P' && x.statements != nil:
		return dst, x.describePortal(name)
	case !ok || target != 'S':
		return dst, x.client(wire.Describe)
	}
	n, v := x.lookup(name)
	switch v {
	case hold:
		return dst, hold
	case forward:
		return dst, x.client(wire.Describe)
	case refused:
		return x.doom(dst, kindDescribe, refuseUnknown, name), replace
	}
	dst, v, direct := x.ready(dst, n, n.Whole)
	switch v {
	case hold:
		return dst, hold
	case refused:
		return x.doom(dst, kindDescribe, refuseResult, name), replace
	}
	x.batch = true
	first := direct && x.first()
	p := pending{kind: kindDescribe, renamed: true, uses: n.Statement}
	if !n.Whole && !n.Statement.Varies() {
		p.learns, p.whole = true, true
		p.tells(n, x.statements.cache.Copy(n.Statement).At)
	}
	x.push(p)
	if first {
		x.keep()
	}
	return appendDescribe(dst, n.Statement.Name()), replace
}

// closeTarget decides on a Close message, given its whole body. A statement
// with a name of ours is only forgotten: the server keeps it for others.
func (x *exchange) closeTarget(body []byte) verdict {
	if x.full() {
		return hold
	}
	if x.skipping {
		return drop
	}
	target, name, ok := wire.ParseTarget(body)
	if !ok || target != 'S' {
		return x.client(wire.Close)
	}
	p := pending{kind: kindClose, treatment: makeUp}
	n, v := x.lookup(name)
	switch v {
	case hold:
		return hold
	case forward:
		return x.client(wire.Close) // it may have been made by SQL's PREPARE
	case replace:
		n.Statement.Retain()
		p.statement, p.as, p.name = n.Statement, n, string(significant(name))
		x.statements.names.Delete(name)
	}
	x.batch = true // closing what isn't there is no error
	x.push(p)
	return drop
}

// lookup finds what the client means by a statement name. The verdict is
// replace when it is known, forward when the name goes to the server as it is,
// hold when it isn't certain yet, and refused for a name that is ours.
//
// It isn't certain while the outcome of an earlier batch is open in which
// statements were prepared or closed: had a Parse there failed, or been
// skipped, the name would stand for something else, or the server not have what
// it seems to have.
func (x *exchange) lookup(name []byte) (*prepared.Name, verdict) {
	s := x.statements
	if s == nil || len(name) == 0 {
		return nil, forward
	}
	if x.unsettled > 0 {
		return nil, hold
	}
	n, known := s.names.Lookup(name)
	switch {
	case known:
		return n, replace
	case bytes.HasPrefix(name, []byte(s.reserved)):
		return nil, refused
	}
	return nil, forward
}

// takeBack undoes what was noted when p was sent, since the server skips it.
func (x *exchange) takeBack(p *pending) {
	s := x.statements
	if p.kind == kindDescribe && p.as != nil && p.as.Shape.Rows == 0 {
		p.as.At = 0 // the client isn't told
	}
	if s == nil || p.statement == nil || p.void {
		return
	}
	switch {
	case p.kind == kindParse && p.treatment == makeUp:
		s.names.Delete([]byte(p.name))
	case p.kind == kindParse:
		s.cache.Remove(p.statement)
		if p.name != "" {
			s.names.Delete([]byte(p.name))
		}
	case p.kind == kindClose && p.treatment == makeUp:
		s.names.Put(p.name, p.as)
	case p.kind == kindClose:
		s.cache.Restore(p.statement)
	}
}

var (
	tagDeallocateAll = []byte("DEALLOCATE ALL\x00")
	tagDiscardAll    = []byte("DISCARD ALL\x00")
	tagRollback      = []byte("ROLLBACK\x00")
	tagCommit        = []byte("COMMIT\x00")
)

// commandComplete looks for the commands that drop every prepared statement.
// What was sent behind them in the same go is prepared, and closed, after them.
//
// A Parse behind them that was answered from here because the server had the
// statement is prepared again when it is next used; a Bind that was already
// sent finds nothing, which the server will say.
func (x *exchange) commandComplete(tag []byte) {
	s := x.statements
	if x.creates || altersSchema(tag, x.temporary) {
		x.altered = true
		x.schema.changed()
		return
	}
	if s == nil || (!bytes.Equal(tag, tagDeallocateAll) && !bytes.Equal(tag, tagDiscardAll)) {
		return
	}
	s.names.Clear()
	s.cache.Clear()
	for i := x.head + 1; i < len(x.queue); i++ {
		x.noteAgain(&x.queue[i])
	}
}

// noteAgain notes for a second time what p does to names and cache, which were
// emptied meanwhile. A Close may find nothing to close now, and then mustn't be
// taken back.
func (x *exchange) noteAgain(p *pending) {
	s := x.statements
	switch {
	case p.statement == nil:
	case p.kind == kindClose && p.treatment == makeUp:
		p.void = !s.names.Delete([]byte(p.name))
	case p.kind == kindClose:
		p.void = !s.cache.Remove(p.statement)
	case p.kind == kindParse:
		if p.name != "" {
			s.names.Put(p.name, p.as)
		}
		if p.treatment == makeUp {
			return
		}
		if evicted := s.cache.Add(p.statement); evicted != nil {
			evicted.Release()
			x.doubt = true // the server has one more than we know of
		}
		if c := s.cache.Copy(p.statement); c != nil {
			*c = prepared.Copy{At: p.at, Epoch: x.schema.now()}
		}
	}
}

// contradicts reports whether an error of the server's says that it has other
// statements than we believe: one of ours is missing there, or in the way.
// Something has closed it behind our back, in a function, say.
func contradicts(r *wire.Report) bool { return r.Code == "26000" || r.Code == "42P05" }
