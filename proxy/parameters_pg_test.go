package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"carpool/proxy/wire"
)

// wishes are parameters that a client may bring, with the values they may have.
var wishes = []struct {
	name   string
	values []string
}{
	{"client_encoding", []string{"UTF8", "SQL_ASCII", "latin1"}},
	{"DateStyle", []string{"ISO", "ISO, DMY", "German", "SQL, MDY", "ISO, MDY"}},
	{"TimeZone", []string{"utc", "Europe/Berlin", "Asia/Tokyo", "America/New_York"}},
	{"IntervalStyle", []string{"postgres", "iso_8601", "sql_standard"}},
	{"standard_conforming_strings", []string{"on", "off"}},
	{"extra_float_digits", []string{"0", "2", "3"}},
	{"search_path", []string{"public", "pg_catalog, public", `"$user", public`, `"with space", "qu""ote"`}},
	{"statement_timeout", []string{"50s", "70s", "2min"}},
	{"application_name", []string{"a", "it's", `back\slash`, `"quoted"`}},
	{"lock_timeout", []string{"40s", "41s"}},
	{"work_mem", []string{"1MB", "2MB"}},
	{"role", []string{"none", "pg_monitor", "pg_read_all_stats"}},
}

// wish is a random set of parameters: some as parameters of the start-up
// packet, some in options.
func wish(rng *rand.Rand) (params []wire.Param, options string) {
	escape := strings.NewReplacer(`\`, `\\`, " ", `\ `)
	for _, w := range wishes {
		value := w.values[rng.IntN(len(w.values))]
		switch rng.IntN(3) {
		case 0:
			params = append(params, wire.Param{Name: w.name, Value: value})
		case 1:
			options += fmt.Sprintf(" -c %s=%s", w.name, escape.Replace(value))
		}
	}
	return params, options
}

// shown asks for the parameters together with a piece of work, in one simple
// query.
func shown(work string) string {
	parts := []string{"'" + work + "'"}
	for _, w := range wishes {
		parts = append(parts, fmt.Sprintf("current_setting('%s')", w.name))
	}
	return "select concat_ws('|', " + strings.Join(parts, ", ") + ")"
}

// Clients with different parameters share servers, and each finds its own at
// all times.
func TestEveryClientHasItsOwnParameters(t *testing.T) {
	const clients, rounds = 32, 650
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 3")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var wait sync.WaitGroup
	for i := range clients {
		params, options := wish(rng)
		if options != "" {
			params = append(params, wire.Param{Name: "options", Value: options})
		}
		reference := talk(t, postgres.Address(), params...)
		want := reference.query(shown("work"))
		_ = reference.conn.Close()
		k := talk(t, p.address(), params...)
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		wait.Go(func() { k.keepsItsParameters(want, rounds, r) })
	}
	wait.Wait()
}

func (k *talker) keepsItsParameters(want string, rounds int, rng *rand.Rand) {
	_, rest, _ := strings.Cut(want, "|")
	for n := range rounds {
		work := fmt.Sprint("work", n)
		var list []answer
		switch rng.IntN(4) {
		case 0:
			list = k.ask(parse("", shown(work)), bind("", ""), execute("", 0), syncNow)
		case 1:
			list = append(k.ask(simple("begin")), k.ask(simple(shown(work)))...)
			list = append(list, k.ask(simple("commit"))...)
		default:
			list = k.ask(simple(shown(work)))
		}
		if got := values(list); len(got) != 1 || got[0] != work+"|"+rest {
			k.t.Errorf("round %d:\ngot  %q, %s\nwant %q", n, got, types(list), work+"|"+rest)
			return
		}
	}
}

// What a client sets of the parameters that servers report follows it, and
// nobody else sees it.
func TestSetFollowsTheClient(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	a, b := talk(t, p.address()), talk(t, p.address())
	before := b.query("show timezone")
	a.query("set timezone to 'Asia/Tokyo'; set application_name to 'follows'")
	if a.params["TimeZone"] != "Asia/Tokyo" {
		t.Errorf("the client was told %q", a.params["TimeZone"])
	}
	seen := map[string]bool{}
	for range 10 {
		pid, release := p.hold(t)
		if got := a.query("show timezone"); got != "Asia/Tokyo" {
			t.Errorf("the client that set it: %s", got)
		}
		if got := b.query("show timezone"); got != before {
			t.Errorf("the other client: %s, was %s", got, before)
		}
		seen[pid] = true
		first, releaseOther := p.hold(t)
		seen[first] = true
		release()
		b.query("select 1")
		releaseOther()
	}
	if len(seen) != 2 {
		t.Errorf("%d servers were used, want 2", len(seen))
	}
	// A rolled back SET is taken back, and SET LOCAL ends with its transaction.
	a.query("begin; set timezone to 'Asia/Seoul'")
	a.query("rollback")
	a.query("begin; set local timezone to 'Asia/Seoul'")
	a.query("commit")
	_, release := p.hold(t)
	if got := a.query("show timezone"); got != "Asia/Tokyo" || a.params["TimeZone"] != got {
		t.Errorf("after rollback: %s, told %s", got, a.params["TimeZone"])
	}
	release()
}

// A value that Postgres doesn't accept is refused in Postgres's words, and
// costs nobody a server.
func TestBadParametersAreRefusedByPostgres(t *testing.T) {
	tests := []struct {
		name, value string
	}{
		{"TimeZone", "Mars/Olympus"},
		{"DateStyle", "nonsense"},
		{"client_encoding", "klingon"},
		{"statement_timeout", "soon"},
		{"work_mem", "1"},
		{"no_such_parameter", "x"},
		{"extra_float_digits", "99"},
		{"max_connections", "7"},
		{"IntervalStyle", "it's; drop table t"},
		{"options", "-c work_mem=1"},
		{"role", "nobody_has_it"},
		{"options", "-c role=nobody_has_it"},
	}
	for _, mode := range []string{"transaction", "session"} {
		p := startPooler(t, "pool_mode = "+mode+"\ndefault_pool_size = 1")
		first := talk(t, p.address())
		pid := first.query("select pg_backend_pid()")
		if mode == "session" {
			_ = first.conn.Close()
		}
		for _, tt := range tests {
			t.Run(mode+"/"+tt.name, func(t *testing.T) {
				want, ok := dialTalker(t, postgres.Address()).logIn(param(tt.name, tt.value)...)
				if ok {
					t.Fatal("Postgres accepts it")
				}
				k := dialTalker(t, p.address())
				got, ok := k.logIn(param(tt.name, tt.value)...)
				if ok || got.Code != want.Code || got.Message != want.Message || got.Severity != "FATAL" {
					t.Errorf("got %+v (let in: %v), Postgres says %+v", got, ok, want)
				}
				_ = k.conn.Close()
				next := talk(t, p.address())
				if got := next.query("select pg_backend_pid()"); got != pid && mode == "transaction" {
					t.Errorf("the server was replaced: %s, was %s", got, pid)
				}
				_ = next.conn.Close()
			})
		}
	}
}

// What clients call themselves costs no server at their login, whatever else
// they ask for: a server has granted that before.
func TestNamesNeedNoServer(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	talk(t, p.address(), param("TimeZone", "Asia/Tokyo", "application_name", "the first")...)
	_, release := p.hold(t)
	named := talk(t, p.address(), param("TimeZone", "Asia/Tokyo", "application_name", "the caf\u00e9")...)
	if got := named.params["application_name"] + " in " + named.params["TimeZone"]; got != "the caf?? in Asia/Tokyo" {
		t.Errorf("it was told of %q", got)
	}
	talk(t, p.address(), param("application_name", "plain")...)
	release()
	if got := named.query("select current_setting('application_name') || ' in ' || current_setting('TimeZone')"); got != "the caf?? in Asia/Tokyo" {
		t.Errorf("it is %q", got)
	}
}

// A client is told at its login how the server spells what it asked for, whether
// or not a server has taken the same before.
func TestClientIsToldTheServersSpelling(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	for round := range 2 {
		k := talk(t, p.address(), param("timezone", "utc", "DATESTYLE", "german", "client_encoding", "utf-8")...)
		want := map[string]string{"TimeZone": "UTC", "DateStyle": "German, DMY", "client_encoding": "UTF8"}
		for name, value := range want {
			if got := k.params[name]; got != value && !(name == "client_encoding" && strings.EqualFold(strings.ReplaceAll(got, "-", ""), value)) {
				t.Errorf("client %d was told that %s is %q, want %q", round+1, name, got, value)
			}
		}
		if _, twice := k.params["timezone"]; twice {
			t.Error("it was told of timezone, too")
		}
	}
}

// Clients that mean the same by different spellings don't set it back and
// forth when they take turns on a server.
func TestSpellingsOfTheSameAreNotReplayed(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	spellings := [][]wire.Param{
		nil,
		param("DateStyle", "ISO"),
		param("DateStyle", "ISO, MDY"),
		param("datestyle", "iso,mdy"),
		param("client_encoding", "utf-8"),
		param("client_encoding", "UTF8"),
		param("client_encoding", "unicode"),
		param("standard_conforming_strings", "true"),
		param("standard_conforming_strings", "on"),
	}
	base := talk(t, p.address())
	base.query("select 1")
	if base.params["client_encoding"] != "UTF8" || base.params["DateStyle"] != "ISO, MDY" {
		spellings = spellings[:4] // another cluster has other defaults
	}
	clients := make([]*talker, len(spellings))
	for i, s := range spellings {
		clients[i] = talk(t, p.address(), s...)
		clients[i].query("select 1")
	}
	for range 2 { // until everyone has had its turn after everyone else's first
		for _, k := range clients {
			k.query("select 1")
		}
	}
	before := p.Pools()[0].Traffic.Replays
	for range 10 {
		for _, k := range clients {
			k.query("select 1")
		}
	}
	if n := p.Pools()[0].Traffic.Replays - before; n != 0 {
		t.Errorf("parameters were set %d times", n)
	}
	other := talk(t, p.address(), param("TimeZone", "Asia/Tokyo")...)
	other.query("select 1")
	clients[0].query("select 1")
	if n := p.Pools()[0].Traffic.Replays - before; n < 2 {
		t.Errorf("%d replays for a client with another time zone: the count shows nothing", n)
	}
}

// A client that resets everything on its server takes nothing from others.
func TestDiscardAllKeepsOthersParameters(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	k := talk(t, p.address(), param("extra_float_digits", "3", "work_mem", "3MB", "TimeZone", "Asia/Tokyo")...)
	other := talk(t, p.address())
	ask := "select concat_ws('|', current_setting('extra_float_digits'), current_setting('work_mem'), current_setting('TimeZone'))"
	const want = "3|3MB|Asia/Tokyo"
	for range 3 {
		if got := k.query(ask); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		other.query("discard all")
		k.query(ask)
		k.query("discard all")
		if got := k.query("select current_setting('work_mem')"); got != "3MB" {
			t.Errorf("after the client's own: work_mem is %s", got)
		}
		k.query("set timezone to 'Asia/Tokyo'") // as far as servers report it, what it did counts
	}
}

// A custom parameter is there once it was set or reset, on every server, and
// never goes: that is how Postgres has it.
func TestEmptyCustomParameters(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	const ask = "select coalesce(current_setting('app.e', true), 'none')"
	for _, script := range [][]string{
		{"set app.e to ''"},
		{"x:set app.e to ''"},
		{"begin; set app.e to ''; commit"},
		{"select set_config('app.e', '', false)"},
		{"set app.e to 'x'", "reset app.e"},
		{"set app.e to 'x'", "x:reset app.e"},
		{"begin", "set app.e to 'x'", "reset app.e", "commit"},
		{"begin", "set app.e to 'x'", "rollback"},
		{"reset app.e"},
		{"set app.e to 'x'", "reset all"},
		{"set app.e to 'x'", "discard all"},
		{"set app.e to ''", "set app.e to 'x'"},
	} {
		direct, pooled := talk(t, postgres.Address()), talk(t, p.address())
		direct.run(script...)
		pooled.doing = fmt.Sprint(script)
		pooled.run(script...)
		want := direct.query(ask)
		for range 2 {
			p.onBoth(t, func() {
				if got := pooled.query(ask); got != want {
					t.Errorf("%s: %q, directly %q", pooled.doing, got, want)
				}
			})
		}
		if n := len(p.Pins()); n > 0 {
			t.Errorf("%s: %d pins", pooled.doing, n)
		}
		_ = direct.conn.Close()
		_ = pooled.conn.Close()
		p.recycle(t)
	}
}

// recycle has the servers of the shared database be opened anew.
func (p *pooler) recycle(t *testing.T) {
	t.Helper()
	eventually(t, "the servers to be free", func() bool { return p.Pools()[0].Pool.Leased == 0 })
	talk(t, postgres.Address()).query("select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid() and datname = 'app'")
	eventually(t, "the servers to be gone", func() bool { return p.Pools()[0].Pool.Open == 0 })
}

// A RESET counts for what is sent right behind its answer, though the server is
// asked what it holds meanwhile.
func TestResetWhileAudited(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\nsession_audit = always")
	k := talk(t, p.address(), param("statement_timeout", "77s")...)
	for range 50 {
		k.run("reset statement_timeout")
		if got := k.query("show statement_timeout"); got != "77s" {
			t.Fatalf("the client is given %s", got)
		}
	}
}

// A client that wants to be thrown out when it is idle doesn't have servers end
// themselves that wait for others.
func TestIdleSessionTimeoutDoesNotEndFreeServers(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 1")
	admin := talk(t, postgres.Address())
	a := talk(t, p.address())
	a.run("set idle_session_timeout to 20")
	pid := a.query("select pg_backend_pid()")
	if got := a.query("show idle_session_timeout"); got != "20ms" {
		t.Error(got)
	}
	admin.run("select pg_sleep(0.2)")
	if got := admin.query("select count(*) from pg_stat_activity where pid = " + pid); got != "1" {
		t.Errorf("%s servers", got)
	}
	if got := a.query("show idle_session_timeout"); got != "20ms" {
		t.Error(got)
	}
}
