package proxy

import (
	"testing"

	"carpool/proxy/wire"
)

func TestStatementsWhoseResultChanges(t *testing.T) {
	const (
		prepareA  = ">P:a:one=P(cp_1) >S=S <1=1 <Z:I=Z. "
		described = ">P:a:one=P(cp_1) >D:a=D(cp_1) >S=S <1=1 <t=t <T:x=T <Z:I=Z. "
		runB      = ">B:a=B(cp_1) >S=S <2=2 <Z:I=Z. "
		cached    = "<E:0A000=E(0A000) >S=S <Z:I=Z."
	)
	tests := []struct{ name, script string }{
		// Known of: who wasn't told anything gets a new copy.
		{"Bind", prepareA + "ddl >B:a=C(cp_1)P(cp_1)B(cp_1) >S=S <3=- <1=- <2=2 <Z:I=Z. " + runB},
		{"Parse", prepareA + "ddl >P:b:one=C(cp_1)P(cp_1) >B:b=B(cp_1) >S=S <3=- <1=1 <2=2 <Z:I=Z. " + runB},
		{"Describe", prepareA + "ddl >D:a=C(cp_1)P(cp_1)D(cp_1) >S=S <3=- <1=- <t=t <T:y=T <Z:I=Z. " + runB},
		{"by a command", prepareA + ">Q=Q <C:ALTER_TABLE=C <Z:I=Z. >B:a=C(cp_1)P(cp_1)B(cp_1) >S=S <3=- <1=- <2=2 <Z:I=Z. " + runB},
		{"by a command of no account", prepareA + ">Q=Q <C:CREATE_INDEX=C <Z:I=Z. " + runB},
		{"at once and at the commit", prepareA + ">Q=Q <C:BEGIN=C <Z:T=Z >Q=Q <C:DROP_TABLE=C <Z:T=Z >B:a=C(cp_1)P(cp_1)B(cp_1) >S=S <3=- <1=- <2=2 <Z:T=Z >Q=Q <C:COMMIT=C <Z:I=Z. >B:a=C(cp_1)P(cp_1)B(cp_1) >S=S <3=- <1=- <2=2 <Z:I=Z. " + runB},
		{"the new copy is skipped", prepareA + "ddl >E=E >B:a=C(cp_1)P(cp_1)B(cp_1) >S=S <E:34000=E(34000) <Z:I=Z. >B:a=C(cp_1)P(cp_1)B(cp_1) >S=S <3=- <1=- <2=2 <Z:I=Z. " + runB},
		{"the new copy fails", prepareA + "ddl >B:a=C(cp_1)P(cp_1)B(cp_1) >S=S <3=- <E:42P01=E(42P01) <Z:I=Z. >B:a=P(cp_1)B(cp_1) >S=S <1=- <2=2 <Z:I=Z."},
		{"told of the portal each time", prepareA + ">b:a=B(cp_1) >D=D >S=S <2=2 <T:x=T <Z:I=Z. ddl >b:a=C(cp_1)P(cp_1)B(cp_1) >D=D >S=S <3=- <1=- <2=2 <T:y=T <Z:I=Z."},

		// Not known of: refused where it can't be undone, or else healed.
		{"healed", prepareA + ">B:a=B(cp_1) >D=D >E=E >S=S <E:0A000=C(cp_1)P(cp_1)B(cp_1)DESheal <Z:I=- <3=- <1=- <2=2 <T:y=T <C:X=C <Z:I=Z. " + runB},
		{"healed before the Sync", prepareA + ">B:a=B(cp_1) >H=H <E:0A000=SC(cp_1)P(cp_1)B(cp_1)Hheal >E=E >S=S <Z:I=- <3=- <1=- <2=2 <C:X=C <Z:I=Z."},
		{"healed behind a request of ours", prepareA + "ask >B:a=B(cp_1) >S=S <C:SET=- <Z:I=- <E:0A000=C(cp_1)P(cp_1)B(cp_1)Sheal <Z:I=- <3=- <1=- <2=2 <Z:I=Z."},
		{"Describe healed behind a Parse from here", prepareA + ">P:b:one=- >D:b=D(cp_1) >S=S <E:0A000=C(cp_1)P(cp_1)D(cp_1)Sheal <Z:I=- <3=- <1=- <t=t <T:y=T <Z:I=Z."},
		{"Describe healed behind its parameters", prepareA + ">D:a=D(cp_1) >S=S <t:int4=- <E:0A000=C(cp_1)P(cp_1)D(cp_1)Sheal <Z:I=- <3=- <1=- <t:int8=t <T:y=T <Z:I=Z. " + runB},
		{"Describe fails behind its parameters", prepareA + ">D:a=D(cp_1) >S=S <t:int4=- <E:42P01=tE(42P01) <Z:I=Z."},
		{"healed, and told of the portal", prepareA + ">b:a=B(cp_1) >D=D >S=S <2=2 <T:x=T <Z:I=Z. >b:a=B(cp_1) >D=D >S=S <E:0A000=C(cp_1)P(cp_1)B(cp_1)DSheal <Z:I=- <3=- <1=- <2=2 <T:y=T <Z:I=Z. " + runB},
		{"not healed for who relies on it", described + ">P:b:one=- >B:b=B(cp_1) >B:a=B(cp_1) >S=S <E:0A000=1E(0A000) <Z:I=Z."},
		{"two healed in one go", ">P:a:one=P(cp_1) >P:b:two=P(cp_2) >S=S <1=1 <1=1 <Z:I=Z. >B:a=B(cp_1) >E=E >B:b=B(cp_2) >E=E >S=S <E:0A000=C(cp_1)P(cp_1)C(cp_2)P(cp_2)B(cp_1)EB(cp_2)ESheal <Z:I=- <3=- <1=- <3=- <1=- <2=2 <C:X=C <2=2 <C:X=C <Z:I=Z."},
		{"healed, with a Parse behind", prepareA + ">B:a=B(cp_1) >P:b:two=P(cp_2) >B:b=B(cp_2) >S=S <E:0A000=C(cp_1)P(cp_1)B(cp_1)P(cp_2)B(cp_2)Sheal <Z:I=- <3=- <1=- <2=2 <1=1 <2=2 <Z:I=Z."},
		{"healing fails", prepareA + ">B:a=B(cp_1) >E=E >S=S <E:0A000=C(cp_1)P(cp_1)B(cp_1)ESheal <Z:I=- <3=- <E:42P01=E(42P01) <Z:I=Z. >B:a=P(cp_1)B(cp_1) >S=S <1=- <2=2 <Z:I=Z."},
		{"healed once", prepareA + ">B:a=B(cp_1) >S=S <E:0A000=C(cp_1)P(cp_1)B(cp_1)Sheal <Z:I=- <3=- <1=- <E:0A000=E(0A000) <Z:I=Z."},
		{"others are warned", prepareA + ">P:b:two=P(cp_2) >S=S <1=1 <Z:I=Z. >B:a=B(cp_1) >S=S <E:0A000=C(cp_1)P(cp_1)B(cp_1)Sheal <Z:I=- <3=- <1=- <2=2 <Z:I=Z. >B:b=C(cp_2)P(cp_2)B(cp_2) >S=S <3=- <1=- <2=2 <Z:I=Z."},
		{"in a transaction", prepareA + ">Q=Q <C:BEGIN=C <Z:T=Z >B:a=B(cp_1) " + "<E:0A000=E(0A000) >S=S <Z:E=Z >Q=Q <C:ROLLBACK=C <Z:I=Z."},
		{"not the first", prepareA + ">P::two=P >B=B >E=E >B:a=B(cp_1) <1=1 <2=2 <C:X=C " + cached},
		{"not the first, answered before", prepareA + ">P::two=P >B=B >E=E >H=H <1=1 <2=2 <C:X=C >B:a=B(cp_1) " + cached},
		{"another batch behind", prepareA + ">B:a=B(cp_1) >S=S >B:a=B(cp_1) >S=S <E:0A000=E(0A000) <Z:I=Z <E:0A000=E(0A000) <Z:I=Z."},
		{"a Query behind", prepareA + ">B:a=B(cp_1) >Q=Q <E:0A000=E(0A000) >S=S <Z:I=Z."},
		{"a function's", prepareA + ">B:a=B(cp_1) >E=E <2=2 " + cached},

		// Who was told of the statement gets what it was told of, or the refusal.
		{"told, the server sees to it", described + "ddl " + runB + ">B:a=B(cp_1) <E:0A000=E(0A000) >S=S <Z:I=Z. >D:a=D(cp_1) " + cached},
		{"told, then prepared anew", described + ">B:a=B(cp_1) <E:0A000=E(0A000) >S=S <Z:I=Z. >C:a=- >P:a:one=C(cp_1)P(cp_1) >D:a=D(cp_1) >S=S <3=3 <1=1 <t=t <T:y=T <Z:I=Z. " + runB},
		{"told of another copy that is the same", described + ">P:b:one=- >D:b=D(cp_1) >S=S <t=1 <T:x=tT <Z:I=Z. >B:b=B(cp_1) >B:a=B(cp_1) >S=S <2=2 <2=2 <Z:I=Z."},
		{"told, and now another", described + "ddl >P:b:one=C(cp_1)P(cp_1) >D:b=D(cp_1) >S=S <3=- <1=1 <t=t <T:y=T <Z:I=Z. >B:a=C(cp_1)P(cp_1)D(cp_1)hold <3=- <1=- >B:a=hold <t=- <T:y=- >B:a=D(cp_0) >E=E <E:26000=E(0A000) >E=- >S=S <Z:I=Z. >B:b=B(cp_1) >S=S <2=2 <Z:I=Z."},
		{"told, and another in between", described + "ddl >P:b:one=C(cp_1)P(cp_1) >D:b=D(cp_1) >S=S <3=- <1=1 <t=t <T:y=T <Z:I=Z. ddl >B:a=C(cp_1)P(cp_1)D(cp_1)hold <3=- <1=- <t=- <T:x=- >B:a=B(cp_1) >S=S <2=2 <Z:I=Z. " + runB},
		{"told, and now other parameters", described + "ddl >P:b:one=C(cp_1)P(cp_1) >D:b=D(cp_1) >S=S <3=- <1=1 <t:int8=t <T:x=T <Z:I=Z. >B:a=C(cp_1)P(cp_1)D(cp_1)hold <3=- <1=- <t:int8=- <T:x=- >B:a=D(cp_0) >S=S <E:26000=E(0A000) <Z:I=Z."},
		{"told, and asks again", described + "ddl >P:b:one=C(cp_1)P(cp_1) >S=S <3=- <1=1 <Z:I=Z. >D:a=C(cp_1)P(cp_1)D(cp_1)hold <3=- <1=- <t=- <T:y=- >D:a=D(cp_0) >S=S <E:26000=E(0A000) <Z:I=Z."},
		{"told, and now it fails", described + "ddl >P:b:one=C(cp_1)P(cp_1) >S=S <3=- <1=1 <Z:I=Z. >B:a=C(cp_1)P(cp_1)D(cp_1)hold <3=- <E:42P01=E(42P01) >B:a=- >S=S <Z:I=Z."},
		{"told, and used at once", ">P:a:one=P(cp_1) >D:a=D(cp_1) >B:a=B(cp_1) >S=S <1=1 <t=t <T:x=T <2=2 <Z:I=Z."},
		{"told of a portal", prepareA + ">b:a=B(cp_1) >D=D >S=S <2=2 <T:x=T <Z:I=Z. ddl >P:b:one=C(cp_1)P(cp_1) >S=S <3=- <1=1 <Z:I=Z. >B:a=C(cp_1)P(cp_1)D(cp_1)hold <3=- <1=- <t=- <T:y=- >B:a=D(cp_0) >S=S <E:26000=E(0A000) <Z:I=Z. >b:a=B(cp_1) >D=D >S=S <2=2 <T:y=T <Z:I=Z. " + runB},
		{"was to be told, and it was skipped", prepareA + ">E=E >D:a=D(cp_1) >S=S <E:34000=E(34000) <Z:I=Z. ddl >B:a=C(cp_1)P(cp_1)B(cp_1) >S=S <3=- <1=- <2=2 <Z:I=Z."},
		{"closed, and the Close is skipped", described + ">E=E >C:a=- >S=S <E:34000=E(34000) <Z:I=Z. ddl >P:b:one=C(cp_1)P(cp_1) >S=S <3=- <1=1 <Z:I=Z. >B:a=C(cp_1)P(cp_1)D(cp_1)hold <3=- <1=- <t=- <T:y=- >B:a=D(cp_0) >S=S <E:26000=E(0A000) <Z:I=Z."},
		{"what has no shape of its own", ">P:a:fetch=P(cp_1) >D:a=D(cp_1) >S=S <1=1 <t=t <T:x=T <Z:I=Z. ddl >B:a=C(cp_1)P(cp_1)B(cp_1) >S=S <3=- <1=- <2=2 <Z:I=Z."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(3)
			defer r.close(t)
			runScript(t, r, tt.script)
			if r.doubt {
				t.Error("there is doubt about the server")
			}
		})
	}
}

// A client that was told of its statement on one server is told the same on
// another, or refused.
func TestStatementsKeepTheirResultOnAnotherServer(t *testing.T) {
	const described = ">P:a:one=P(cp_1) >D:a=D(cp_1) >S=S <1=1 <t=t <T:x=T <Z:I=Z."
	for name, script := range map[string]string{
		"the same":       ">B:a=P(cp_1)D(cp_1)hold <1=- <t=- <T:x=- >B:a=B(cp_1) >S=S <2=2 <Z:I=Z. >B:a=B(cp_1) >S=S <2=2 <Z:I=Z.",
		"another":        ">B:a=P(cp_1)D(cp_1)hold <1=- <t=- <T:y=- >B:a=D(cp_0) >S=S <E:26000=E(0A000) <Z:I=Z.",
		"no rows":        ">B:a=P(cp_1)D(cp_1)hold <1=- <t=- <n=- >B:a=D(cp_0) >S=S <E:26000=E(0A000) <Z:I=Z.",
		"prepared anew":  ">C:a=- >P:a:one=P(cp_1) >B:a=B(cp_1) >S=S <1=31 <2=2 <Z:I=Z.",
		"in transaction": ">Q=Q <C:BEGIN=C <Z:T=Z >B:a=P(cp_1)D(cp_1)hold <1=- <t=- <T:y=- >B:a=D(cp_0) >S=S <E:26000=E(0A000) <Z:E=Z >Q=Q <C:ROLLBACK=C <Z:I=Z.",
	} {
		t.Run(name, func(t *testing.T) {
			r, other := newRig(2), newRig(2)
			runScript(t, r, described)
			here := r.names.cache
			r.end()
			r.names.cache = other.names.cache
			r.begin(&r.names, &r.schema)
			runScript(t, r, script)
			here.Clear()
			r.close(t)
		})
	}
}

// Tags that are no change of the schema, and those that are.
func TestCommandsThatAlterTheSchema(t *testing.T) {
	for tag, want := range map[string]bool{
		"ALTER TABLE": true, "DROP TABLE": true, "DROP VIEW": true, "CREATE VIEW": true, "ALTER TYPE": true,
		"": false, "A": false, "SELECT 1": false, "CREATE TABLE": true, "CREATE FUNCTION": true, "CREATE INDEX": false, "CREATE": false, "COMMIT": false,
		"DELETE 1": false, "DISCARD ALL": false, "DROP": false, "ANALYZE": false,
	} {
		if got := altersSchema([]byte(tag+"\x00"), false); got != want {
			t.Errorf("%q: %v", tag, got)
		}
	}
	if altersSchema([]byte("DROP TABLE\x00"), true) || altersSchema([]byte("CREATE TABLE\x00"), true) {
		t.Error("a temporary table is made, or dropped")
	}
}

// Nothing is allocated for a statement that is executed time and again, nor for
// what is kept of it.
func TestBindingAgainDoesNotAllocate(t *testing.T) {
	r := newRig(2)
	defer r.close(t)
	runScript(t, r, ">P:a:one=P(cp_1) >S=S <1=1 <Z:I=Z.")
	buf, body, ready := make([]byte, 0, 1024), []byte("\x00a\x00rest"), []byte{wire.TxIdle}
	x := &r.exchange
	if n := testing.AllocsPerRun(100, func() {
		out, v, follow := x.bind(buf, body[:0], body[1:2], 3, len(body), nil)
		if v != replace || !follow || len(out) == 0 || !x.keeping {
			t.Fatal("it isn't bound, or not kept")
		}
		x.client(wire.Sync)
		x.server(wire.BindComplete, nil)
		x.server(wire.ReadyForQuery, ready)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
