package proxy

import (
	"strings"
	"testing"

	"carpool/proxy/wire"
)

func TestStatements(t *testing.T) {
	const prepareA = ">P:a:one=P(cp_1) >S=S <1=1 <Z:I=Z. "
	tests := []struct {
		name   string
		size   int
		script string
		names  string // what is left, in order
		cached int
	}{
		{"renamed", 2, ">P:a:one=P(cp_1) >B:a=B(cp_1) >D:a=D(cp_1) >E=E >S=S <1=1 <2=2 <t=t <n=n <C:X=C <Z:I=Z.", "a", 1},
		{"unnamed is left alone", 2, ">P::one=P >B=B >E=E >S=S <1=1 <2=2 <C:X=C <Z:I=Z.", "", 0},
		{"unknown goes to the server as it is", 2, ">B:a=B(a) >S=S <E:26000=E(26000) <Z:I=Z. >D:a=D(a) >S=S <E:26000=E(26000) <Z:I=Z. >C:a=C(a) >S=S <3=3 <Z:I=Z.", "", 0},

		{"shared by two names", 2, prepareA + ">P:b:one=- >S=S <Z:I=1Z.", "ab", 1},
		{"answered from here, in order", 3, prepareA + ">P:b:two=P(cp_2) >P:c:one=- >P:d:three=P(cp_3) >P:e:one=- >S=S <1=11 <1=11 <Z:I=Z.", "abcde", 3},
		{"answered from here, first and last", 2, prepareA + ">P:b:one=- >B:b=B(cp_1) >P:c:one=- >S=S <2=121 <Z:I=Z.", "abc", 1},
		{"closed from here", 2, prepareA + ">C:a=- >S=S <Z:I=3Z. >B:a=B(a) >S=S <E:26000=E(26000) <Z:I=Z.", "", 1},
		{"closing while in use", 2, prepareA + ">B:a=B(cp_1) >C:a=- >E=E >S=S <2=23 <C:X=C <Z:I=Z.", "", 1},
		{"a closed name used again at once", 2, ">P:a:one=P(cp_1) >C:a=- >P:a:two=P(cp_2) >B:a=B(cp_2) >S=S <1=13 <1=1 <2=2 <Z:I=Z.", "a", 2},

		{"Parse put in front of Bind", 1, prepareA + ">P:b:two=C(cp_1)P(cp_2) >B:a=C(cp_2)P(cp_1)B(cp_1) >S=S <3=- <1=1 <3=- <1=- <2=2 <Z:I=Z.", "ab", 1},
		{"Parse put in front of Describe", 1, prepareA + ">P:b:two=C(cp_1)P(cp_2) >S=S <3=- <1=1 <Z:I=Z. >D:a=C(cp_2)P(cp_1)D(cp_1) >S=S <3=- <1=- <t=t <T=T <Z:I=Z.", "ab", 1},
		{"and that Parse fails", 1, prepareA + ">P:b:two=C(cp_1)P(cp_2) >S=S <3=- <1=1 <Z:I=Z. >B:a=C(cp_2)P(cp_1)B(cp_1) >S=S <3=- <E:42P01=E(42P01) <Z:I=Z.", "ab", 0},
		{"news behind an injected Parse", 1, prepareA + ">P:b:two=C(cp_1)P(cp_2) >S=S <S=S <N=- <3=- <1=1 <Z:I=Z.", "ab", 1},

		{"a Parse that fails isn't kept", 2, ">P:a:one=P(cp_1) >S=S <E:42601=E(42601) <Z:I=Z. >P:a:one=P(cp_2) >S=S <1=1 <Z:I=Z.", "a", 1},
		{"skipped Parses and Closes are undone", 2, prepareA + ">P:b:two=P(cp_2) >C:a=- >P:a:three=C(cp_1)P(cp_3) >P:c:two=- >S=S <E:42601=E(42601) <Z:I=Z.", "a", 1},
		{"undone without a Sync", 2, prepareA + ">P:b:two=P(cp_2) >C:a=- >P:c:three=C(cp_1)P(cp_3) <E:42601=E(42601) >C:a=- >S=S <Z:I=Z. >B:a=C(cp_1)P(cp_1)B(cp_1) >S=S <3=- <1=- <2=2 <Z:I=Z.", "a", 1},
		{"what was done before the error stays", 2, ">P:a:one=P(cp_1) >P:b:two=P(cp_2) >S=S <1=1 <E:42601=E(42601) <Z:I=Z.", "a", 1},
		{"a Parse made up before the error stays", 2, prepareA + ">P:b:one=- >B=B >P:c:one=- >S=S <E:34000=1E(34000) <Z:I=Z.", "ab", 1},

		{"taken, in a later batch", 2, prepareA + ">P:a:two=D(cp_0) >B:a=B(cp_1) >S=S <E:26000=E(42P05) <Z:I=Z.", "a", 1},
		{"taken, in the same batch", 2, ">P:a:one=P(cp_1) >P:a:one=D(cp_0) >S=S <1=1 <E:26000=E(42P05) <Z:I=Z.", "a", 1},
		{"the first 63 bytes count", 2, ">P:" + strings.Repeat("n", 63) + "1:one=P(cp_1) >P:" + strings.Repeat("n", 63) + "2:two=D(cp_0) >S=S <1=1 <E:26000=E(42P05) <Z:I=Z. >B:" + strings.Repeat("n", 64) + "=B(cp_1) >S=S <2=2 <Z:I=Z.", strings.Repeat("n", 63), 1},
		{"a client's name like one of ours", 2, prepareA + ">P:cp_1:two=P(cp_2) >B:cp_1=B(cp_2) >S=S <1=1 <2=2 <Z:I=Z.", "acp_1", 2},
		{"one of ours that isn't the client's", 2, prepareA + ">B:cp_1=D(cp_0) >S=S <E:26000=E(26000) <Z:I=Z. >C:cp_1=- >S=S <Z:I=3Z.", "a", 1},

		{"a later batch waits for what may fail", 2, ">P:a:one=P(cp_1) >S=S >B:a=hold <1=1 >B:a=B(cp_1) >S=S <Z:I=Z <2=2 <Z:I=Z.", "a", 1},
		{"it failed", 2, ">P:a:one=P(cp_1) >S=S >B:a=hold >P:a:one=hold >C:a=hold >D:a=hold <E:42601=E(42601) >B:a=B(a) >S=S <Z:I=Z <E:26000=E(26000) <Z:I=Z.", "", 0},
		{"the same text under another name waits, too", 2, ">P:a:one=P(cp_1) >S=S >P:b:one=hold <E:42601=E(42601) >P:b:one=P(cp_2) >S=S <Z:I=Z <1=1 <Z:I=Z.", "b", 1},
		{"a closed name waits, too", 2, prepareA + ">E=E >C:a=- >S=S >P:a:two=hold <E:34000=E(34000) >P:a:two=D(cp_0) >S=S <Z:I=Z <E:26000=E(42P05) <Z:I=Z.", "a", 1},
		{"what was put out waits, too", 1, prepareA + ">E=E >P:b:two=C(cp_1)P(cp_2) >S=S >B:a=hold <E:34000=E(34000) >B:a=C(cp_1)P(cp_1)B(cp_1) >S=S <Z:I=Z <3=- <1=- <2=2 <Z:I=Z.", "a", 1},
		{"unnamed ones never wait", 2, ">P:a:one=P(cp_1) >S=S >P::two=P >B=B >S=S <1=1 <Z:I=Z <1=1 <2=2 <Z:I=Z.", "a", 1},

		{"DEALLOCATE ALL", 2, prepareA + ">Q=Q <C:DEALLOCATE_ALL=C <Z:I=Z. >P:a:one=P(cp_2) >S=S <1=1 <Z:I=Z.", "a", 1},
		{"DISCARD ALL, extended", 2, prepareA + ">P::x=P >B=B >E=E >S=S <1=1 <2=2 <C:DISCARD_ALL=C <Z:I=Z. >C:a=C(a) >S=S <3=3 <Z:I=Z.", "", 0},
		{"DEALLOCATE of one is the server's affair", 2, prepareA + ">Q=Q <C:DEALLOCATE=C <Z:I=Z.", "a", 1},
		{"with a Parse behind it", 2, prepareA + ">Q=Q >P:b:two=P(cp_2) >S=S <C:DEALLOCATE_ALL=C <Z:I=Z <1=1 <Z:I=Z.", "b", 1},
		{"with a Parse behind it that fails", 2, prepareA + ">Q=Q >P:b:two=P(cp_2) >S=S <C:DEALLOCATE_ALL=C <Z:I=Z <E:42601=E(42601) <Z:I=Z.", "", 0},
		{"with a made-up Parse behind it", 2, prepareA + ">P::x=P >B=B >E=E >S=S >P:b:one=- >S=S <1=1 <2=2 <C:DEALLOCATE_ALL=C <Z:I=Z1 <Z:I=Z. >B:b=P(cp_1)B(cp_1) >S=S <1=- <2=2 <Z:I=Z.", "b", 1},
		{"with a known Parse behind it", 2, prepareA + ">Q=Q >P:b:one=C(cp_1)P(cp_1) >S=S <C:DEALLOCATE_ALL=C <Z:I=Z <3=- <1=1 <Z:I=Z.", "b", 1},
		{"with a Close behind it that is skipped", 2, prepareA + ">Q=Q >B=B >C:a=- >S=S <C:DEALLOCATE_ALL=C <Z:I=Z <E:26000=E(26000) <Z:I=Z.", "", 0},
		{"with something put out behind it that is skipped", 1, prepareA + ">Q=Q >B=B >P:b:two=C(cp_1)P(cp_2) >S=S <C:DEALLOCATE_ALL=C <Z:I=Z <E:26000=E(26000) <Z:I=Z.", "", 0},
		{"with something put in and out behind it", 1, ">Q=Q >P:a:one=P(cp_1) >P:b:two=C(cp_1)P(cp_2) >S=S <C:DEALLOCATE_ALL=C <Z:I=Z <1=1 <3=- <1=1 <Z:I=Z.", "ab", 1},
		{"with something put in and out that is skipped", 1, ">Q=Q >B=B >P:a:one=P(cp_1) >P:b:two=C(cp_1)P(cp_2) >S=S <C:DEALLOCATE_ALL=C <Z:I=Z <E:26000=E(26000) <Z:I=Z.", "", 0},

		{"in an aborted transaction", 2, prepareA + ">Q=Q <C:BEGIN=C <Z:T=Z >P:b:x=P(cp_2) >S=S <E:42601=E(42601) <Z:E=Z >P:b:two=D(cp_0) >S=S <E:26000=E(25P02) <Z:E=Z >Q=Q <C:ROLLBACK=C <Z:I=Z.", "a", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(tt.size)
			defer r.close(t)
			runScript(t, r, tt.script)
			names := 0
			for rest := tt.names; rest != ""; names++ {
				n := 1
				switch {
				case strings.HasPrefix(rest, "cp_1"):
					n = 4
				case strings.HasPrefix(rest, "nn"):
					n = maxNameLen
				}
				if _, ok := r.names.names.Lookup([]byte(rest[:n])); !ok {
					t.Errorf("%q is forgotten", rest[:n])
				}
				rest = rest[n:]
			}
			if n := r.names.names.Len(); n != names {
				t.Errorf("%d names are left, want %d", n, names)
			}
			if n := r.names.cache.Len(); n != tt.cached {
				t.Errorf("%d statements are noted of the server, want %d", n, tt.cached)
			}
			if r.doubt {
				t.Error("there is doubt about the server")
			}
		})
	}
}

// The server has other statements than was thought: it goes when the client
// is done with it.
func TestStatementsDoubtTheServer(t *testing.T) {
	for _, script := range []string{
		">P:a:one=P(cp_1) >S=S <1=1 <Z:I=Z. >B:a=B(cp_1) >S=S <E:26000=E(26000) <Z:I=Z.",
		">P:a:one=P(cp_1) >S=S <1=1 <Z:I=Z. >D:a=D(cp_1) >S=S <E:26000=E(26000) <Z:I=Z.",
		">P:a:one=P(cp_1) >S=S <E:42P05=E(42P05) <Z:I=Z.",
	} {
		r := newRig(2)
		runScript(t, r, script)
		if !r.doubt {
			t.Errorf("%s: there is no doubt", script)
		}
		r.close(t)
	}
}

func TestStatementsOfOneClientAreLimited(t *testing.T) {
	r := newRig(2)
	r.names.maxNames.Store(2)
	runScript(t, r, ">P:a:one=P(cp_1) >P:b:two=P(cp_2) >P:c:three=D(cp_0) >S=S <1=1 <1=1 <E:26000=E(53400) <Z:I=Z.")
	runScript(t, r, ">C:a=- >P:c:three=C(cp_1)P(cp_3) >S=S <3=3 <1=1 <Z:I=Z.")
	r.close(t)
}

func TestStatementsMoveToAnotherServer(t *testing.T) {
	r, other := newRig(2), newRig(2)
	runScript(t, r, ">P:a:one=P(cp_1) >S=S <1=1 <Z:I=Z.")
	here := r.names.cache
	r.end()
	r.names.cache = other.names.cache
	r.begin(&r.names, &r.schema)
	runScript(t, r, ">B:a=P(cp_1)B(cp_1) >E=E >S=S <1=- <2=2 <C:X=C <Z:I=Z.")
	here.Clear()
	r.close(t)
}

// A conversation that is broken off in the middle of everything.
func TestStatementsAreReleasedWhenAServerIsLost(t *testing.T) {
	r := newRig(1)
	runScript(t, r, ">P:a:one=P(cp_1) >P:b:two=C(cp_1)P(cp_2) >C:a=- >B:b=B(cp_2) >P:b:x=D(cp_0) >P:c:two=-")
	r.close(t)
}

// What is malformed goes to the server, whose error it is to explain.
func TestStatementsLeaveMalformedMessagesAlone(t *testing.T) {
	tests := []struct {
		t    byte
		body string
	}{
		{wire.Parse, "a\x00select"},
		{wire.Parse, "a"},
		{wire.Parse, "a\x00select\x00\x00\x01"},
		{wire.Parse, ""},
		{wire.Describe, ""},
		{wire.Describe, "Sa\x00!"},
		{wire.Describe, "Xa\x00"},
		{wire.Close, "Sa"},
		{wire.Close, "Sa\x00!"},
		{wire.Bind, "\x00"},
	}
	for _, tt := range tests {
		r := newRig(1)
		if _, v := r.client(tt.t, []byte(tt.body)); v != forward || r.names.names.Len() != 0 {
			t.Errorf("%c %q: verdict %d, %d names", tt.t, tt.body, v, r.names.names.Len())
		}
		r.close(t)
	}
}

// A name that takes the place of the server's error is kept no longer than
// names can be.
func TestStatementsKeepNoLongNames(t *testing.T) {
	r := newRig(1)
	long := "cp" + strings.Repeat("x", 10_000)
	runScript(t, r, ">B:"+long+"=D(cp_0)")
	if _, name := r.refusalDue(); len(name) > maxNameLen {
		t.Errorf("a name of %d bytes is kept", len(name))
	}
	r.close(t)
}
