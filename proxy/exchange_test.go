package proxy

import (
	"testing"

	"carpool/proxy/wire"
)

func TestExchange(t *testing.T) {
	tests := []struct{ name, script string }{
		// The simple protocol.
		{"query", ">Q=Q <T=T <D=D <D=D <C:SELECT_2=C <Z:I=Z."},
		{"empty query", ">Q=Q <I=I <Z:I=Z."},
		{"two statements, an error in the second", ">Q=Q <C:SELECT=C <E:22012=E(22012) <Z:I=Z."},
		{"pipelined queries", ">Q=Q >Q=Q <C:X=C <Z:I=Z <C:X=C <Z:I=Z."},
		{"transaction", ">Q=Q <C:BEGIN=C <Z:T=Z >Q=Q <E:22012=E(22012) <Z:E=Z >Q=Q <C:ROLLBACK=C <Z:I=Z."},
		{"function", ">F=F <V=V <Z:I=Z. >F=F <E:42883=E(42883) <Z:I=Z."},

		// The extended protocol.
		{"unnamed", ">P=P >B=B >D=D >E=E >S=S <1=1 <2=2 <T=T <D=D <C:SELECT=C <Z:I=Z."},
		{"describe a statement", ">P=P >D=D >S=S <1=1 <t=t <n=n <Z:I=Z."},
		{"portal suspended", ">P=P >B=B >E=E >H=H <1=1 <2=2 <D=D <s=s >E=E >S=S <D=D <C:SELECT=C <Z:I=Z."},
		{"close", ">C=C >S=S <3=3 <Z:I=Z."},
		{"not free before Sync", ">P=P >H=H <1=1 >S=S <Z:I=Z."},
		{"Flush alone keeps nothing", ">H=H."},
		{"several Syncs", ">B=B >S=S >B=B >S=S <2=2 <Z:I=Z <2=2 <Z:I=Z."},
		{"a Query ends the batch before it", ">P=P >Q=Q <1=1 <C:X=C <Z:I=Z."},
		{"error after Sync was sent", ">P=P >B=B >E=E >S=S <E:42601=E(42601) <Z:I=Z."},
		{"error before Sync was sent", ">P=P <E:42601=E(42601) >B=- >E=- >H=- >Q=- >F=- >d=- >c=- >S=S <Z:I=Z."},
		{"error, then the next batch", ">B=B >E=E >S=S >P=P >S=S <E:26000=E(26000) <Z:I=Z <1=1 <Z:I=Z."},
		{"error with a Query behind in the batch", ">P=P >Q=Q <E:42601=E(42601) >Q=- >S=S <Z:I=Z."},
		{"error in Sync itself", ">B=B >E=E >S=S <2=2 <C:X=C <E:23503=E(23503) <Z:I=Z."},
		{"error in an aborted transaction", ">Q=Q <C:BEGIN=C <Z:T=Z >P=P >S=S <E:42601=E(42601) <Z:E=Z >Q=Q <C:X=C <Z:I=Z."},

		// COPY.
		{"copy in", ">Q=Q <G=G >d=d >d=d >c=c <C:COPY_2=C <Z:I=Z."},
		{"copy in, ended before it was seen to begin", ">Q=Q >d=d >c=c <G=G <C:COPY_1=C <Z:I=Z."},
		{"copy fails at the client's wish", ">Q=Q <G=G >d=d >f=f <E:57014=E(57014) <Z:I=Z."},
		{"copy fails in the server, data goes on", ">Q=Q <G=G >d=d <E:22P02=E(22P02) >d=d >c=c <Z:I=Z. >d=-. >c=-."},
		{"blind end of a COPY that never began", ">Q=Q >d=d >c=c <E:42P01=E(42P01) <Z:I=Z."},
		{"two in a Query", ">Q=Q <G=G >d=d >c=c <C:COPY_1=C <G=G >c=c <C:COPY_0=C <Z:I=Z."},
		{"two in a Query, blind", ">Q=Q >c=c >d=d >c=c <G=G <C:COPY_0=C <G=G <C:COPY_1=C <Z:I=Z."},
		{"copy out", ">Q=Q <H=H <d=d <d=d <c=c <C:COPY_2=C <Z:I=Z."},
		{"copy both", ">Q=Q <W=W >d=d <d=d >c=c <c=c <C:X=C <Z:I=Z."},
		{"nothing to copy", ">d=-. >c=-. >f=-."},
		{"extended, one Sync", ">P=P >B=B >E=E <1=1 <2=2 <G=G >d=d >c=c >S=S <C:COPY_1=C <Z:I=Z."},
		{"extended, as libpq does it", ">P=P >B=B >E=E >S=S <1=1 <2=2 <G=G >d=d >c=c >S=S <C:COPY_1=C <Z:I=Z."},
		{"extended, libpq, the last Sync late", ">B=B >E=E >S=S <2=2 <G=G >d=d >c=c <C:COPY_1=C >S=S <Z:I=Z."},
		{"extended, blind", ">B=B >E=E >S=S >d=d >c=c >S=S <2=2 <G=G <C:COPY_1=C <Z:I=Z."},
		{"extended, blind, never began", ">B=B >E=E >S=S >d=d >c=c >S=S <2=2 <E:42P01=E(42P01) <Z:I=Z <Z:I=Z."},
		{"extended, fails", ">B=B >E=E <2=2 <G=G >d=d <E:22P02=E(22P02) >d=- >c=- >S=S <Z:I=Z."},
		{"a Sync inside is ignored", ">Q=Q <G=G >S=S >d=d >S=S >c=c <C:COPY_1=C <Z:I=Z."},
		{"a Sync behind what ends it", ">Q=Q >Q=Q <G=G >S=S <E:23514=E(23514) <Z:I=Z <C:X=C <Z:I=Z <Z:I=Z."},
		{"a Sync behind what ends it, seen", ">Q=Q <G=G >Q=Q >S=S <E:23514=E(23514) <Z:I=Z <C:X=C <Z:I=Z <Z:I=Z."},
		{"what isn't COPY ends it", ">Q=Q >Q=Q <G=G <E:23514=E(23514) <Z:I=Z >c=c <C:X=C <Z:I=Z."},

		// Whenever it likes.
		{"asynchronous messages", "<N=N. <S=S. <A=A. >Q=Q <N=N <T=T <S=S <D=D <A=A <C:X=C <N=N <Z:I=Z. <A=A."},
		{"the server says goodbye", "<E:57P01=E(57P01)."},
		{"goodbye in a batch", ">P=P >H=H <1=1 <E:57P01=E(57P01) >B=-"},

		// Requests of our own.
		{"ours", "ask <S=- <N=- <A=A <C:SET=- <Z:I=-. >Q=Q <C:X=C <Z:I=Z."},
		{"ours, with the client's behind", "ask >Q=Q <C:SET=- <Z:I=- <C:X=C <Z:I=Z."},
		{"ours is refused", "ask >Q=Q <E:22023=refused <Z:I=- <C:X=C <Z:I=Z."},
		{"ours can't be COPY", "ask <G=broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(0)
			runScript(t, r, tt.script)
			r.close(t)
		})
	}
}

// Each message that may not come, at each place where it may not.
func TestExchangeFindsTheServerOutOfStep(t *testing.T) {
	all := "123tTnDCIsGHWdcVZRKv?"
	tests := []struct{ name, script, legal string }{
		{"nothing is owed", "", ""},
		{"Query", ">Q=Q", "TDCIGHWdcZ"},
		{"COPY in Query", ">Q=Q <G=G", "C"},
		{"FunctionCall", ">F=F", "VZ"},
		{"Sync", ">S=S", "Z"},
		{"Parse", ">P=P", "1"},
		{"Bind", ">B=B", "2"},
		{"Describe", ">D=D", "tTn"},
		{"Execute", ">E=E", "DCIsGHWdc"},
		{"Close", ">C=C", "3"},
		{"our own query", "ask", "TDCIHWdcZ"},
		{"after ReadyForQuery", ">Q=Q <Z:I=Z.", ""},
		{"in a transaction", ">Q=Q <C:BEGIN=C <Z:T=Z", ""},
		{"skipping", ">P=P <E:42601=E(42601)", ""},
		{"doomed Bind", ">B:cp_9=D(cp_0)", ""},
		{"doomed Describe", ">D:cp_9=D(cp_0)", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, m := range []byte(all) {
				r := newRig(2)
				runScript(t, r, tt.script)
				arg := ""
				if m == wire.ReadyForQuery {
					arg = "I"
				}
				_, v := r.server(m, serverBody(m, arg))
				legal := false
				for _, l := range []byte(tt.legal) {
					legal = legal || l == m
				}
				if (v != broken) != legal {
					t.Errorf("%c: verdict %d, legal is %v", m, v, legal)
				}
				r.close(t)
			}
			r := newRig(2)
			runScript(t, r, tt.script)
			for _, status := range []string{"", "X", "II"} {
				if _, v := r.server(wire.ReadyForQuery, []byte(status)); v != broken {
					t.Errorf("ReadyForQuery with status %q was accepted", status)
				}
			}
			r.close(t)
		})
	}
}

// A server may or may not have answered a Sync that it got while COPY failed, and
// from Postgres 18 on it isn't in order after a Query that didn't end its batch. It
// may go on with this client, but not with another.
func TestExchangeDoubts(t *testing.T) {
	tests := []struct{ name, script string }{
		{"Sync was ignored", ">B=B >E=E >S=S <2=2 <G=G >d=d <E:22P02=E(22P02) >c=- >S=S <Z:I=Z."},
		{"Sync was answered", ">B=B >E=E >S=S <2=2 <G=G <E:23514=E(23514) <Z:I=Z."},
		{"Sync was answered, and another one", ">B=B >E=E >S=S <2=2 <G=G <E:23514=E(23514) >S=S <Z:I=Z. <Z:I=Z."},
		{"simple protocol", ">Q=Q <G=G >S=S <E:22P02=E(22P02) <Z:I=Z. <Z:I=Z."},
		{"a late end", ">Q=Q >S=S <G=G >f=f <E:57014=E(57014) <Z:I=Z."},
		{"a Query that doesn't end the batch before it", ">P=P >Q=Q >S=S <1=1 <C:X=C <Z:T=Z <Z:I=Z."},
		{"out of the blue", ">Q=Q <C:X=C <Z:I=Z. <E:57P01=E(57P01)."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(0)
			runScript(t, r, tt.script)
			if !r.doubt {
				t.Error("there is no doubt about the server")
			}
		})
	}
}

// However much a client asks for in one go, what is noted of it is bounded. Data
// of COPY leaves nothing to note.
func TestExchangeHoldsBackWhatIsTooMuch(t *testing.T) {
	for _, m := range []byte("QFSPBDEC") {
		r := newRig(0)
		n := 0
		for ; n < 2*maxPending; n++ {
			if _, v := r.rigClient(m, "", ""); v == hold {
				break
			}
		}
		if n != maxPending {
			t.Errorf("%c: %d were taken, want %d", m, n, maxPending)
		}
		if _, v := r.rigClient(wire.CopyData, "", ""); v == hold {
			t.Errorf("%c: COPY data was held back", m)
		}
	}
}

func TestExchangeReusesItsQueue(t *testing.T) {
	r := newRig(0)
	runScript(t, r, ">S=S")
	for range 10 * maxPending {
		runScript(t, r, ">S=S <Z:I=Z")
	}
	if len(r.queue) > 2*maxPending {
		t.Errorf("a queue that never ran dry has grown to %d", len(r.queue))
	}
	runScript(t, r, "<Z:I=Z.")
	r.end()
	if cap(r.queue) > keptQueue {
		t.Errorf("a queue of %d is kept", cap(r.queue))
	}
}
