package upstream

import (
	"bytes"
	"strings"
	"testing"

	"carpool/proxy/wire"
)

// The example of RFC 7677, section 3.
const (
	rfcNonce     = "rOprNGfwEbeRWgbNEkqO"
	rfcChallenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	rfcReply     = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	rfcFinal     = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

// unbound is an exchange without channel binding.
func unbound() binding { return binding{mechanism: scramMechanism, gs2: gs2Without} }

func rfcExchange() *scram {
	return &scram{binding: unbound(), secret: password{"pencil", &keyCache{}}, nonce: rfcNonce, bare: "n=user,r=" + rfcNonce}
}

func TestSCRAMExampleOfTheRFC(t *testing.T) {
	s := rfcExchange()
	want := append(wire.AppendString(nil, "SCRAM-SHA-256"), 0, 0, 0, 32)
	if got := s.first(); !bytes.Equal(got, append(want, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"...)) {
		t.Errorf("first = %q", got)
	}
	reply, err := s.reply([]byte(rfcChallenge))
	if err != nil || string(reply) != rfcReply {
		t.Fatalf("reply = %q, %v", reply, err)
	}
	if err := s.finish([]byte(rfcFinal)); err != nil || !s.done {
		t.Errorf("finish = %v, done %v", err, s.done)
	}
}

func TestSCRAMNoncesDiffer(t *testing.T) {
	a, b := newSCRAM(unbound(), password{"x", &keyCache{}}), newSCRAM(unbound(), password{"x", &keyCache{}})
	if a.nonce == b.nonce || len(a.nonce) < 24 {
		t.Errorf("nonces %q and %q", a.nonce, b.nonce)
	}
}

// CVE-2026-6665: a server's nonce, salt and counts are hostile.
func TestCVE_2026_6665_HostileChallenges(t *testing.T) {
	const nonce, salt = "r=" + rfcNonce + "x", ",s=W22ZaJ0SNY7soEsUEjb6gQ=="
	tests := []struct{ name, challenge, complaint string }{
		{"nothing", "", "malformed"},
		{"no nonce", "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "malformed"},
		{"empty nonce", "r=" + salt + ",i=4096", "doesn't extend"},
		{"our nonce only", "r=" + rfcNonce + salt + ",i=4096", "doesn't extend"},
		{"another nonce", "r=aaaaaaaaaaaaaaaaaaaaaaaaa" + salt + ",i=4096", "doesn't extend"},
		{"endless nonce", nonce + strings.Repeat("x", maxNonce) + salt + ",i=4096", "nonce is too long"},
		{"binary nonce", nonce + "\x00\x1b" + salt + ",i=4096", "not printable"},
		{"no salt", nonce + ",i=4096", "malformed"},
		{"empty salt", nonce + ",s=,i=4096", "empty"},
		{"bad salt", nonce + ",s=!,i=4096", "malformed"},
		{"endless salt", nonce + ",s=" + strings.Repeat("AAAA", maxSalt) + ",i=4096", "salt is too long"},
		{"no count", nonce + salt, "malformed"},
		{"empty count", nonce + salt + ",i=", "malformed"},
		{"count 0", nonce + salt + ",i=0", "malformed"},
		{"count -1", nonce + salt + ",i=-1", "malformed"},
		{"count +1", nonce + salt + ",i=+1", "malformed"},
		{"count not a number", nonce + salt + ",i=x", "malformed"},
		{"count 2^31-1", nonce + salt + ",i=2147483647", "more than"},
		{"count beyond all numbers", nonce + salt + ",i=99999999999999999999", "malformed"},
		{"extension", "m=x," + nonce + salt + ",i=4096", "extension"},
		{"wrong order", nonce + ",i=4096" + salt, "malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := rfcExchange()
			if reply, err := s.reply([]byte(tt.challenge)); err == nil || !strings.Contains(err.Error(), tt.complaint) {
				t.Errorf("reply = %q, %v; want a complaint with %q", reply, err, tt.complaint)
			}
			if err := s.finish([]byte(rfcFinal)); err == nil || s.done {
				t.Error("the exchange can be finished all the same")
			}
		})
	}
}

func TestServersMustProveThemselves(t *testing.T) {
	for _, final := range []string{
		"", "v=", "v=AAAA", "v=!", "e=other-error", "x=", strings.Repeat("v", 1<<16),
		"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", rfcFinal + "\n", rfcFinal + ",x=y",
	} {
		s := rfcExchange()
		if _, err := s.reply([]byte(rfcChallenge)); err != nil {
			t.Fatal(err)
		}
		if err := s.finish([]byte(final)); err == nil || s.done {
			t.Errorf("the last message %.40q is accepted", final)
		}
	}
	s := rfcExchange()
	if _, err := s.reply([]byte(rfcChallenge)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.reply([]byte(rfcChallenge)); err == nil {
		t.Error("a second challenge is accepted")
	}
}

func TestSaltedPasswordsAreRemembered(t *testing.T) {
	var k keyCache
	salt := []byte("salt")
	one, err := k.salted("p", salt, 10)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := k.salted("p", []byte("salt"), 10)
	other, _ := k.salted("p", salt, 11)
	if &one[0] != &again[0] {
		t.Error("the same was computed twice")
	}
	if bytes.Equal(one, other) {
		t.Error("another count gives the same key")
	}
	for n := range 10 * maxKeys {
		if _, err := k.salted("p", []byte{byte(n)}, 1); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.entries) != maxKeys {
		t.Errorf("%d keys are remembered", len(k.entries))
	}
}

// A server chooses salt and iterations, so neither may come to rest in memory
// that it can grow, nor panic.
func FuzzSCRAM(f *testing.F) {
	f.Add([]byte(rfcChallenge), []byte(rfcFinal))
	f.Add([]byte("r=rOprNGfwEbeRWgbNEkqOx,s=AA==,i=1"), []byte("v="))
	f.Fuzz(func(t *testing.T, challenge, final []byte) {
		s := rfcExchange()
		if c, err := s.parseChallenge(string(challenge)); err != nil || c.iterations > 4096 {
			return // costs time, and nothing new
		}
		if _, err := s.reply(challenge); err != nil {
			t.Fatalf("a challenge that can be read isn't answered: %v", err)
		}
		if err := s.finish(final); err == nil && string(challenge) != rfcChallenge {
			t.Fatalf("%q proves the server's knowledge", final)
		}
	})
}
