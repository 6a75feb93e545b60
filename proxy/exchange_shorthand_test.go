package proxy

import (
	"fmt"
	"strings"
	"testing"

	"carpool/proxy/prepared"
	"carpool/proxy/wire"
)

// A script is a conversation in shorthand, one step a word:
//
//	>X=OUT   the client sends X, the server gets OUT
//	<X=OUT   the server sends X, the client gets OUT
//
// X is a message's type, with ":name" for the statement in P, B, D and C (and
// ":name:query" in P), or ":body" for Z, C and E of the server's. OUT is the
// messages that result, "-" for none, or a verdict in words. A dot at the end
// says that the server is free then; without it, it mustn't be. "ask" notes a
// query of ours, "ddl" a change of the schema. b is a Bind with a Describe of
// its portal behind. What goes to the server besides a verdict stands before
// it.
func runScript(t *testing.T, r *rig, script string) {
	t.Helper()
	for i, step := range strings.Fields(script) {
		where := fmt.Sprintf("step %d, %s", i+1, step)
		if step == "ask" {
			r.ask(errandReplay)
			continue
		}
		if step == "ddl" {
			r.schema.changed()
			continue
		}
		said, want, _ := strings.Cut(step[1:], "=")
		want, free := strings.CutSuffix(want, ".")
		parts := append(strings.Split(said, ":"), "", "")
		var got string
		if r.next = nil; step[0] == '>' {
			if said[0] == 'b' {
				r.next = append(wire.AppendHeader(nil, wire.Describe, 2), 'P', 0)
				said = "B"
			}
			out, v := r.rigClient(said[0], parts[1], parts[2])
			got = describeOutcome(t, out, v, true)
		} else {
			out, v := r.server(said[0], serverBody(said[0], parts[1]))
			if got = describeOutcome(t, out, v, false); v == heal {
				got = describeOutcome(t, r.healed, v, true)
			}
		}
		if got != want {
			t.Fatalf("%s: got %s", where, got)
		}
		if r.idle() != free {
			t.Fatalf("%s: free is %v", where, !free)
		}
		if wrong := r.verify(); wrong != "" {
			t.Fatalf("%s: %s", where, wrong)
		}
	}
}

func (r *rig) rigClient(t byte, name, query string) ([]byte, verdict) {
	var body string
	switch t {
	case wire.Parse:
		body = name + "\x00" + query + "\x00\x00\x00"
	case wire.Bind:
		body = "\x00" + name + "\x00rest"
	case wire.Describe, wire.Close:
		body = "S" + name + "\x00"
		if name == "" {
			body = "P\x00"
		}
	}
	return r.client(t, []byte(body))
}

func serverBody(t byte, arg string) []byte {
	switch t {
	case wire.ErrorResponse:
		r := wire.Report{Severity: severityError, Code: arg, Message: "m"}
		if arg == "0A000" {
			r.Routine = "RevalidateCachedQuery"
		}
		b := wire.AppendError(nil, r)
		return b[wire.HeaderLen:]
	case wire.CommandComplete:
		return []byte(strings.ReplaceAll(arg, "_", " ") + "\x00")
	}
	return []byte(arg)
}

// describeOutcome writes messages in shorthand; names of statements are shown.
func describeOutcome(t *testing.T, out []byte, v verdict, toServer bool) string {
	t.Helper()
	words := map[verdict]string{hold: "hold", broken: "broken", refused: "refused", heal: "heal"}
	var b strings.Builder
	for _, m := range split(t, out) {
		b.WriteByte(m.t)
		c := wire.Cursor{Rest: []byte(m.body)}
		var name []byte
		switch {
		case toServer && (m.t == wire.Parse || m.t == wire.Bind):
			if name, _ = c.String(); m.t == wire.Bind {
				name, _ = c.String()
			}
		case toServer && (m.t == wire.Describe || m.t == wire.Close):
			_, name, _ = wire.ParseTarget(c.Rest)
		case !toServer && m.t == wire.ErrorResponse:
			name = []byte(wire.ParseReport(c.Rest).Code)
		}
		if len(name) > 0 {
			fmt.Fprintf(&b, "(%s)", name)
		}
	}
	b.WriteString(words[v])
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}

// newRig is a client that holds a server with room for so many statements; 0
// leaves names alone.
func newRig(size int) *rig {
	r := &rig{}
	if size == 0 {
		r.begin(nil, &r.schema)
		return r
	}
	r.names.translation = newTranslation()
	r.names.cache = prepared.NewCache(size)
	r.begin(&r.names, &r.schema)
	return r
}

// close gives up everything, and checks that nothing is left.
func (r *rig) close(t *testing.T) {
	t.Helper()
	r.end()
	if r.names.translation == nil {
		return
	}
	r.names.names.Clear()
	r.names.cache.Clear()
	if n := r.names.catalog.Len(); n != 0 {
		t.Errorf("%d statements are still referred to", n)
	}
}
