package proxy

import (
	"testing"

	"carpool/proxy/prepared"
	"carpool/proxy/wire"
)

// rig drives an exchange as relay.go and answer.go do, message by message.
type rig struct {
	exchange
	names  statements // of the client
	schema schema
	next   []byte // what the client says after a Bind
	kept   []byte // see exchange.keep
	healed []byte // what went to the server on verdict heal
}

func (r *rig) client(t byte, body []byte) (out []byte, v verdict) {
	x := &r.exchange
	before := x.keeping
	defer func() {
		if !x.keeping || before && v == drop {
			return
		}
		if !before {
			r.kept = nil
		}
		r.kept = append(r.kept, out...)
	}()
	switch {
	case x.statements == nil:
		v = x.client(t)
	case t == wire.Parse && len(body) > 0 && body[0] != 0:
		out, v = x.parse(nil, body)
	case t == wire.Bind:
		portal, name, size, complete := wire.ParseBindNames(body)
		if !complete || len(name) == 0 {
			v = x.client(t)
			break
		}
		var follow bool
		if out, v, follow = x.bind(nil, portal, name, size, len(body), r.next); follow && v == replace {
			out = append(out, body[size:]...)
		}
	case t == wire.Describe:
		out, v = x.describe(nil, body)
	case t == wire.Close:
		v = x.closeTarget(body)
	default:
		v = x.client(t)
	}
	if v == forward {
		out = append(wire.AppendHeader(out, t, len(body)), body...)
	}
	return out, v
}

func (r *rig) server(t byte, body []byte) (out []byte, v verdict) {
	x := &r.exchange
	out = x.due(nil)
	refusal, name := x.refusalDue()
	v = x.server(t, body)
	out = x.released(out)
	switch v {
	case forward:
		out = append(wire.AppendHeader(out, t, len(body)), body...)
	case replace:
		out = wire.AppendError(out, refusalReport(refusal, name, 0))
	case heal:
		r.healed = x.heal(nil, r.kept)
	}
	if v != broken {
		out = x.due(out)
	}
	return out, v
}

// split cuts a stream of whole messages.
func split(t testing.TB, b []byte) (list []modelMessage) {
	for len(b) > 0 {
		h, ok, valid := wire.ParseHeader(b)
		if !ok || !valid || h.Size() > len(b) {
			t.Fatalf("not a whole message: %q", b)
		}
		list = append(list, modelMessage{h.Type, string(b[wire.HeaderLen:h.Size()])})
		b = b[h.Size():]
	}
	return list
}

// verify checks what an exchange counts against what it holds, and returns what
// is wrong.
func (x *exchange) verify() string {
	var commands, changes, probes, provisions int
	for i := x.head; i < len(x.queue); i++ {
		p := &x.queue[i]
		if p.kind.command() {
			commands++
		}
		if p.statement != nil {
			changes++
		}
		if p.probe {
			probes++
		}
		if p.provides() {
			provisions++
		}
		switch {
		case p.kind == 0:
			return "an empty entry is queued"
		case p.treatment == substitute && p.refusal == 0:
			return "an error of ours has no text"
		case p.treatment == makeUp && p.kind != kindParse && p.kind != kindClose && p.kind != kindCopyEnd:
			return "an answer is made up that can't be"
		}
	}
	const extra = 4 // what one message may lead to
	switch {
	case x.head > len(x.queue):
		return "the head is behind the end"
	case commands != x.commands:
		return "commands are miscounted"
	case changes != x.changes+x.unsettled || x.changes < 0 || x.unsettled < 0:
		return "changes are miscounted"
	case probes != x.probes:
		return "probes are miscounted"
	case provisions != x.provisions+x.unproven || x.provisions < 0 || x.unproven < 0:
		return "provisions are miscounted"
	case x.keeping && x.empty():
		return "something is kept for nothing"
	case len(x.queue)-x.head > maxPending+extra:
		return "the queue is too long"
	case len(x.queue) > 2*maxPending:
		return "the queue's memory isn't reused"
	case x.copyIn && !x.copying:
		return "COPY data is awaited outside COPY"
	case x.copying && (x.empty() || !x.queue[x.head].kind.command()):
		return "COPY without a command"
	case x.idle() && x.stray && !x.doubt:
		return "free with a Sync unaccounted for"
	}
	return ""
}

// newTranslation is a catalog whose names begin with "cp".
func newTranslation() *translation {
	t := &translation{catalog: prepared.NewCatalog("cp"), reserved: "cp"}
	t.maxNames.Store(100)
	return t
}
