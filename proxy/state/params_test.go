package state

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carpool/proxy/wire"
)

// set makes a set from name, value, name, value ...
func set(t testing.TB, i *Interner, pairs ...string) *Params {
	t.Helper()
	var list []wire.Param
	for n := 0; n < len(pairs); n += 2 {
		list = append(list, wire.Param{Name: pairs[n], Value: pairs[n+1]})
	}
	p, ok := i.Of(list)
	if !ok {
		t.Fatalf("Of(%q) refused", pairs)
	}
	return p
}

// with is With for a test that expects it to work.
func with(t testing.TB, i *Interner, p *Params, name, value string) *Params {
	t.Helper()
	out, ok := i.With(p, name, value)
	if !ok {
		t.Fatalf("With(%q, %q) refused", name, value)
	}
	return out
}

func TestEqualSetsAreOnePointer(t *testing.T) {
	var i Interner
	p := set(t, &i, "TimeZone", "UTC", "application_name", "a")
	tests := []struct {
		name string
		got  *Params
		same bool
	}{
		{"other order", set(t, &i, "application_name", "a", "TimeZone", "UTC"), true},
		{"repeated, the last counts", set(t, &i, "timezone", "GMT", "application_name", "a", "TimeZone", "UTC"), true},
		{"one after the other", with(t, &i, set(t, &i, "application_name", "a"), "TimeZone", "UTC"), true},
		{"set to what it was", with(t, &i, p, "TimeZone", "UTC"), true},
		{"there and back", with(t, &i, with(t, &i, p, "TimeZone", "GMT"), "TimeZone", "UTC"), true},
		{"one more and less", i.Without(with(t, &i, p, "DateStyle", "ISO"), "datestyle"), true},
		{"without what isn't there", i.Without(p, "DateStyle"), true},
		{"another value", set(t, &i, "application_name", "b", "TimeZone", "UTC"), false},
		{"another spelling", set(t, &i, "application_name", "a", "timezone", "UTC"), false},
		{"fewer", set(t, &i, "TimeZone", "UTC"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if (tt.got == p) != tt.same {
				t.Errorf("same pointer: %v, want %v", tt.got == p, tt.same)
			}
		})
	}
	if i.Without(set(t, &i, "a", "b"), "a") != nil || set(t, &i) != nil {
		t.Error("the empty set isn't nil")
	}
	runtime.KeepAlive(p)
}

func TestServersSpellingReplacesClients(t *testing.T) {
	var i Interner
	p := with(t, &i, set(t, &i, "timezone", "utc"), "TimeZone", "UTC")
	if got := slices.Collect(p.All()); len(got) != 1 || got[0] != (wire.Param{Name: "TimeZone", Value: "UTC"}) {
		t.Errorf("the set is %q", got)
	}
	if v, ok := p.Value("TIMEZONE"); !ok || v != "UTC" {
		t.Errorf("Value = %q, %v", v, ok)
	}
	if _, ok := p.Value("TimeZon"); ok {
		t.Error("a part of a name was found")
	}
}

func TestSetsHaveLimits(t *testing.T) {
	var i Interner
	p := set(t, &i, "a", "b")
	long := strings.Repeat("x", MaxValueLen)
	part := long[:maxNameLen/3]
	longName := part + "." + part + "." + part
	for _, tt := range []struct {
		name, param, value string
		ok                 bool
	}{
		{"longest value", "x", long, true},
		{"too long a value", "x", long + "x", false},
		{"longest part of a name", long[:maxIdentifier], "", true},
		{"too long a part of a name", "a." + long[:maxIdentifier+1], "", false},
		{"longest name", longName, "", true},
		{"too long a name", longName + "x", "", false},
		{"zero byte", "x", "a\x00b", false},
		{"no name", "", "a", false},
		{"a name with a quote", `x"y`, "a", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := i.With(p, tt.param, tt.value)
			if ok != tt.ok || (got != p) != tt.ok {
				t.Errorf("With answers %v, changed: %v", ok, got != p)
			}
			if _, ok := i.Of([]wire.Param{{Name: tt.param, Value: tt.value}}); ok != tt.ok {
				t.Errorf("Of answers %v", ok)
			}
		})
	}
	grow := func(value string) int {
		p := (*Params)(nil)
		for n := range 10 * MaxParams {
			next, ok := i.With(p, fmt.Sprint("x.y", n), value)
			if !ok {
				return n
			}
			p = next
		}
		return -1
	}
	if n := grow("v"); n != MaxParams {
		t.Errorf("%d parameters fit in a set", n)
	}
	if n := grow(long); n < 1 || n > maxSetLen/MaxValueLen {
		t.Errorf("%d parameters of the greatest length fit in a set", n)
	}
}

// What hostile clients have set once is gone when they are.
func TestUnusedSetsAreForgotten(t *testing.T) {
	var i Interner
	kept := set(t, &i, "application_name", "kept")
	for n := range 10_000 {
		set(t, &i, "application_name", fmt.Sprint(n))
	}
	deadline := time.Now().Add(10 * time.Second)
	for i.Len() > 1 && time.Now().Before(deadline) {
		runtime.GC()
	}
	if n := i.Len(); n != 1 {
		t.Errorf("%d sets are left of those that nobody uses", n-1)
	}
	if set(t, &i, "application_name", "kept") != kept {
		t.Error("a set in use was forgotten")
	}
	runtime.KeepAlive(kept)
}

func TestInternerIsSafeForConcurrentUse(t *testing.T) {
	var i Interner
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			for n := range 2000 {
				value := fmt.Sprint(r.IntN(4))
				p := set(t, &i, "application_name", value)
				q := with(t, &i, with(t, &i, p, "TimeZone", value), "TimeZone", "UTC")
				if i.Without(q, "TimeZone") != p {
					t.Error("equal sets are two pointers")
				}
				if n%500 == 0 {
					runtime.GC()
				}
				runtime.KeepAlive(p)
			}
		})
	}
	wg.Wait()
}

func TestFindingASetDoesNotAllocate(t *testing.T) {
	var i Interner
	p := set(t, &i, "TimeZone", "UTC", "application_name", "a")
	got := testing.AllocsPerRun(100, func() {
		if q, _ := i.With(p, "TimeZone", "UTC"); q != p {
			t.Error("With changed the set")
		}
		p.Value("timezone")
		AppendReplay(nil, p, p)
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
	runtime.KeepAlive(p)
}

func TestSettleTakesTheServersWord(t *testing.T) {
	var i Interner
	reported := set(t, &i, "DateStyle", "ISO, MDY", "TimeZone", "UTC", "application_name", "")
	tests := []struct {
		name           string
		client, server []string
		want           []string
	}{
		{
			"the server was silent: the client means what it has",
			[]string{"DateStyle", "ISO", "TimeZone", "utc"},
			[]string{"DateStyle", "ISO, MDY", "TimeZone", "UTC", "application_name", "x"},
			[]string{"DateStyle", "ISO, MDY", "TimeZone", "UTC"},
		},
		{
			"what is never reported stays the client's",
			[]string{"statement_timeout", "10s", "TimeZone", "gmt"},
			[]string{"statement_timeout", "5s", "TimeZone", "GMT"},
			[]string{"statement_timeout", "10s", "TimeZone", "GMT"},
		},
		{"nothing", nil, []string{"TimeZone", "UTC"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := i.Settle(set(t, &i, tt.client...), set(t, &i, tt.server...), reported)
			if want := set(t, &i, tt.want...); got != want {
				t.Errorf("%q, want %q", slices.Collect(got.All()), slices.Collect(want.All()))
			}
		})
	}
}

func TestNames(t *testing.T) {
	tests := []struct {
		in, canonical       string
		tracked, acceptable bool
	}{
		{"datestyle", "DateStyle", true, true},
		{"TIMEZONE", "TimeZone", true, true},
		{"Application_Name", "application_name", true, true},
		{"my.Custom_1$", "my.Custom_1$", true, true},
		{"Server_Version", "server_version", false, false},
		{"is_superuser", "is_superuser", false, false},
		{"session_authorization", "session_authorization", false, false},
		{"role", "role", false, true},
		{"Sort_Mem", "work_mem", true, true},
		{"vacuum_mem", "maintenance_work_mem", true, true},
		{"user", "user", true, false},
		{"options", "options", true, false},
		{"_pq_.x", "_pq_.x", true, false},
		{"post_auth_delay", "post_auth_delay", true, false},
		{"Seed", "Seed", true, false},
		{"transaction_isolation", "transaction_isolation", true, false},
		{"default_transaction_isolation", "default_transaction_isolation", true, true},
		{"", "", false, false},
		{".", ".", false, false},
		{"a.", "a.", false, false},
		{".a", ".a", false, false},
		{"a..b", "a..b", false, false},
		{"1a", "1a", false, false},
		{"a b", "a b", false, false},
		{"a;b", "a;b", false, false},
		{`a"b`, `a"b`, false, false},
		{"\u00e4", "\u00e4", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			name, tracked := Canonical([]byte(tt.in))
			if name != tt.canonical || tracked != tt.tracked {
				t.Errorf("Canonical = %q, %v", name, tracked)
			}
			if Tracked(tt.in) != tt.tracked {
				t.Errorf("Tracked = %v", !tt.tracked)
			}
			if Acceptable(tt.in, "x") != tt.acceptable {
				t.Errorf("Acceptable = %v", !tt.acceptable)
			}
		})
	}
	for _, value := range []string{"a\x00", "\u00e4", "\x80", strings.Repeat("x", MaxValueLen+1)} {
		if Acceptable("application_name", value) {
			t.Errorf("the value %q is acceptable", value)
		}
	}
	name := []byte("datestyle")
	if n := testing.AllocsPerRun(100, func() { Canonical(name) }); n != 0 {
		t.Errorf("Canonical allocates %v times", n)
	}
}

func TestCleanApplicationName(t *testing.T) {
	for _, tt := range []struct{ in, old, escaped string }{
		{"", "", ""},
		{"gunicorn: worker [app]", "gunicorn: worker [app]", "gunicorn: worker [app]"},
		{"caf\u00e9", "caf??", `caf\xc3\xa9`},
		{"a\tb\n\x7f\x00", "a?b???", `a\x09b\x0a\x7f\x00`},
	} {
		if got := CleanApplicationName(tt.in, false); got != tt.old {
			t.Errorf("%q becomes %q, want %q", tt.in, got, tt.old)
		}
		if got := CleanApplicationName(tt.in, true); got != tt.escaped {
			t.Errorf("%q becomes %q, want %q", tt.in, got, tt.escaped)
		}
	}
}
