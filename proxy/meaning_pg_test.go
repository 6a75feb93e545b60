package proxy

import (
	"strings"
	"testing"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Constants in a statement are read when it is prepared, under the parameters
// that its client has then, whoever else prepares the same text, on whichever
// server, and whatever the client does to its parameters later.
func TestConstantsMeanWhatTheyMeantToTheirClient(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	const (
		day    = "select extract(month from '01/02/2024'::date)::text"
		moment = "select extract(epoch from '2024-01-01 00:00'::timestamptz)::bigint::text"
		text   = `select 'a\\b'`
	)
	type own struct{ day, moment, text string }
	american := own{"1", "1704067200", `a\\b`}
	british := own{"2", "1704034800", `a\b`}
	a := talk(t, p.address(), param("DateStyle", "ISO, MDY", "TimeZone", "UTC")...)
	b := talk(t, p.address(), param("DateStyle", "ISO, DMY", "TimeZone", "Asia/Tokyo", "standard_conforming_strings", "off")...)
	check := func(who string, k *talker, want own) {
		t.Helper()
		for name, value := range map[string]string{"day": want.day, "moment": want.moment, "text": want.text} {
			if got := strings.Join(values(k.ask(bind("", name), execute("", 0), syncNow)), ""); got != value {
				t.Errorf("%s, %s: %q, want %q", who, name, got, value)
			}
			got := k.ask(describe('S', name), bind("", name), execute("", 0), syncNow)
			if types(got) != "t T 2 D C Z:I" || strings.Join(values(got), "") != value {
				t.Errorf("%s, %s described: %s %q", who, name, types(got), values(got))
			}
			if got := k.query("execute sql_" + name); got != value {
				t.Errorf("%s, EXECUTE %s: %q, want %q", who, name, got, value)
			}
			if got := strings.Join(values(k.ask(parse("", "begin"), bind("", ""), execute("", 0), bind("", name), execute("", 0),
				parse("", "execute sql_"+name), bind("", ""), execute("", 0), parse("", "commit"), bind("", ""), execute("", 0), syncNow)), ""); got != value+value {
				t.Errorf("%s, %s in a transaction: %q, want %q twice", who, name, got, value)
			}
		}
	}
	for _, k := range []*talker{a, b} {
		k.ask(parse("day", day), parse("moment", moment), parse("text", text), syncNow)
		k.run("prepare sql_day as "+day, "prepare sql_moment as "+moment)
	}
	a.run(`prepare sql_text as select 'a' || repeat(chr(92), 2) || 'b'`)
	b.run(`prepare sql_text as select 'a' || chr(92) || 'b'`)
	p.onBoth(t, func() { check("a", a, american); check("b", b, british) })
	a.run("set datestyle to 'ISO, DMY'", "set time zone 'Asia/Tokyo'", "set standard_conforming_strings to off")
	p.onBoth(t, func() {
		check("a, who is like b now", a, american)
		check("b", b, british)
		for _, name := range []string{"datestyle", "timezone", "standard_conforming_strings"} {
			if x, y := a.query("show "+name), b.query("show "+name); x != y {
				t.Errorf("%s: %s, not %s", name, x, y)
			}
		}
	})
	a.run("set datestyle to 'ISO, YMD'", "set time zone 'Asia/Seoul'", "set standard_conforming_strings to on")
	b.run("set datestyle to 'ISO, MDY'", "set time zone 'UTC'")
	p.onBoth(t, func() { check("a", a, american); check("b, who is like a was", b, british) })
	if pins := p.Pins(); len(pins) != 0 {
		t.Errorf("pinned: %+v", pins)
	}
}

// What is prepared behind a change that isn't over is shared with nobody.
func TestStatementsPreparedWhileParametersChange(t *testing.T) {
	const day = "select extract(month from '01/02/2024'::date)::text"
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	mdy := []wire.Param{{Name: "DateStyle", Value: "ISO, MDY"}}
	type messages = []pgproto3.FrontendMessage
	for _, tt := range []struct {
		name string
		say  messages
	}{
		{"pipelined", messages{simple("set datestyle to 'ISO, DMY'"), parse("s", day), syncNow}},
		{"in a batch", messages{parse("", "set datestyle to 'ISO, DMY'"), bind("", ""), execute("", 0), parse("s", day), syncNow}},
		{"in a transaction", messages{simple("begin; set local datestyle to 'ISO, DMY'"), parse("s", day), syncNow, simple("commit")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := talk(t, p.address(), mdy...), talk(t, p.address(), mdy...)
			a.say(tt.say...)
			a.ask(simple("select 'in step'"))
			a.query("select 'still'")
			p.onBoth(t, func() {
				got := b.ask(parse("s", day), bind("", "s"), execute("", 0), closeOf('S', "s"), syncNow)
				if strings.Join(values(got), "") != "1" {
					t.Errorf("b: %s %q", types(got), values(got))
				}
			})
			_ = a.conn.Close()
			_ = b.conn.Close()
		})
	}
}

// A statement that is used while a parameter is another one for a transaction
// keeps its meaning, and nobody else meets what was made for that.
func TestStatementsUsedWhileParametersAreOthers(t *testing.T) {
	const moment = "select extract(epoch from '2024-01-01 00:00'::timestamptz)::bigint::text"
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	a, b := talk(t, p.address(), param("TimeZone", "UTC")...), talk(t, p.address(), param("TimeZone", "UTC")...)
	a.ask(parse("s", moment), syncNow)
	b.ask(parse("s", moment), syncNow)
	p.onBoth(t, func() {
		for range 2 {
			a.run("begin", "set local time zone 'Asia/Tokyo'")
			for range 2 {
				if got := strings.Join(values(a.ask(bind("", "s"), execute("", 0), syncNow)), ""); got != "1704067200" {
					t.Errorf("a: %q", got)
				}
				if got := a.query("show timezone"); got != "Asia/Tokyo" {
					t.Errorf("a has %s", got)
				}
			}
			a.run("commit")
			for _, k := range []*talker{a, b} {
				if got := strings.Join(values(k.ask(bind("", "s"), execute("", 0), syncNow)), ""); got != "1704067200" {
					t.Errorf("afterwards: %q", got)
				}
			}
		}
	})
}

// What a server has computed when it planned a statement is as the client has it
// that asks, not as somebody else did who prepared the same text before.
func TestWhatIsComputedOnceIsTheClientsOwn(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 1")
	a := talk(t, p.address(), param("extra_float_digits", "-5", "IntervalStyle", "iso_8601")...)
	a.run("set bytea_output to 'escape'")
	b := talk(t, p.address())
	for text, want := range map[string][2]string{
		"select (1::float8/3)::text":               {"0.3333333333", "0.3333333333333333"},
		"select make_interval(days => 3)::text":    {"P3D", "3 days"},
		"select decode('ff', 'hex')::text as byte": {`\377`, `\xff`},
	} {
		for i, k := range []*talker{a, b} {
			k.ask(parse("s", text), syncNow)
			if got := strings.Join(values(k.ask(bind("", "s"), execute("", 0), closeOf('S', "s"), syncNow)), ","); got != want[i] {
				t.Errorf("%s: %s, want %s", text, got, want[i])
			}
		}
	}
}
