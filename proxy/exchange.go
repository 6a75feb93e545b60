package proxy

import (
	"carpool/proxy/prepared"
	"carpool/proxy/wire"
)

// exchange is the conversation between one client and the server it holds, as
// a pure state machine: it is told the messages of both sides in the order in
// which they pass and decides what becomes of each. It has no socket, no clock
// and no lock.
//
// What it knows is which answers the server still owes. Every message that is
// owed an answer leaves a pending entry; the server's answers take them off in
// order. When none is left, the server is outside a transaction and the client
// has ended its batch with Sync, the server is free again.
//
// Source: "Message Flow" in Postgres's documentation of the frontend/backend
// protocol, and, for what that leaves open, SocketBackend and PostgresMain in
// its tcop/postgres.c.
type exchange struct {
	owed

	// status is the transaction status of the last ReadyForQuery.
	status byte
	// batch: extended-protocol messages were sent since the last Sync.
	batch bool
	// skipping: the server has reported an error in a batch whose Sync hasn't
	// been sent yet, and ignores everything up to it.
	skipping bool
	// copying: the command at the front of the queue has begun COPY from the
	// client and hasn't ended.
	copying bool
	// copyIn: the server waits for COPY data; the client hasn't ended it.
	copyIn bool
	// stray: a Sync was sent that the server ignores if it reads it inside COPY,
	// and answers if COPY has failed before it gets there.
	stray bool
	// doubt: something was seen that leaves the server's state uncertain. It
	// may finish its conversation and is then discarded.
	doubt bool

	// begun: something of the batch was sent to the server.
	begun bool
	// altered: the schema was changed in the present transaction.
	altered bool
	// temporary: the client has temporary objects, as far as is known, or what is
	// completed makes one; creates: that makes others, whatever its tag.
	temporary, creates bool
	// keeping: what is sent is kept, see keep; complete: up to its Sync.
	keeping, complete bool

	// statements translates statement names; nil where names are left alone.
	statements *statements
	// schema is that of the server's database.
	schema *schema
	// portal is what was bound last.
	portal boundPortal
	// probing is what the client's next message waits for the shape of.
	probing *prepared.Name
	// probed is the statement that stood for it then. It is only compared.
	probed *prepared.Statement
	// withheld is the beginning of an answer that may have to be taken back.
	withheld []byte
	// lapsed are commands of ours that the server has skipped.
	lapsed []lapse
	// params is what the answer under way says of a statement's parameters.
	params uint64
	// tally counts what became of prepared statements.
	tally tally
}

// verdict is what to do with a message.
type verdict uint8

const (
	forward verdict = iota // send it on as it is
	replace                // send what was appended instead of the part that was read
	drop                   // don't send it on
	hold                   // not yet: ask again when the server has answered something
	broken                 // the server said what it mustn't: discard it
	refused                // a request of our own failed: the report is the client's
	heal                   // don't send it on; the answer to heal goes to the server
)

// begin starts a conversation with a server of a database that is idle.
func (x *exchange) begin(s *statements, c *schema) {
	x.status = wire.TxIdle
	x.statements, x.schema = s, c
}

// idle reports whether the server is free: it owes nothing, is outside a
// transaction, and the client isn't in the middle of anything.
func (x *exchange) idle() bool {
	return x.status == wire.TxIdle && x.settled()
}

// settled reports whether the server owes nothing and waits for a new command,
// be it inside a transaction or out.
func (x *exchange) settled() bool {
	return x.empty() && !x.batch && !x.skipping && !x.copyIn
}

// questioned is settled, but the server may have a question of ours to answer,
// which changes nothing.
func (x *exchange) questioned() bool {
	for i := x.head; i < len(x.queue); i++ {
		if x.queue[i].errand != errandAudit {
			return false
		}
	}
	return !x.batch && !x.skipping && !x.copyIn
}

// undisturbed reports whether the server is outside a transaction and, when it
// has done what is our own, free for a new command.
func (x *exchange) undisturbed() bool {
	return x.status == wire.TxIdle && x.errandsOnly() && !x.begins()
}

// errandsOnly reports whether the server has nothing to do for the client,
// only for us.
func (x *exchange) errandsOnly() bool {
	for i := x.head; i < len(x.queue); i++ {
		if x.queue[i].errand == errandNone {
			return false
		}
	}
	return !x.batch && !x.skipping && !x.copyIn
}

// begins reports whether one of our errands begins the client's transaction.
func (x *exchange) begins() bool {
	for i := x.head; i < len(x.queue); i++ {
		if x.queue[i].errand == errandBegin {
			return true
		}
	}
	return false
}

// ask notes a request of our own whose answer, up to ReadyForQuery, nobody
// else is to see.
func (x *exchange) ask(e errand) { x.push(pending{kind: kindQuery, treatment: swallow, errand: e}) }

// push notes what is owed an answer. What the server is sent inside COPY is no
// part of it: if the server gets there, COPY has failed before.
func (x *exchange) push(p pending) {
	if p.treatment != makeUp {
		x.copyIn = false
		x.begun = p.kind != kindSync && p.kind != kindQuery && p.kind != kindFunction
	}
	if x.keeping {
		x.kept(p.kind)
	}
	x.owed.push(p)
}

// client decides on a message of the client's that holds no statement name.
// Parse, Bind, Describe and Close have methods of their own in statements.go.
func (x *exchange) client(t byte) verdict {
	switch {
	case x.copyIn && (t == wire.CopyDone || t == wire.CopyFail || t == wire.Sync):
		// They leave no entry, and the server may be waiting for them.
	case x.full() && t != wire.CopyData:
		return hold
	}
	switch t {
	case wire.Sync:
		return x.clientSync()
	case wire.CopyData, wire.CopyDone, wire.CopyFail:
		return x.clientCopy(t)
	}
	if x.skipping {
		return drop
	}
	switch t {
	case wire.Query:
		x.push(pending{kind: kindQuery, midst: x.batch})
		x.batch, x.portal.of = false, nil
	case wire.FunctionCall:
		x.batch = false
		x.push(pending{kind: kindFunction})
	case wire.Execute:
		x.batch = true
		x.push(pending{kind: kindExecute})
	case wire.Parse:
		x.batch = true
		x.push(pending{kind: kindParse})
	case wire.Bind:
		x.batch, x.portal.of = true, nil
		x.push(pending{kind: kindBind})
	case wire.Describe:
		x.batch = true
		x.push(pending{kind: kindDescribe})
	case wire.Close:
		x.batch = true
		x.push(pending{kind: kindClose})
	}
	return forward
}

// clientSync: inside COPY the server ignores Sync, everywhere else it answers.
func (x *exchange) clientSync() verdict {
	if x.copyIn {
		x.stray = true
		return forward
	}
	x.skipping, x.batch = false, false
	x.push(pending{kind: kindSync})
	return forward
}

// clientCopy: outside COPY the server ignores these messages. A client may
// send them before it knows that COPY has begun, or after it has failed.
func (x *exchange) clientCopy(t byte) verdict {
	if x.skipping {
		return drop
	}
	if x.copyIn {
		x.copyIn = t == wire.CopyData
		return forward
	}
	if x.commands == 0 {
		return drop
	}
	x.keeping = false
	if t != wire.CopyData {
		x.push(pending{kind: kindCopyEnd, treatment: makeUp})
	}
	return forward
}

// server decides on a message of the server's. body is needed, and looked at,
// for ReadyForQuery, CommandComplete and ErrorResponse only, and for descriptions
// when learns says so. The caller calls due before and after, so that answers
// which are made up keep their place, and released, for what comes before the
// message.
func (x *exchange) server(t byte, body []byte) verdict {
	p := x.front()
	switch t {
	case wire.ErrorResponse:
		return x.serverError(p, body)
	case wire.ReadyForQuery:
		return x.serverReady(p, body)
	case wire.NotificationResponse:
		return forward
	case wire.NoticeResponse:
		if p != nil && p.treatment == swallow {
			return drop
		}
		return forward
	case wire.ParameterStatus:
		if p != nil && p.treatment == swallow && (p.kind == kindQuery || p.errand == errandMeaning) && p.errand != errandRestore {
			return drop // our own SET; behind an injected Parse it is news
		}
		return forward
	}
	switch {
	case p == nil:
		return broken
	case p.treatment == substitute:
		return broken // what is bound to fail mustn't succeed
	case x.copying && t != wire.CommandComplete:
		return broken
	}
	return x.serverAnswer(p, t, body)
}

// serverAnswer decides on a message that must be part of the answer to p.
func (x *exchange) serverAnswer(p *pending, t byte, body []byte) verdict {
	treated := p.verdict()
	command := p.kind.command()
	if p.heals {
		if x.withholds(p, t, body) {
			return drop
		}
		p.heals, x.keeping = false, false
	}
	legal := false
	switch t {
	case wire.ParseComplete:
		legal = p.kind == kindParse
	case wire.BindComplete:
		legal = p.kind == kindBind
	case wire.CloseComplete:
		legal = p.kind == kindClose
	case wire.ParameterDescription:
		if p.learns {
			x.params = prepared.ShapeOfParams(body)
		}
		return treated.when(p.kind == kindDescribe)
	case wire.NoData:
		if legal = p.kind == kindDescribe; legal {
			x.learn(p, nil)
		}
	case wire.RowDescription:
		if p.kind == kindQuery {
			return treated
		}
		if legal = p.kind == kindDescribe; legal {
			x.learn(p, body)
		}
	case wire.DataRow, wire.CopyOutResponse, wire.CopyBothResponse, wire.CopyData, wire.CopyDone:
		return treated.when(command)
	case wire.CopyInResponse:
		if !command || p.treatment == swallow {
			return broken
		}
		x.copyBegins()
		return treated
	case wire.CommandComplete:
		if command {
			x.copyEnds()
			x.commandComplete(body)
		}
		legal = command
	case wire.EmptyQueryResponse:
		legal = command
	case wire.PortalSuspended:
		legal = p.kind == kindExecute
	case wire.FunctionCallResponse:
		return treated.when(p.kind == kindFunction)
	}
	if !legal {
		return broken
	}
	if p.kind != kindQuery { // a Query may hold more statements
		x.pop()
	}
	return treated
}

// when is v if the message was legal where it came.
func (v verdict) when(legal bool) verdict {
	if legal {
		return v
	}
	return broken
}

// serverError: an error ends the batch it comes in. Everything up to the next
// Sync is skipped by the server, so none of it is owed an answer, and what was
// noted of its statements is taken back.
func (x *exchange) serverError(p *pending, body []byte) verdict {
	if x.stray {
		x.doubt = true // COPY may have failed before the server got to the Sync
	}
	x.copying, x.copyIn = false, false
	if p == nil {
		// Out of the blue: the server is about to go, or something that is owed
		// no answer was malformed.
		x.doubt = true
		x.skipping = x.skipping || x.batch
		return forward
	}
	switch p.kind {
	case kindQuery, kindFunction:
		switch p.treatment {
		case swallow:
			return refused
		case substitute:
			return replace
		}
		if p.excused(body) {
			return replace
		}
		return forward
	case kindSync: // a deferred constraint at the end of the batch
		return forward
	}
	if p.renamed {
		switch r := wire.ParseReport(body); {
		case contradicts(&r):
			x.doubt = true
		case changedResult(&r):
			x.surprised(p.uses)
			if p.heals && x.keeping {
				p.heals, x.keeping, x.withheld = false, false, nil
				return heal
			}
		}
	}
	v := forward
	if p.treatment == substitute {
		v = replace
	}
	x.abandonBatch()
	return v
}

// abandonBatch takes back every entry up to the next Sync, the last one first.
func (x *exchange) abandonBatch() {
	end := x.batchEnd()
	x.skipping = end == len(x.queue)
	for i := end - 1; i >= x.head; i-- {
		x.takeBack(&x.queue[i])
		x.lapses(&x.queue[i])
		x.settle(i)
	}
	x.head = end
	x.rewind()
	x.keeping = false
	if x.skipping {
		x.probing = nil // it was skipped
	}
}

func (x *exchange) serverReady(p *pending, body []byte) verdict {
	status, ok := wire.ParseReadyForQuery(body)
	if !ok || x.copying {
		return broken
	}
	switch {
	case p != nil && (p.kind == kindQuery || p.kind == kindFunction || p.kind == kindSync):
		v := p.verdict()
		if p.treatment == substitute {
			v = forward // it was the client's, only the error is ours
		}
		if p.midst && x.status == wire.TxIdle && status != wire.TxIdle {
			// From Postgres 18 on the batch goes on, until its Sync, and after that
			// the server fails whatever it is asked next.
			x.doubt = true
		}
		x.pop()
		x.status = status
		if x.altered && status == wire.TxIdle {
			x.altered = false
			x.schema.changed() // for everybody, if it was committed
		}
		return v
	case p == nil && x.stray:
		x.stray, x.doubt = false, true
		x.status, x.skipping, x.batch, x.begun = status, false, false, false
		return forward
	}
	return broken
}

// copyBegins: the server now reads COPY data. What the client has sent by now,
// unseen, decides how it goes on. If that is the end of the data, the Syncs
// before it are ignored; if it is nothing but Syncs, all of them are. Anything
// else is no part of COPY: if the server gets there, it has failed before.
func (x *exchange) copyBegins() {
	x.copying, x.copyIn = true, true
	ended := false // the batch that COPY is in, if it is in one
	kept := x.head + 1
	for i := kept; i < len(x.queue); i++ {
		p := &x.queue[i]
		switch {
		case p.kind == kindSync && x.copyIn:
			x.stray = true
			continue
		case !x.copyIn:
		case p.kind == kindCopyEnd:
			x.copyIn = false
			continue
		case p.treatment != makeUp: // what is made up never reaches the server
			x.copyIn = false
		}
		ended = ended || p.kind == kindSync || p.kind == kindQuery || p.kind == kindFunction
		x.queue[kept] = *p
		kept++
	}
	clear(x.queue[kept:])
	x.queue = x.queue[:kept]
	if x.queue[x.head].kind == kindExecute && !ended {
		x.batch = true // the Sync that was to end it is one of those ignored
	}
}

// copyEnds: COPY, if there was any, has ended without an error, which it does
// at the end that the client sent. All Syncs before that were ignored.
func (x *exchange) copyEnds() {
	if x.copying {
		x.stray = false
	}
	x.copying, x.copyIn = false, false
}

// keptQueue is up to how many entries a queue keeps its memory for the next
// conversation.
const keptQueue = 256

// end releases whatever is still noted, when the conversation is over or is
// broken off.
func (x *exchange) end() {
	for i := x.head; i < len(x.queue); i++ {
		x.settle(i)
	}
	queue := x.queue[:0]
	if cap(queue) > keptQueue {
		queue = nil
	}
	*x = exchange{owed: owed{queue: queue}}
}
