package proxy

import (
	"testing"

	"carpool/proxy/wire"
)

// What either side may say, one byte of the fuzzer's each.
const (
	fuzzClient = "QFSPPPBBBDDECCHdcfpX"
	fuzzServer = "12233tTnDCCIsGHWdcVZZEEENSARK?"
)

// fuzzNames and fuzzBodies go round.
var (
	fuzzNames  = []string{"", "a", "b", "cp_1", "cp_2"}
	fuzzTexts  = []string{"one", "two", "three", "four"}
	fuzzTags   = []string{"SELECT_1", "DEALLOCATE_ALL", "DISCARD_ALL", "ALTER_TABLE"}
	fuzzStatus = []string{"I", "I", "T", "E", "", "?"}
	fuzzCodes  = []string{"42601", "26000", "42P05", "0A000", "0A000"}
	fuzzShapes = []string{"", "a", "b"}
)

// FuzzExchange lets both sides say anything in any order: the exchange neither
// panics nor loses count, and what it holds is all given back.
func FuzzExchange(f *testing.F) {
	f.Add([]byte("\x02PP\x83\x81\x96"), uint8(1))
	f.Add([]byte{3, 4, 5, 40, 6, 7, 2, 0x80, 0x81, 0x93, 0x95, 0x96}, uint8(2))
	f.Add([]byte{11, 2, 15, 16, 2, 0x8d, 0x89, 0x95, 0x93}, uint8(0))
	f.Add([]byte{0xfb, 1, 5, 40, 0x8d, 0x81, 0x93, 0xfc, 2, 0xfd, 3, 0x95, 0}, uint8(1))
	f.Fuzz(func(t *testing.T, script []byte, size uint8) {
		size %= 4
		script = script[:min(len(script), 1000)] // each step is verified in full
		r := newRig(int(size))
		for i := 0; i+1 < len(script); i += 2 {
			op, arg := int(script[i]), int(script[i+1])
			switch {
			case op == 0xff:
				r.ask(errandReplay)
			case op == 0xfe:
				r.schema.changed()
			case op >= 0xfb:
				fuzzErrand(t, r, op, arg)
			case op < 0x80:
				m := fuzzClient[op%len(fuzzClient)]
				n := arg % len(fuzzNames)
				out, v := r.rigClient(m, fuzzNames[n], fuzzTexts[arg/8%len(fuzzTexts)])
				if v == drop && len(out) > 0 || v == heal || v == broken || v == refused {
					t.Fatalf("step %d, %c: verdict %d with %q", i, m, v, out)
				}
				split(t, out)
			default:
				m := fuzzServer[op%len(fuzzServer)]
				if !fuzzAnswer(t, r, m, arg) {
					r.doubt = true
				}
			}
			if wrong := r.verify(); wrong != "" {
				t.Fatalf("step %d: %s", i, wrong)
			}
			if size > 0 && r.names.cache.Len() > int(size) {
				t.Fatalf("step %d: %d statements for %d places", i, r.names.cache.Len(), size)
			}
			if !r.doubt && !r.idle() {
				continue
			}
			// The next conversation, with a new server if need be.
			doubt, names := r.doubt, r.statements
			r.end()
			if doubt && names != nil {
				names.cache.Clear()
				names.names.Clear() // the client is told to connect again
			}
			r.begin(names, &r.schema)
		}
		r.close(t)
	})
}

// fuzzErrand has something of ours be sent about statements prepared by SQL, as
// provide.go does it.
func fuzzErrand(t *testing.T, r *rig, op, arg int) {
	x := &r.exchange
	name := fuzzNames[arg%len(fuzzNames)]
	if x.skipping || x.full() || x.copyIn {
		return
	}
	switch {
	case op == 0xfb:
		split(t, x.command(nil, "cp", "PREPARE", errandPrepare, name))
	case op == 0xfc:
		split(t, x.dropSQL(nil, name))
	case !x.batch && arg%3 == 0:
		split(t, x.provision(nil, "SAVEPOINT", ""))
		split(t, x.provision(nil, "PREPARE", name))
		split(t, x.provision(nil, "ROLLBACK TO", ""))
	case !x.batch:
		split(t, x.endErrand(x.dropSQL(nil, name), errandStrangers))
	}
	if arg%2 == 0 {
		x.excuse(name, &wire.Report{Code: "42P01"})
	}
	x.lapsed = nil
}

// fuzzAnswer answers false if the server was out of step.
func fuzzAnswer(t *testing.T, r *rig, m byte, arg int) bool {
	var body string
	switch m {
	case wire.ReadyForQuery:
		body = fuzzStatus[arg%len(fuzzStatus)]
	case wire.CommandComplete:
		body = fuzzTags[arg%len(fuzzTags)]
	case wire.ErrorResponse:
		body = fuzzCodes[arg%len(fuzzCodes)]
	case wire.RowDescription, wire.ParameterDescription:
		body = fuzzShapes[arg%len(fuzzShapes)]
	}
	out, v := r.server(m, serverBody(m, body))
	split(t, out)
	if v == heal {
		split(t, r.healed)
	}
	if v == hold {
		t.Fatalf("%c from the server is to wait", m)
	}
	if r.isDue() && v != broken {
		t.Fatalf("%c leaves an answer undelivered", m)
	}
	return v != broken
}
