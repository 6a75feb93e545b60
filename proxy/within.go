package proxy

import (
	"strings"

	"carpool/proxy/wire"
)

// Commands of ours within a client's batch. A Query there would end the batch,
// and with it the transaction that the batch may be; so they are prepared, bound
// and executed like the client's own statements, under a name of ours, and the
// answers are swallowed. If one fails, so does the batch, as a statement of the
// client's would that needs what wasn't done: the client gets the error.

// command appends the messages that execute text. reserved begins our names;
// name is noted with the answer.
func (x *exchange) command(dst []byte, reserved, text string, e errand, name string) []byte {
	own := reserved + "_c" // others end in numbers
	x.batch = true
	dst = x.closing(dst, 'S', own, pending{errand: e}) // left over from one that failed
	dst = wire.AppendHeader(dst, wire.Parse, len(own)+1+len(text)+1+2)
	dst = append(wire.AppendString(wire.AppendString(dst, own), text), 0, 0)
	x.push(pending{kind: kindParse, treatment: swallow, errand: e})
	dst = wire.AppendHeader(dst, wire.Bind, 2*(len(own)+1)+3*2)
	dst = append(wire.AppendString(wire.AppendString(dst, own), own), 0, 0, 0, 0, 0, 0)
	x.push(pending{kind: kindBind, treatment: swallow, errand: e})
	dst = wire.AppendHeader(dst, wire.Execute, len(own)+1+4)
	dst = append(wire.AppendString(dst, own), 0, 0, 0, 0)
	x.push(pending{kind: kindExecute, treatment: swallow, errand: e, name: name})
	dst = x.closing(dst, 'P', own, pending{errand: e})
	return x.closing(dst, 'S', own, pending{errand: e})
}

// closing appends a Close of our own.
func (x *exchange) closing(dst []byte, target byte, name string, p pending) []byte {
	x.batch = true
	p.kind, p.treatment = kindClose, swallow
	x.push(p)
	dst = wire.AppendHeader(dst, wire.Close, 1+len(name)+1)
	return wire.AppendString(append(dst, target), name)
}

// dropSQL appends what drops a statement prepared by SQL, whether there is one
// or not.
func (x *exchange) dropSQL(dst []byte, name string) []byte {
	return x.closing(dst, 'S', name, pending{errand: errandStrangers, name: name})
}

// endErrand appends the end of a batch that is all ours.
func (x *exchange) endErrand(dst []byte, e errand) []byte {
	x.batch = false
	x.push(pending{kind: kindSync, treatment: swallow, errand: e})
	return wire.AppendEmpty(dst, wire.Sync)
}

// lapse is a command of ours about a statement prepared by SQL that the server
// has skipped.
type lapse struct {
	errand errand
	name   string
}

// lapses notes that p was skipped.
func (x *exchange) lapses(p *pending) {
	if p.name != "" && (p.errand == errandPrepare || p.errand == errandStrangers) {
		x.lapsed = append(x.lapsed, lapse{p.errand, p.name})
	}
}

// provision appends a Query of ours ahead of the client's, about the statement
// called name if that is what prepares it.
func (x *exchange) provision(dst []byte, text, name string) []byte {
	x.push(pending{kind: kindQuery, treatment: swallow, errand: errandPrepare, name: name})
	return wire.AppendQuery(dst, text)
}

// excuse is why the client's statement may find something missing.
type excuse struct {
	name   string // of what is missing; empty if it is the transaction
	report wire.Report
}

// excuse notes why what the client's next Query needs isn't there, to be told in
// the place of the server's complaint.
func (x *exchange) excuse(name string, r *wire.Report) {
	for i := x.head; i < len(x.queue); i++ {
		p := &x.queue[i]
		if p.errand != errandNone {
			continue
		}
		if p.kind == kindQuery && p.excuse == nil {
			p.excuse = &excuse{name: name, report: wire.Report{
				Severity: severityError, Code: r.Code, Message: r.Message, Detail: r.Detail, Hint: r.Hint, Routine: r.Routine,
			}}
		}
		return
	}
}

// excused reports whether an error is the complaint that p has an excuse for: the
// statement doesn't exist, or the transaction has failed with its preparation.
func (p *pending) excused(body []byte) bool {
	if p.excuse == nil {
		return false
	}
	r := wire.ParseReport(body)
	return r.Code == "25P02" || r.Code == "26000" && p.excuse.name != "" && strings.Contains(r.Message, p.excuse.name)
}

// notExecuted reports whether an error is one by which EXECUTE is refused: there
// is no such statement, or the transaction has failed.
func notExecuted(code string) bool { return code == "26000" || code == "25P02" }
