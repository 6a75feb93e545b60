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
	queue []pending
	head  int

	// status is the transaction status of the last ReadyForQuery.
	status byte
	// batch: extended-protocol messages were sent since the last Sync.
	batch bool
	// skipping: the server has reported an error in a batch whose Sync hasn't
	// been sent yet, and ignores everything up to it.
	skipping bool
	// copyIn: the server waits for COPY data.
	copyIn bool
	// stray: a Sync was sent that the server ignores if it read it inside COPY,
	// and answers if it read it after an error there. Nobody can tell which.
	stray bool
	// doubt: something was seen that leaves the server's state uncertain. It
	// may finish its conversation and is then discarded.
	doubt bool
	// parses counts entries for Parse messages with a name.
	parses int

	// statements translates statement names; nil where names are left alone.
	statements *statements
}

// pending is one answer that the server owes, or that is made up in its place.
type pending struct {
	kind      kind
	treatment treatment
	// refusal says what a substituted error tells the client.
	refusal refusal
	// statement is what a Parse prepares or a Close closes; the entry holds a
	// reference to it.
	statement *prepared.Statement
	// name is what the client calls the statement; empty where it doesn't know.
	name string
}

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

// treatment is what becomes of an answer.
type treatment uint8

const (
	passOn     treatment = iota // the client gets it
	swallow                     // the request was ours, and so is the answer
	makeUp                      // nothing was sent; the client is answered from here
	substitute                  // the request is bound to fail; our error replaces the server's
)

// verdict is what to do with a message.
type verdict uint8

const (
	forward verdict = iota // send it on as it is
	replace                // send what was appended instead of the part that was read
	drop                   // don't send it on
	hold                   // not yet: ask again when the server has answered something
	broken                 // the server said what it mustn't: discard it
	refused                // a request of our own failed: the report is the client's
)

// maxPending is how many answers may be owed at once. A client that asks for
// more in one go waits until some have come; that is back-pressure, no error.
const maxPending = 1 << 14

// begin starts a conversation with a server that is idle.
func (x *exchange) begin(s *statements) {
	x.status = wire.TxIdle
	x.statements = s
}

// idle reports whether the server is free: it owes nothing, is outside a
// transaction, and the client isn't in the middle of anything.
func (x *exchange) idle() bool {
	return x.status == wire.TxIdle && x.settled()
}

// settled reports whether the server owes nothing and waits for a new command,
// be it inside a transaction or out.
func (x *exchange) settled() bool {
	return x.head == len(x.queue) && !x.batch && !x.skipping && !x.copyIn
}

// full reports whether as many answers are owed as may be.
func (x *exchange) full() bool { return len(x.queue)-x.head >= maxPending }

// ask notes a request of our own whose answer, up to ReadyForQuery, nobody
// else is to see.
func (x *exchange) ask() { x.push(pending{kind: kindQuery, treatment: swallow}) }

func (x *exchange) push(p pending) {
	if x.head == len(x.queue) {
		x.queue, x.head = x.queue[:0], 0
	}
	if p.kind == kindParse && p.name != "" {
		x.parses++
	}
	x.queue = append(x.queue, p)
}

func (x *exchange) pop() {
	x.settle(&x.queue[x.head])
	x.head++
	if x.head == len(x.queue) {
		x.queue, x.head = x.queue[:0], 0
	}
}

// settle gives up what an entry holds.
func (x *exchange) settle(p *pending) {
	if p.kind == kindParse && p.name != "" {
		x.parses--
	}
	if p.statement != nil {
		p.statement.Release()
	}
	*p = pending{}
}

func (x *exchange) front() *pending {
	if x.head == len(x.queue) {
		return nil
	}
	return &x.queue[x.head]
}

// client decides on a message of the client's that holds no statement name.
// Parse, Bind, Describe and Close have methods of their own in statements.go.
func (x *exchange) client(t byte) verdict {
	if x.full() && t != wire.CopyData {
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
		x.batch = false
		x.push(pending{kind: kindQuery})
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
		x.batch = true
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
	if !x.copyMayBegin() {
		return drop
	}
	if t != wire.CopyData {
		x.push(pending{kind: kindCopyEnd, treatment: makeUp})
	}
	return forward
}

// copyMayBegin reports whether a command is outstanding that could be COPY.
func (x *exchange) copyMayBegin() bool {
	for i := x.head; i < len(x.queue); i++ {
		if k := x.queue[i].kind; k == kindQuery || k == kindExecute {
			return true
		}
	}
	return false
}

// server decides on a message of the server's. body is needed, and looked at,
// for ReadyForQuery and CommandComplete only. The caller calls due before and
// after, so that answers which are made up keep their place.
func (x *exchange) server(t byte, body []byte) verdict {
	p := x.front()
	switch t {
	case wire.ErrorResponse:
		return x.serverError(p)
	case wire.ReadyForQuery:
		return x.serverReady(p, body)
	case wire.NotificationResponse:
		return forward
	case wire.NoticeResponse, wire.ParameterStatus:
		if p != nil && p.treatment == swallow {
			return drop
		}
		return forward
	}
	if p == nil {
		return broken
	}
	treated := p.verdict()
	command := p.kind == kindQuery || p.kind == kindExecute
	legal := false
	switch t {
	case wire.ParseComplete:
		legal = p.kind == kindParse && p.treatment != substitute
	case wire.BindComplete:
		legal = p.kind == kindBind
	case wire.CloseComplete:
		legal = p.kind == kindClose
	case wire.ParameterDescription:
		return treated.when(p.kind == kindDescribe)
	case wire.NoData:
		legal = p.kind == kindDescribe
	case wire.RowDescription:
		if p.kind == kindQuery {
			return treated
		}
		legal = p.kind == kindDescribe
	case wire.DataRow, wire.CopyOutResponse, wire.CopyBothResponse, wire.CopyData, wire.CopyDone:
		return treated.when(command)
	case wire.CopyInResponse:
		if command {
			x.copyBegins()
		}
		return treated.when(command)
	case wire.CommandComplete:
		if command {
			x.copyIn = false
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

// verdict is what becomes of the answers to p.
func (p *pending) verdict() verdict {
	if p.treatment == passOn {
		return forward
	}
	return drop
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
func (x *exchange) serverError(p *pending) verdict {
	if p == nil {
		x.doubt = true // out of the blue: the server is about to go
		return forward
	}
	switch p.kind {
	case kindQuery, kindFunction:
		x.copyIn = false
		if p.treatment == swallow {
			return refused
		}
		return forward
	case kindSync: // a deferred constraint at the end of the batch
		return forward
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
	x.copyIn = false
	end := x.head
	for end < len(x.queue) && x.queue[end].kind != kindSync {
		end++
	}
	x.skipping = end == len(x.queue)
	for i := end - 1; i >= x.head; i-- {
		x.takeBack(&x.queue[i])
		x.settle(&x.queue[i])
	}
	x.head = end
	if x.head == len(x.queue) {
		x.queue, x.head = x.queue[:0], 0
	}
}

func (x *exchange) serverReady(p *pending, body []byte) verdict {
	status, ok := wire.ParseReadyForQuery(body)
	if !ok {
		return broken
	}
	switch {
	case p != nil && (p.kind == kindQuery || p.kind == kindFunction || p.kind == kindSync):
		v := p.verdict()
		x.pop()
		x.status, x.copyIn = status, false
		return v
	case x.stray:
		x.stray, x.doubt = false, true
		x.status, x.skipping, x.batch = status, false, false
		return forward
	}
	return broken
}

// copyBegins: the server now reads COPY data. If the client has sent the end
// of it already, unseen, the Syncs before that end are ignored; if not, all of
// them are.
func (x *exchange) copyBegins() {
	end := len(x.queue)
	x.copyIn = true
	for i := x.head + 1; i < len(x.queue); i++ {
		if x.queue[i].kind == kindCopyEnd {
			end, x.copyIn = i, false
			break
		}
	}
	kept := x.head + 1
	for i := x.head + 1; i < len(x.queue); i++ {
		if i == end || (i < end && x.queue[i].kind == kindSync) {
			x.stray = x.stray || i != end
			continue
		}
		x.queue[kept] = x.queue[i]
		kept++
	}
	clear(x.queue[kept:])
	x.queue = x.queue[:kept]
}

// due appends the answers that are made up and whose turn has come.
func (x *exchange) due(dst []byte) []byte {
	for {
		p := x.front()
		if p == nil || p.treatment != makeUp {
			return dst
		}
		switch p.kind {
		case kindParse:
			dst = wire.AppendEmpty(dst, wire.ParseComplete)
		case kindClose:
			dst = wire.AppendEmpty(dst, wire.CloseComplete)
		}
		x.pop()
	}
}

// isDue reports whether due would do anything.
func (x *exchange) isDue() bool {
	return x.head < len(x.queue) && x.queue[x.head].treatment == makeUp
}

// awaited reports whether the server will answer something without being sent
// more: a command whose answer ends in ReadyForQuery is outstanding.
func (x *exchange) awaited() bool {
	for i := x.head; i < len(x.queue); i++ {
		switch x.queue[i].kind {
		case kindQuery, kindFunction, kindSync:
			return true
		}
	}
	return false
}

// end releases whatever is still noted, when the conversation is broken off.
func (x *exchange) end() {
	for i := x.head; i < len(x.queue); i++ {
		x.settle(&x.queue[i])
	}
	*x = exchange{queue: x.queue[:0]}
}

// refusalDue is the error of ours that an error of the server's, should it come
// now, is replaced by.
func (x *exchange) refusalDue() (refusal, string) {
	if p := x.front(); p != nil && p.treatment == substitute {
		return p.refusal, p.name
	}
	return 0, ""
}
