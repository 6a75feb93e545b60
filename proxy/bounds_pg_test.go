package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// What is remembered of a client's statements is bounded, whatever it sends.

func TestManySQLStatementsComeAndGo(t *testing.T) {
	const many = 5000
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	a := talk(t, p.address())
	var text strings.Builder
	for i := range many {
		fmt.Fprintf(&text, "prepare s%d as select %d;", i, i)
		if i%100 == 99 {
			a.ask(simple(text.String()))
			text.Reset()
		}
	}
	start := time.Now()
	for i := range many {
		a.say(simple(fmt.Sprintf("deallocate s%d", i)))
		if i%100 == 99 {
			for range 100 {
				if got := types(a.until("Z")); got != "C Z:I" {
					t.Fatal(got)
				}
			}
		}
	}
	// In the quadratic case this took minutes; it takes a second.
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("dropping took %s", took)
	}
	if pins := p.Pins(); len(pins) != 0 {
		t.Errorf("pinned: %+v", pins)
	}
}

// A text with more effects than are followed is dealt with as one that isn't
// read: what it has set follows the client, or the client keeps its server.
func TestTextsWithVeryManyEffects(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	for _, tt := range []struct {
		name, statement string
		pins            bool
		ask, want       string
	}{
		{"parameters", "set work_mem = '7MB';", false, "show work_mem", "7MB"},
		{"custom parameters", "set many.of_%d = 'x';", true, "select current_setting('many.of_1999', true)", "x"},
		{"sequences", "select nextval('many_of_them');", true, "select lastval() > 1", "t"},
		{"statements", "prepare many_%d as select %[1]d;", true, "execute many_1999", "1999"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := talk(t, p.address())
			a.run("create sequence if not exists many_of_them", "select nextval('many_of_them')", "discard sequences")
			var text strings.Builder
			for i := range 2000 {
				if strings.Contains(tt.statement, "%") {
					fmt.Fprintf(&text, tt.statement, i)
				} else {
					text.WriteString(tt.statement)
				}
			}
			a.ask(simple(text.String()))
			if tt.pins {
				eventually(t, "the pin", func() bool { return len(p.Pins()) == 1 })
			} else {
				p.onBoth(t, func() {
					if got := a.query(tt.ask); got != tt.want {
						t.Errorf("%q", got)
					}
				})
			}
			if got := a.query(tt.ask); got != tt.want {
				t.Errorf("%q", got)
			}
			_ = a.conn.Close()
			eventually(t, "the pin to be gone", func() bool { return len(p.Pins()) == 0 })
			p.onBoth(t, func() {
				b := talk(t, p.address())
				if got := values(b.ask(simple(tt.ask))); strings.Join(got, "") == tt.want {
					t.Errorf("somebody else is answered %q", got)
				}
				_ = b.conn.Close()
			})
		})
	}
}

// What a Parse that fails would have left isn't remembered for ever.
func TestFailedParsesAreForgotten(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	a := talk(t, p.address())
	const each = 100
	text := "select nonsense, set_config('a.b', '" + strings.Repeat("x", 4000) + "', false)"
	for i := range 30 {
		var batch []pgproto3.FrontendMessage
		for j := range each {
			batch = append(batch, parse(fmt.Sprintf("s%d", i*each+j), text), syncNow)
		}
		a.say(batch...)
		for range each {
			if got := types(a.until("Z")); got != "E:42703 Z:I" {
				t.Fatal(got)
			}
		}
	}
	if pins := p.Pins(); len(pins) != 0 {
		t.Errorf("pinned: %+v", pins)
	}
}

// A policy that refuses what a statement leaves behind isn't evaded by preparing
// it in SQL.
func TestRefusedStateBehindExecute(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\nstate_locks = reject")
	a := talk(t, p.address())
	const lock = "prepare lock as select pg_advisory_lock(77)"
	for _, answers := range [][]answer{a.ask(simple(lock)), a.ask(parse("", lock), bind("", ""), execute("", 0), syncNow)} {
		if r := wire.ParseReport(answers[0].body); r.Code != "0A000" || !strings.Contains(r.Message, "state_locks") {
			t.Errorf("%+v", r)
		}
	}
	if got := types(a.ask(simple("execute lock"))); got != "E:26000 Z:I" {
		t.Errorf("EXECUTE: %s", got)
	}
	if got := types(a.ask(simple("prepare fine as select pg_advisory_xact_lock(77)"))); got != "C Z:I" {
		t.Errorf("of the transaction: %s", got)
	}
}

// A statement that can't be prepared again elsewhere is followed all the same.
func TestExecuteOfWhatIsNotRemembered(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	a := talk(t, p.address())
	a.run(`prepare lock as select pg_advisory_lock(77), '\'`, "execute lock", "deallocate lock")
	if got := a.query("select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"); got != "1" {
		t.Errorf("%s locks", got)
	}
	eventually(t, "the pin", func() bool { return len(p.Pins()) == 1 })
	if got := types(a.ask(parse("", "execute nobody"), bind("", ""), execute("", 0), syncNow)); !strings.Contains(got, "E:26000") {
		t.Error(got)
	}
	_ = a.conn.Close()
	b := talk(t, p.address())
	if got := b.query("select count(*) from pg_locks where locktype = 'advisory'"); got != "0" {
		t.Errorf("%s locks are left", got)
	}
	b.ask(parse("", "execute nobody"), bind("", ""), execute("", 0), syncNow)
	b.query("select 1")
	if pins := p.Pins(); len(pins) != 0 {
		t.Errorf("pinned: %+v", pins)
	}
}
