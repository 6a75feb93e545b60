package proxy

import (
	"carpool/proxy/prepared"
	"carpool/proxy/wire"
)

// pending is one answer that the server owes, or that is made up in its place.
type pending struct {
	kind      kind
	treatment treatment
	// refusal says what a substituted error tells the client.
	refusal refusal
	// renamed: the message went out with one of our statement names.
	renamed bool
	// void: what was noted when it was sent has been overtaken, and must not
	// be taken back.
	void bool
	// learns: what a Describe is answered is noted; whole: of a statement.
	learns, whole bool
	// probe: the client's next message waits for the answer.
	probe bool
	// heals: should the server refuse it, what was kept is sent again.
	heals bool
	// midst: a Query in the midst of a batch.
	midst bool
	// errand says what a Query of ours is for.
	errand errand
	// statement is what a Parse prepares or a Close closes; the entry holds a
	// reference to it.
	statement *prepared.Statement
	// as is the client's name that a Parse makes, a Close takes away, or a
	// Describe tells the shape of.
	as *prepared.Name
	// at is the preparation that a Parse makes, or a Describe asks about.
	at uint64
	// name is what the client calls the statement; empty where it doesn't know.
	// With refuseState it is the setting that refuses, with errandPrepare and
	// errandStrangers the statement in SQL.
	name string
	// uses is the statement that a Bind or Describe needs; no reference.
	uses *prepared.Statement
	// deeds are what the client's statements may leave behind; nil for nearly all.
	deeds *deeds
	// excuse is why the client's statement may find something missing; or nil.
	excuse *excuse
}

// provides reports whether what p is owed for prepares a statement of SQL.
func (p *pending) provides() bool {
	return p.errand == errandPrepare && p.name != "" && p.kind.command()
}

// errand is what a Query of ours is for, whose answer nobody else is to see.
type errand uint8

const (
	errandNone      errand = iota
	errandReplay           // gives the server the client's parameters
	errandRestore          // gives it those that a RESET in the transaction has to lead to
	errandPrepare          // prepares what the client has prepared by SQL elsewhere
	errandStrangers        // takes away what another client has left, or what stood in for something
	errandMeaning          // has a statement be prepared under the parameters it was prepared under first
	errandBegin            // begins the transaction of a client that was told it had begun
	errandFail             // has it fail, as the client was told it had
	errandAudit            // asks what the client has left behind
	errandMark             // divides notifications between the server and the hub
	errandUnlisten         // ends the server's listening, which the hub does now
	errandRollback         // ends the transaction of a client that is gone, or a refused parameter's
)

// kind is the sort of message that an answer is owed to.
type kind uint8

const (
	kindQuery    kind = iota + 1 // Query: everything up to ReadyForQuery
	kindFunction                 // FunctionCall: likewise
	kindSync
	kindParse
	kindBind
	kindDescribe
	kindExecute
	kindClose
	kindCopyEnd // CopyDone or CopyFail sent before COPY was known to have begun
)

// command reports whether what is asked for may be COPY.
func (k kind) command() bool { return k == kindQuery || k == kindExecute }

// treatment is what becomes of an answer.
type treatment uint8

const (
	passOn     treatment = iota // the client gets it
	swallow                     // the request was ours, and so is the answer
	makeUp                      // nothing was sent; the client is answered from here
	substitute                  // the request is bound to fail; our error replaces the server's
)

// verdict is what becomes of the answers to p.
func (p *pending) verdict() verdict {
	if p.treatment == passOn {
		return forward
	}
	return drop
}

// owed is the queue of the answers that a server owes, the first one first. It
// counts what would otherwise have to be looked for.
type owed struct {
	queue []pending
	head  int

	// commands counts entries that may turn out to be COPY.
	commands int
	// changes counts entries with a statement, which change what is known of
	// names or of the server's cache, that were sent since the last Sync, and
	// unsettled those that were sent before it. The two kinds differ in this: an
	// error that takes back the former takes everything that relied on them
	// along, since the server skips it, too.
	changes   int
	unsettled int

	// probes counts entries that the client's next message waits for.
	probes int

	// provisions counts entries that prepare statements of SQL, which were sent
	// since the last Sync, and unproven those that were sent before it or aren't
	// part of a batch.
	provisions, unproven int

	// turns counts entries that change what the client's next message means.
	turns int
}

// maxPending is how many answers may be owed at once, give or take the few
// that one message leads to. A client that asks for more in one go waits until
// some have come; that is back-pressure, no error.
const maxPending = 1 << 14

// empty reports whether nothing is owed.
func (o *owed) empty() bool { return o.head == len(o.queue) }

// full reports whether as many answers are owed as may be.
func (o *owed) full() bool { return len(o.queue)-o.head >= maxPending }

// front is what is owed next, or nil. It is good until the queue changes.
func (o *owed) front() *pending {
	if o.empty() {
		return nil
	}
	return &o.queue[o.head]
}

func (o *owed) push(p pending) {
	o.rewind()
	if p.probe {
		o.probes++
	}
	switch {
	case p.provides() && p.kind == kindQuery:
		o.unproven++
	case p.provides():
		o.provisions++
	case p.kind == kindSync:
		o.unproven, o.provisions = o.unproven+o.provisions, 0
	}
	switch {
	case p.kind.command():
		o.commands++
	case p.kind == kindSync:
		o.unsettled, o.changes = o.unsettled+o.changes, 0
	case p.statement != nil:
		o.changes++
	}
	o.queue = append(o.queue, p)
}

func (o *owed) pop() {
	o.settle(o.head)
	o.head++
	o.rewind()
}

// rewind reuses the queue's memory from its beginning: when it is empty, or
// when more than half of a large one is behind the head, which a client that
// never lets it run dry would otherwise make grow for ever.
func (o *owed) rewind() {
	switch {
	case o.empty():
		o.queue, o.head = o.queue[:0], 0
	case o.head >= maxPending/2 && o.head > len(o.queue)/2:
		n := copy(o.queue, o.queue[o.head:])
		clear(o.queue[n:])
		o.queue, o.head = o.queue[:n], 0
	}
}

// attach notes what the message that was noted last may leave behind.
func (o *owed) attach(d *deeds) {
	if d != nil && !o.empty() {
		p := &o.queue[len(o.queue)-1]
		if p.turns() {
			o.turns--
		}
		p.deeds = d
		if p.turns() {
			o.turns++
		}
	}
}

// turns reports whether what p is the answer to changes what comes behind it.
func (p *pending) turns() bool {
	return p.deeds != nil && p.deeds.turns && (p.kind.command() || p.kind == kindClose)
}

// note is what is to be known of an answer besides its place.
type note struct {
	errand errand
	deeds  *deeds
	name   string
	query  bool
	excuse *excuse
}

// noted is what is to be known of the answer that comes next.
func (o *owed) noted() note {
	if o.empty() {
		return note{}
	}
	p := &o.queue[o.head]
	return note{errand: p.errand, deeds: p.deeds, name: p.name, query: p.kind == kindQuery, excuse: p.excuse}
}

// settle gives up what entry i holds. Entries are settled from the front on,
// or, if they are taken back, a whole batch at a time.
func (o *owed) settle(i int) {
	p := &o.queue[i]
	if p.kind.command() {
		o.commands--
	}
	if p.probe {
		o.probes--
	}
	if p.turns() {
		o.turns--
	}
	switch {
	case !p.provides():
	case o.unproven > 0:
		o.unproven--
	default:
		o.provisions--
	}
	if p.statement != nil {
		if o.unsettled > 0 {
			o.unsettled--
		} else {
			o.changes--
		}
		p.statement.Release()
	}
	*p = pending{}
}

// batchEnd is the place of the first Sync in the queue, or its end.
func (o *owed) batchEnd() int {
	for i := o.head; i < len(o.queue); i++ {
		if o.queue[i].kind == kindSync {
			return i
		}
	}
	return len(o.queue)
}

// awaited reports whether the server will answer something without being sent
// more: a command whose answer ends in ReadyForQuery is outstanding.
func (o *owed) awaited() bool {
	for i := o.head; i < len(o.queue); i++ {
		switch o.queue[i].kind {
		case kindQuery, kindFunction, kindSync:
			return true
		}
	}
	return false
}

// isDue reports whether due would do anything.
func (o *owed) isDue() bool {
	return !o.empty() && o.queue[o.head].treatment == makeUp
}

// due appends the answers that are made up and whose turn has come.
func (o *owed) due(dst []byte) []byte {
	for o.isDue() {
		switch o.queue[o.head].kind {
		case kindParse:
			dst = wire.AppendEmpty(dst, wire.ParseComplete)
		case kindClose:
			dst = wire.AppendEmpty(dst, wire.CloseComplete)
		}
		o.pop()
	}
	return dst
}

// refusalDue is the error of ours that an error of the server's, should it come
// now, is replaced by.
func (o *owed) refusalDue() (refusal, string) {
	if p := o.front(); p != nil && p.treatment == substitute {
		return p.refusal, p.name
	}
	return 0, ""
}
