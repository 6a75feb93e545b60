package config

import (
	"strings"
	"testing"
	"time"
)

// parsePolicies reads "general kind=policy ..." as the result of a resolution
// is written in the tables: the policy of all kinds but those named.
func parsePolicies(t *testing.T, text string) StatePolicies {
	t.Helper()
	var all StatePolicies
	for i, word := range strings.Fields(text) {
		name, value, one := strings.Cut(word, "=")
		if !one {
			value = name
		}
		p, err := parseEnum[Policy](value)
		if err != nil || one != (i > 0) {
			t.Fatalf("the table has %q: %v", text, err)
		}
		if !one {
			for kind := range all {
				all[kind] = p
			}
			continue
		}
		kind, err := parseEnum[StateKind](name)
		if err != nil {
			t.Fatalf("the table has %q: %v", text, err)
		}
		all[kind] = p
	}
	return all
}

func TestPolicyPrecedence(t *testing.T) {
	for _, test := range []struct{ global, database, user, want string }{
		{"", "", "", "transparent"},
		{"session_state=ignore", "", "", "ignore"},
		{"state_locks=reject", "", "", "transparent locks=reject"},
		{"session_state=reject state_locks=ignore", "", "", "reject locks=ignore"},
		{"state_locks=ignore session_state=reject", "", "", "reject locks=ignore"},
		// A narrower scope's general setting comes before a wider one's for the kind.
		{"state_locks=ignore", "session_state=reject", "", "reject"},
		{"state_locks=ignore", "state_seed=reject", "", "transparent locks=ignore seed=reject"},
		{"state_locks=ignore", "state_seed=reject", "session_state=transparent", "transparent"},
		{"session_state=reject", "session_state=ignore state_temporary=transparent", "state_temporary=reject", "ignore temporary=reject"},
		{"session_state=reject", "session_state=-1 state_temporary=-1", "state_temporary='' state_locks=ignore", "reject locks=ignore"},
		// What is said for all is also the default of LISTEN, which can be pinned only by name.
		{"state_listen=pin", "", "", "transparent listen=pin"},
		{"state_listen=pin", "session_state=reject", "state_listen=multiplex", "reject listen=transparent"},
		{"state_listen=pin", "", "session_state=transparent", "transparent"},
		{"session_state=reject", "state_unsure=pin state_parameters=replay", "", "reject unsure=transparent parameters=transparent"},
	} {
		global := strings.Join(strings.Fields(test.global), "\n")
		c := mustLoad(t, "[pgbouncer]\n"+global+"\n[databases]\na = "+test.database+"\n[users]\nu = "+test.user)
		d, _ := c.Database("a")
		if got := c.Resolve(d, "u").State; got != parsePolicies(t, test.want) {
			t.Errorf("global %q, database %q, user %q:\ngot  %v\nwant %s", test.global, test.database, test.user, got, test.want)
		}
	}
}

// The other settings about session state follow the same rule.
func TestStateSettingsPrecedence(t *testing.T) {
	c := mustLoad(t, `[pgbouncer]
session_audit = off
deferred_begin = on
pin_log_after = 1
listen_queue_size = 1
[databases]
plain =
narrow = session_audit=1/5 deferred_begin=off pin_log_after=2min listen_queue_size=2
[users]
u = session_audit=always deferred_begin=on pin_log_after=0 listen_queue_size=3
`)
	type row struct {
		audit   Audit
		begin   bool
		pin     time.Duration
		notices int
	}
	for _, test := range []struct {
		database, user string
		want           row
	}{
		{"plain", "x", row{Audit{}, true, time.Second, 1}},
		{"narrow", "x", row{Audit{true, 5}, false, 2 * time.Minute, 2}},
		{"plain", "u", row{Audit{true, 1}, true, 0, 3}},
		{"narrow", "u", row{Audit{true, 1}, true, 0, 3}},
	} {
		d, _ := c.Database(test.database)
		r := c.Resolve(d, test.user)
		if got := (row{r.SessionAudit, r.DeferredBegin, r.PinLogAfter, r.ListenQueueSize}); got != test.want {
			t.Errorf("%s, %s: got %+v", test.database, test.user, got)
		}
	}
}

// Whose setting a policy was is known, to name it.
func TestGeneralPolicies(t *testing.T) {
	general, kind := Some(PolicyReject), StateLocks
	own := StateSettings{}
	own.Kinds[kind] = general
	for name, test := range map[string]struct {
		user, database, global StateSettings
		want                   bool
	}{
		"nothing is set":         {},
		"the general one":        {global: StateSettings{General: general}, want: true},
		"its own":                {global: own},
		"both":                   {global: StateSettings{General: general, Kinds: own.Kinds}},
		"the database's general": {database: StateSettings{General: general}, global: own, want: true},
		"the user's own":         {user: own, database: StateSettings{General: general}},
	} {
		if got := generalKinds(&test.user, &test.database, &test.global)[kind]; got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestStateDefaults(t *testing.T) {
	c := Default()
	r := c.Resolve(&Database{Name: "a"}, "u")
	if r.State != (StatePolicies{}) || r.SessionAudit != (Audit{Suspicious: true}) || !r.DeferredBegin ||
		r.PinLogAfter != time.Minute || r.ListenQueueSize != 100_000 {
		t.Errorf("got %+v", r)
	}
	// A configuration built by hand says nothing, and then everything works.
	if r := (&Config{}).Resolve(&Database{}, ""); r.State != (StatePolicies{}) {
		t.Errorf("without a setting: %v", r.State)
	}
}

// Each kind takes the words that make sense for it, and says which if another
// comes.
func TestPolicyWords(t *testing.T) {
	replay, pin := "transparent, replay, reject, ignore", "transparent, pin, reject, ignore"
	words := map[string]string{
		"session_state":    "transparent, reject, ignore",
		"state_parameters": replay, "state_statements": replay,
		"state_cursors": pin, "state_temporary": pin, "state_locks": pin, "state_libraries": pin, "state_sequences": pin,
		"state_seed": pin, "state_connections": pin, "state_unsure": pin,
		"state_listen": "transparent, multiplex, pin, reject, ignore",
	}
	if len(words) != int(StateKinds)+1 {
		t.Errorf("%d settings for %d kinds", len(words), StateKinds)
	}
	for name, list := range words {
		for _, word := range []string{"transparent", "replay", "multiplex", "pin", "reject", "ignore", "PIN", "Reject", "on", "transparen"} {
			c := Default()
			allowed := strings.Contains(", "+list+", ", ", "+strings.ToLower(word)+", ")
			err := c.Set(name, word)
			if allowed && err != nil {
				t.Errorf("%s=%s: %v", name, word, err)
			}
			if want := name + ": expected one of " + list + `, not "` + word + `"`; !allowed && (err == nil || err.Error() != want) {
				t.Errorf("%s=%s:\ngot  %v\nwant %s", name, word, err, want)
			}
			// Printed, it is read as the same.
			text, _ := c.Value(name)
			again := Default()
			if err := again.Set(name, text); err != nil || again.State != c.State {
				t.Errorf("%s=%s is printed as %q: %v", name, word, text, err)
			}
		}
	}
}

func TestParseAudit(t *testing.T) {
	for text, want := range map[string]string{
		"off": "off", "suspicious": "suspicious", "Always": "always", "1/1": "always", "1/2": "1/2", "1/1000000": "1/1000000", "1/010": "1/10",
		"": "", "on": "", "1/0": "", "1/": "", "1/1000001": "", "1/-2": "", "1/+2": "", "1/0x2": "", "2/3": "", "1 / 2": "", "0.5": "",
		"1/99999999999999999999": "",
	} {
		a, err := parseAudit(text)
		if got := a.String(); err == nil && got != want || err != nil && want != "" {
			t.Errorf("%q: got %s, %v", text, got, err)
		}
		if back, err := parseAudit(a.String()); err != nil || back != a {
			t.Errorf("%q: %s is read as %+v, %v", text, a, back, err)
		}
	}
	err := Default().Set("session_audit", "often")
	if want := `session_audit: expected one of off, suspicious, always, or 1/N with N from 1 to 1000000, not "often"`; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestStateFromEnvironment(t *testing.T) {
	c := Default()
	err := c.ApplyEnv([]string{
		"CARPOOL_SESSION_STATE=reject", "CARPOOL_STATE_LISTEN=multiplex", "CARPOOL_STATE_LOCKS=", "CARPOOL_SESSION_AUDIT=1/7",
		"CARPOOL_DEFERRED_BEGIN=off", "CARPOOL_PIN_LOG_AFTER=1m", "CARPOOL_LISTEN_QUEUE_SIZE=5",
	})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Resolve(&Database{Name: "a"}, "u")
	if r.State != parsePolicies(t, "reject listen=transparent") || r.SessionAudit.Every != 7 || r.DeferredBegin ||
		r.PinLogAfter != time.Minute || r.ListenQueueSize != 5 {
		t.Errorf("got %+v", r)
	}
	err = c.ApplyEnv([]string{"CARPOOL_STATE_LOCK=pin", "CARPOOL_LISTEN_QUEUE_SIZE=0"})
	want := `CARPOOL_STATE_LOCK: unknown environment variable "CARPOOL_STATE_LOCK", did you mean CARPOOL_STATE_LOCKS?
CARPOOL_LISTEN_QUEUE_SIZE: listen_queue_size: expected a whole number from 1 to 1000000, not "0"`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v", err)
	}
}

// A reload changes policies without a restart and without new servers, and
// another word for the same is no change.
func TestDiffOfPolicies(t *testing.T) {
	old := mustLoad(t, "[pgbouncer]\nstate_locks=pin\nsession_audit=1/1\n[databases]\na = host=x\n[users]\nu = state_seed=reject\n")
	next := mustLoad(t, "[pgbouncer]\nstate_locks=transparent\nsession_audit=always\n[databases]\na = host=x state_listen=pin\n[users]\nu = session_state=ignore\n")
	want := []Change{
		{Name: "databases.a.state_listen", New: "pin"},
		{Name: "users.u.session_state", New: "ignore"},
		{Name: "users.u.state_seed", Old: "reject"},
	}
	got := Diff(old, next)
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
}
