package startup_test

import (
	"math/rand/v2"
	"testing"

	"carpool/proxy/auth"
	"carpool/proxy/startup"
)

// maxOut is more than any packet of the default size can make a machine send.
const maxOut = 3 * startup.DefaultMaxPacket

// FuzzMachine feeds the same bytes whole and in random cuts: nothing panics,
// what is sent stays bounded, and both come to the same.
func FuzzMachine(f *testing.F) {
	for _, c := range conversations() {
		var all []byte
		for _, b := range c.sends {
			all = append(all, b...)
		}
		f.Add(all, uint64(1), byte(c.options.TLS)|byte(c.via)<<2, byte(c.method))
	}
	f.Fuzz(func(t *testing.T, in []byte, seed uint64, mode, method byte) {
		run := func(cuts ...int) *shell {
			o := startup.Options{TLS: startup.TLSMode(mode % 3), DirectTLS: mode&16 != 0, IgnoreOptions: mode&32 != 0}
			s := newShell(o, startup.Transport(mode>>2%3))
			s.identified = asking(auth.Method(method % 6))
			s.send(in, cuts...)
			if len(s.out) > maxOut {
				t.Errorf("%d bytes sent", len(s.out))
			}
			return s
		}
		whole := run()
		random := rand.New(rand.NewPCG(seed, 0))
		var some, each []int
		for i := range in {
			if random.IntN(8) == 0 {
				some = append(some, i)
			}
			each = append(each, i)
		}
		for _, cuts := range [][]int{some, each[:min(len(each), 300)]} {
			if got, want := run(cuts...).log.String(), whole.log.String(); got != want {
				t.Errorf("cut at %v:\n%s\nwhole:\n%s", cuts, got, want)
			}
		}
	})
}

func BenchmarkStartupWithoutPassword(b *testing.B) {
	o := &startup.Options{}
	in := hello(3<<16, "user", "bench", "database", "bench", "application_name", "pgbench", "client_encoding", "UTF8")
	b.ReportAllocs()
	for b.Loop() {
		m := startup.New(o, startup.TCP)
		if _, ev := m.Feed(in); ev.Kind != startup.Identify {
			b.Fatal(ev.Kind)
		}
		m.Authenticate(nil)
	}
}

// The most expensive StartupMessage there is, since it is read on a loop.
func BenchmarkStartupOfManyParameters(b *testing.B) {
	pairs := []string{"user", "bench"}
	for i := range startup.MaxParams {
		pairs = append(pairs, "parameter"+string(rune('a'+i%26))+string(rune('a'+i/26)), "x")
	}
	in := hello(3<<16, pairs...)
	b.ReportAllocs()
	for b.Loop() {
		m := startup.New(&startup.Options{}, startup.TCP)
		if _, ev := m.Feed(in); ev.Kind != startup.Identify {
			b.Fatal(ev.Kind, ev.Report)
		}
	}
}
