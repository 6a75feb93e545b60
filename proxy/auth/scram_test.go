package auth

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// The example of RFC 7677, section 3.
func TestProofOfRFC7677(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	keys := &scramKeys{iterations: 4096, salt: salt}
	keys.derive("pencil")
	const nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	e := &scramExchange{
		keys: keys, stage: awaitFinal, nonce: nonce,
		first:  clientFirst{header: "n,,", bare: "n=user,r=rOprNGfwEbeRWgbNEkqO"},
		server: "r=" + nonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	}
	out, done, err := e.Step(nil, []byte("c=biws,r="+nonce+",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	if err != nil || !done || !strings.HasSuffix(string(out), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") {
		t.Errorf("%q, %t, %v", out, done, err)
	}
}

func TestCVE_2026_6664_InitialResponseLengths(t *testing.T) {
	message := "n,,n=,r=abcdefgh"
	tests := []struct {
		name string
		body []byte
		ok   bool
	}{
		{"right", initial(scramName, message), true},
		{"length -1 and no message", binary.BigEndian.AppendUint32([]byte(scramName+"\x00"), 1<<32-1), false},
		{"length -1", relength(1<<32-1, message), false},
		{"length 0", relength(0, message), false},
		{"length 0 and no message", relength(0, ""), false},
		{"length 2^31-1", relength(1<<31-1, message), false},
		{"length 2^31", relength(1<<31, message), false},
		{"one too many", relength(uint32(len(message)+1), message), false},
		{"one too few", relength(uint32(len(message)-1), message), false},
		{"no length", []byte(scramName + "\x00"), false},
		{"length cut", []byte(scramName + "\x00\x00\x00\x00"), false},
		{"name without end", []byte(scramName), false},
		{"nothing", nil, false},
		{"other mechanism", initial("SCRAM-SHA-256-PLUS", message), false},
		{"lower case", initial("scram-sha-256", message), false},
		{"no mechanism", initial("", message), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := NewVerifier(nil).Mechanism(SCRAM, "u", ParseSecret(rightPassword), true)
			if err != nil {
				t.Fatal(err)
			}
			if _, done, err := m.Step(nil, tt.body); (err == nil) != tt.ok || done || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%t, %v", done, err)
			}
		})
	}
}

// relength is an initial response whose length field says n.
func relength(n uint32, message string) []byte {
	b := initial(scramName, message)
	binary.BigEndian.PutUint32(b[len(scramName)+1:], n)
	return b
}

func TestClientFirst(t *testing.T) {
	tests := []struct {
		in          string
		ok          bool
		bare, nonce string
	}{
		{"n,,n=,r=abc", true, "n=,r=abc", "abc"},
		{"y,,n=user,r=abc", true, "n=user,r=abc", "abc"},
		{"n,,n=us=2Cer,r=abc,x=1,y=", true, "n=us=2Cer,r=abc,x=1,y=", "abc"},
		{"p=tls-server-end-point,,n=,r=abc", true, "n=,r=abc", "abc"},
		{"p=tls-server-end-point,a=other,n=,r=abc", false, "", ""},
		{"p=tls-unique,,n=,r=abc", false, "", ""},
		{"n,a=other,n=,r=abc", false, "", ""},
		{"y,a=other,n=,r=abc", false, "", ""},
		{"n,,m=ext,n=,r=abc", false, "", ""},
		{"n,,n=,r=abc,m=ext", false, "", ""},
		{"n,,n=,r=abc,", false, "", ""},
		{"n,,n=,r=abc,x", false, "", ""},
		{"n,,n=,r=abc,1=x", false, "", ""},
		{"n,,n=,r=", false, "", ""},
		{"n,,n=,r= abc", false, "", ""},
		{"n,,n=,r=\x7f", false, "", ""},
		{"n,,n=,r=\xc3\xa4", false, "", ""},
		{"n,,n=,r=a\x00b", false, "", ""},
		{"n,,n=,r=" + strings.Repeat("a", maxClientNonce), true, "n=,r=" + strings.Repeat("a", maxClientNonce), strings.Repeat("a", maxClientNonce)},
		{"n,,n=,r=" + strings.Repeat("a", maxClientNonce+1), false, "", ""},
		{"n,,n=" + strings.Repeat("u", maxSCRAM) + ",r=abc", false, "", ""},
		{"n,,r=abc", false, "", ""},
		{"n,,n=", false, "", ""},
		{"n,,", false, "", ""},
		{"n,n=,r=abc", false, "", ""},
		{"N,,n=,r=abc", false, "", ""},
		{"", false, "", ""},
	}
	for _, tt := range tests {
		m, err := parseClientFirst(tt.in)
		if (err == nil) != tt.ok || tt.ok && (m.bare != tt.bare || m.nonce != tt.nonce) {
			t.Errorf("%.60q: %+v, %v", tt.in, m, err)
		}
	}
}

func TestClientFinal(t *testing.T) {
	const proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	short := base64.StdEncoding.EncodeToString(make([]byte, 31))
	long := base64.StdEncoding.EncodeToString(make([]byte, 33))
	tests := []struct {
		in, header   string
		withoutProof string // empty: refused
	}{
		{"c=biws,r=abcdef,p=" + proof, "n,,", "c=biws,r=abcdef"},
		{"c=eSws,r=abcdef,p=" + proof, "y,,", "c=eSws,r=abcdef"},
		{"c=biws,r=abcdef,x=1,y=2,p=" + proof, "n,,", "c=biws,r=abcdef,x=1,y=2"},
		{"c=eSws,r=abcdef,p=" + proof, "n,,", ""},
		{"c=biws,r=abcdef,p=" + proof, "y,,", ""},
		{"c=cD10bHM,r=abcdef,p=" + proof, "n,,", ""},
		{"c=,r=abcdef,p=" + proof, "n,,", ""},
		{"r=abcdef,p=" + proof, "n,,", ""},
		{"c=biws,r=abc,p=" + proof, "n,,", ""},
		{"c=biws,r=abcdefg,p=" + proof, "n,,", ""},
		{"c=biws,r=,p=" + proof, "n,,", ""},
		{"c=biws,p=" + proof, "n,,", ""},
		{"c=biws,r=abcdef", "n,,", ""},
		{"c=biws,r=abcdef,p=", "n,,", ""},
		{"c=biws,r=abcdef,p=" + short, "n,,", ""},
		{"c=biws,r=abcdef,p=" + long, "n,,", ""},
		{"c=biws,r=abcdef,p=" + proof + "\n", "n,,", ""},
		{"c=biws,r=abcdef,p=" + proof + ",x=1", "n,,", ""},
		{"c=biws,r=abcdef,p=" + proof[:len(proof)-2] + "R=", "n,,", ""},
		{"c=biws,r=abcdef,m=ext,p=" + proof, "n,,", ""},
		{"c=biws,r=abcdef,,p=" + proof, "n,,", ""},
		{"c=biws,r=abcdef,x=" + strings.Repeat("x", maxSCRAM) + ",p=" + proof, "n,,", ""},
		{"", "n,,", ""},
	}
	for _, tt := range tests {
		m, err := parseClientFinal(tt.in, tt.header, "abcdef")
		if (err == nil) != (tt.withoutProof != "") || err == nil && m.withoutProof != tt.withoutProof {
			t.Errorf("%.60q: %q, %v", tt.in, m.withoutProof, err)
		}
	}
}

func TestClientsOfManyKinds(t *testing.T) {
	tests := []struct {
		name string
		c    client
		want error
	}{
		{"ordinary", client{}, nil},
		{"would bind the channel if we could", client{header: "y,,"}, nil},
		{"extension", client{extension: ",x=1"}, nil},
		{"binds the channel", client{header: "p=tls-unique,,"}, ErrMalformed},
		{"lies about binding", client{header: "y,,", bind: "biws"}, ErrMalformed},
		{"one bit wrong", client{corrupt: true}, ErrWrongPassword},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := NewVerifier(nil).Mechanism(SCRAM, "u", ParseSecret(makeSecret(rightPassword, 8)), true)
			if err != nil {
				t.Fatal(err)
			}
			tt.c.user, tt.c.password = "u", rightPassword
			if err := tt.c.login(m); !errors.Is(err, tt.want) || err != nil && tt.want == nil {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// The examples of RFC 4013, section 3, and what Postgres does beyond it.
func TestPrepare(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"user", "user"},
		{"USER", "USER"},
		{"I\u00adX", "IX"},
		{"\u00aa", "a"},
		{"\u2168", "IX"},
		{"\u0007", "\u0007"},             // prohibited: as it is
		{"\u0627\u0031", "\u0627\u0031"}, // not bidirectional: as it is
		{"\u0627\u0031\u0628", "\u0627\u0031\u0628"},
		{"\u0627x\u0628", "\u0627x\u0628"},
		{"a\u00a0b", "a b"},
		{"a\u200bb", "a b"},
		{"e\u0301", "\u00e9"},
		{"\u00ad", "\u00ad"}, // nothing would be left
		{"e\u0301\U0001f600", "e\u0301\U0001f600"},
		{"\ufb01\u0007", "\ufb01\u0007"},
		{"\xffe\u0301", "\xffe\u0301"},
		{"p\u00e4ssw\u00f6rd", "p\u00e4ssw\u00f6rd"},
	}
	for _, tt := range tests {
		if got := prepare(tt.in); got != tt.want {
			t.Errorf("prepare(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzSCRAM(f *testing.F) {
	f.Add(initial(scramName, "n,,n=,r=abc"), []byte("c=biws,r=abc,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	f.Add(relength(1<<32-1, "n,,n=,r=abc"), []byte("c=biws,r=abc,x=1,p="))
	f.Add(initial(scramName, "p=tls-unique,a=b,m=x,n=,r=abc"), []byte{})
	f.Fuzz(func(t *testing.T, first, final []byte) {
		v := NewVerifier(counter())
		for _, s := range []Secret{ParseSecret("SCRAM-SHA-256$1:c2FsdA==$" + strings.Repeat("A", 43) + "=:" + strings.Repeat("A", 43) + "="), {}} {
			m, err := v.Mechanism(SCRAM, "u", s, true)
			if err != nil {
				t.Fatal(err)
			}
			out, done, err := m.Step(nil, first)
			if done || len(out) > 2*maxSCRAM || err != nil && len(out) > 0 {
				t.Errorf("%t, %v, %d bytes", done, err, len(out))
			}
			if _, done, _ := m.Step(nil, final); done {
				t.Error("somebody got in")
			}
		}
		if c, err := parseClientFirst(string(first)); err == nil && c.header+c.bare != string(first) {
			t.Errorf("%q and %q aren't %q", c.header, c.bare, first)
		}
		if c, err := parseClientFinal(string(final), "n,,", "abc"); err == nil {
			if want := c.withoutProof + ",p=" + base64.StdEncoding.EncodeToString(c.proof[:]); want != string(final) {
				t.Errorf("%q was read as %q", final, want)
			}
		}
	})
}

func FuzzPrepare(f *testing.F) {
	f.Add("p\u00e4ss")
	f.Add("\u0627x")
	f.Add("\xff\u2168")
	f.Fuzz(func(t *testing.T, in string) {
		once := prepare(in)
		if in != "" && once == "" {
			t.Errorf("nothing is left of %q", in)
		}
	})
}
