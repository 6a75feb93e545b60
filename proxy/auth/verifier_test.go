package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"carpool/proxy/wire"
)

const rightPassword = "open sesame"

func secretOf(kind, user string) Secret {
	switch kind {
	case "plain":
		return ParseSecret(rightPassword)
	case "md5":
		return ParseSecret("md5" + md5Hex(rightPassword, user))
	case "scram":
		return ParseSecret(makeSecret(rightPassword, 8))
	}
	return Secret{}
}

func TestMethodsAgainstSecrets(t *testing.T) {
	for _, method := range []Method{Plain, MD5, SCRAM} {
		for _, kind := range []string{"plain", "md5", "scram", "none"} {
			for _, password := range []string{rightPassword, "Open sesame", ""} {
				for _, known := range []bool{true, false} {
					t.Run(fmt.Sprintf("%s %s %q %t", method, kind, password, known), func(t *testing.T) {
						v := NewVerifier(nil)
						v.Configure(8, nil, false)
						m, err := v.Mechanism(method, "u", secretOf(kind, "u"), known)
						if err != nil {
							t.Fatal(err)
						}
						want := ErrWrongPassword
						switch {
						case password == "" && method == Plain:
							want = ErrEmptyPassword
						case !known:
							want = ErrUnknownUser
						case kind == "none":
							want = ErrNoSecret
						case kind == "md5" && method == SCRAM:
							want = ErrMD5Secret
						case password == rightPassword:
							want = nil
						}
						c := &client{user: "u", password: password}
						if err := c.login(m); !errors.Is(err, want) || err != nil && want == nil {
							t.Errorf("got %v, want %v", err, want)
						}
					})
				}
			}
		}
	}
}

func TestMethodsThatAskNothing(t *testing.T) {
	tests := []struct {
		method Method
		known  bool
		want   error
	}{
		{Any, true, nil},
		{Any, false, nil},
		{Trust, true, nil},
		{Trust, false, ErrUnknownUser},
		{0, true, ErrNoMethod},
		{99, true, ErrNoMethod},
	}
	for _, tt := range tests {
		m, err := NewVerifier(nil).Mechanism(tt.method, "u", Secret{}, tt.known)
		if m != nil || !errors.Is(err, tt.want) {
			t.Errorf("%s, known=%t: %v, %v; want %v", tt.method, tt.known, m, err, tt.want)
		}
	}
}

// A secret that was made from the empty password is none.
func TestCVE_2017_7546_EmptyPasswordIsRefused(t *testing.T) {
	secrets := map[string]Secret{
		"empty":          ParseSecret(""),
		"null":           {},
		"md5 of nothing": ParseSecret("md5" + md5Hex("", "u")),
		"scram":          ParseSecret(makeSecret(rightPassword, 8)),
		"plain":          ParseSecret(rightPassword),
	}
	for name, s := range secrets {
		for _, method := range []Method{Plain, MD5, SCRAM} {
			m, err := NewVerifier(nil).Mechanism(method, "u", s, true)
			if err != nil {
				t.Fatal(err)
			}
			if err := (&client{user: "u"}).login(m); err == nil {
				t.Errorf("%s, %s: the empty password got in", method, name)
			}
		}
	}
	m, err := NewVerifier(nil).Mechanism(Plain, "u", ParseSecret(makeSecret("", 8)), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&client{user: "u"}).login(m); !errors.Is(err, ErrEmptyPassword) {
		t.Errorf("secret of the empty password: %v", err)
	}
}

// Whoever asks for a user that isn't there sees what he would see of one that
// is, and sees it again the next time.
func TestCVE_2015_6817_UnknownUserGoesThroughTheSameExchange(t *testing.T) {
	lists := map[string]string{
		"plain": `"known" "open sesame"`,
		"md5":   `"known" "md5` + md5Hex(rightPassword, "known") + `"`,
		"scram": `"known" "` + makeSecret(rightPassword, 16) + `"`,
		"mixed": `"known" "` + makeSecret(rightPassword, 16) + "\"\n\"b\" \"" + makeSecret("b", 16) + "\"\n\"c\" \"plain\"\n\"d\" \"\"",
	}
	for name, list := range lists {
		users, err := LoadUsers(strings.NewReader(list), name)
		if err != nil {
			t.Fatal(err)
		}
		v := NewVerifier(counter())
		v.Configure(8, users, false)
		look := func(method Method, user, password string) *client {
			s, known := users.Lookup(user)
			m, err := v.Mechanism(method, user, s, known)
			if err != nil {
				t.Fatal(err)
			}
			c := &client{user: user, password: password}
			if err := c.login(m); err == nil {
				t.Errorf("%s, %s: %s got in", name, method, user)
			}
			return c
		}
		// What a SCRAM client is shown, but for the part of the server's nonce.
		shown := func(c *client) (salt, iterations string) {
			if f := strings.Split(c.first, ","); len(f) == 3 {
				return f[1], f[2]
			}
			return "", ""
		}
		for _, method := range []Method{Plain, MD5, SCRAM} {
			known, unknown := look(method, "known", "wrong"), look(method, "unknown", rightPassword)
			if !slices.Equal(known.requests, unknown.requests) {
				t.Errorf("%s, %s: requests %v for a known user, %v for an unknown one", name, method, known.requests, unknown.requests)
			}
			salt, iterations := shown(known)
			salt1, iterations1 := shown(unknown)
			if iterations != iterations1 || len(salt) != len(salt1) {
				t.Errorf("%s, %s: %q for a known user, %q for an unknown one", name, method, known.first, unknown.first)
			}
			if again, _ := shown(look(method, "unknown", "x")); again != salt1 {
				t.Errorf("%s, %s: the salt of an unknown user changes", name, method)
			}
			if other, _ := shown(look(method, "stranger", "x")); other != "" && other == salt1 {
				t.Errorf("%s, %s: two unknown users have the same salt", name, method)
			}
		}
	}
}

// Under the plain method a SCRAM secret costs PBKDF2, so an unknown user has
// to cost it too where secrets are SCRAM ones.
func TestUnknownUserCostsTheSameWork(t *testing.T) {
	users, err := LoadUsers(strings.NewReader(`"known" "`+makeSecret(rightPassword, 16)+`"`), "userlist")
	if err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(nil)
	v.Configure(0, users, false)
	for _, user := range []string{"known", "unknown"} {
		s, known := users.Lookup(user)
		m, err := v.Mechanism(Plain, user, s, known)
		if err != nil {
			t.Fatal(err)
		}
		m.Begin(nil)
		if _, done, err := m.Step(nil, []byte("x\x00")); done || err != nil || m.Work() == nil {
			t.Errorf("%s: done=%t, %v, no work to do", user, done, err)
		}
	}
}

// The keys of a plain secret are derived for the first client only, whoever
// comes at the same time, and anew when the iterations change.
func TestDerivedKeysAreShared(t *testing.T) {
	v := NewVerifier(nil)
	s := ParseSecret(rightPassword)
	for _, iterations := range []int{16, 32} {
		v.Configure(iterations, nil, false)
		var salts sync.Map
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(func() {
				m, err := v.Mechanism(SCRAM, "u", s, true)
				if err != nil {
					t.Error(err)
					return
				}
				c := &client{user: "u", password: rightPassword}
				if err := c.login(m); err != nil {
					t.Error(err)
				}
				salts.Store(strings.SplitN(c.first, ",", 2)[1], true)
			})
		}
		clients.Wait()
		n := 0
		salts.Range(func(_, _ any) bool { n++; return true })
		if n != 1 {
			t.Errorf("%d different salts", n)
		}
		m, err := v.Mechanism(SCRAM, "u", s, true)
		if err != nil {
			t.Fatal(err)
		}
		e := m.(*scramExchange)
		if !e.derived.done.Load() || e.keys.iterations != iterations {
			t.Errorf("keys not derived, or with %d iterations", e.keys.iterations)
		}
	}
}

func TestMD5SaltsDontRepeat(t *testing.T) {
	v := NewVerifier(nil)
	seen := make(map[[4]byte]bool)
	ordered := 0
	var last [4]byte
	const n = 120_000 // random salts would be likely to repeat
	for range n {
		salt := v.salts.next()
		if seen[salt] {
			t.Fatalf("salt %x repeats after %d", salt, len(seen))
		}
		seen[salt] = true
		if string(salt[:]) > string(last[:]) {
			ordered++
		}
		last = salt
	}
	if ordered < n/3 || ordered > n*2/3 {
		t.Errorf("%d of %d salts are larger than the one before", ordered, n)
	}
}

// An answer that was overheard is worth nothing with the next salt or nonce.
func TestOverheardAnswersAreWorthless(t *testing.T) {
	v := NewVerifier(nil)
	for _, method := range []Method{MD5, SCRAM} {
		var bodies [][]byte
		for range 2 {
			m, err := v.Mechanism(method, "u", secretOf(map[Method]string{MD5: "md5", SCRAM: "scram"}[method], "u"), true)
			if err != nil {
				t.Fatal(err)
			}
			r := &recorder{Mechanism: m, replay: bodies}
			err = (&client{user: "u", password: rightPassword}).login(r)
			if (err == nil) != (bodies == nil) {
				t.Errorf("%s, replayed=%t: %v", method, bodies != nil, err)
			}
			bodies = r.bodies
		}
	}
}

// recorder keeps what the client sends, or sends something older instead.
type recorder struct {
	Mechanism
	bodies, replay [][]byte
}

func (r *recorder) Step(dst, body []byte) ([]byte, bool, error) {
	if len(r.replay) > 0 {
		body, r.replay = r.replay[0], r.replay[1:]
	}
	r.bodies = append(r.bodies, slices.Clone(body))
	return r.Mechanism.Step(dst, body)
}

func TestPasswordMessages(t *testing.T) {
	tests := []struct {
		body string
		want error
	}{
		{"open sesame\x00", nil},
		{"", ErrMalformed},
		{"\x00", ErrEmptyPassword},
		{"open sesame", ErrMalformed},
		{"open sesame\x00\x00", ErrMalformed},
		{"open\x00sesame\x00", ErrMalformed},
		{"open sesame\x00x", ErrMalformed},
		{"OPEN SESAME\x00", ErrWrongPassword},
		{strings.Repeat("x", 64<<10) + "\x00", ErrWrongPassword},
	}
	for _, tt := range tests {
		m, err := NewVerifier(nil).Mechanism(Plain, "u", ParseSecret(rightPassword), true)
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := m.Step(nil, []byte(tt.body))
		if work := m.Work(); work != nil {
			if len(tt.body) <= quickPassword {
				t.Errorf("%.20q: work to do", tt.body)
			}
			work()
			_, done, err = m.Resume(nil)
		}
		if !errors.Is(err, tt.want) || done != (tt.want == nil) {
			t.Errorf("%.20q: %t, %v; want %v", tt.body, done, err, tt.want)
		}
	}
}

// The request and the answers of a login with a SCRAM secret, without the
// client's share.
func BenchmarkSCRAMLogin(b *testing.B) {
	v := NewVerifier(counter())
	s := ParseSecret(makeSecret(rightPassword, 4096))
	first := initial(scramName, "n,,n=,r=fyko+d2lbbFgONRv9qkxdawL")
	out := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		m, err := v.Mechanism(SCRAM, "u", s, true)
		if err != nil {
			b.Fatal(err)
		}
		out = m.Begin(out[:0])
		out, _, err = m.Step(out[:0], first)
		if err != nil {
			b.Fatal(err)
		}
		nonce := m.(*scramExchange).nonce
		final := "c=biws,r=" + nonce + ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
		if _, _, err := m.Step(out[:0], []byte(final)); !errors.Is(err, ErrWrongPassword) {
			b.Fatal(err)
		}
	}
}

func TestSCRAMLoginIsCheap(t *testing.T) {
	v := NewVerifier(counter())
	s := ParseSecret(makeSecret(rightPassword, 4096))
	first := initial(scramName, "n,,n=,r=fyko+d2lbbFgONRv9qkxdawL")
	out := make([]byte, 0, 512)
	allocs := testing.AllocsPerRun(100, func() {
		m, _ := v.Mechanism(SCRAM, "u", s, true)
		out = m.Begin(out[:0])
		out, _, _ = m.Step(out[:0], first)
		final := "c=biws,r=" + m.(*scramExchange).nonce + ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
		if m.Work() != nil {
			t.Error("there is work to do")
		}
		_, _, _ = m.Step(out[:0], []byte(final))
	})
	if allocs > 60 {
		t.Errorf("%.0f allocations", allocs)
	}
}

func TestMechanismsSurviveCallsOutOfTurn(t *testing.T) {
	for _, method := range []Method{Plain, MD5, SCRAM} {
		m, err := NewVerifier(nil).Mechanism(method, "u", ParseSecret(rightPassword), true)
		if err != nil {
			t.Fatal(err)
		}
		if out, done, err := m.Resume(nil); done || err == nil || len(out) > 0 {
			t.Errorf("%s: Resume before anything: %q, %t, %v", method, out, done, err)
		}
		for range 3 {
			if _, done, err := m.Step(nil, []byte("x\x00")); done || err == nil {
				t.Errorf("%s: %t, %v", method, done, err)
			}
		}
		if out := m.Begin(nil); out[0] != wire.Authentication {
			t.Errorf("%s: Begin appends %q", method, out)
		}
	}
}
