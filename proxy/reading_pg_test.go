package proxy

import (
	"testing"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// What a backslash or a byte beyond ASCII means depends on parameters, and a
// client may send a text behind what changes them, before the server has
// answered. What the text does then is seen all the same.
func TestTextsBehindAChangeOfTheirReading(t *testing.T) {
	const (
		// With standard_conforming_strings on this is one SELECT of a string, with
		// off two statements of which the second takes a lock.
		hidden = `select '\' || '; select pg_advisory_lock(4712) --'`
		// So it is with a character of SJIS whose second byte is a backslash, and
		// the same bytes in LATIN1.
		hiddenSJIS = "select E'\x95\x5c' || '; select pg_advisory_lock(4712) --'"
		off        = "set standard_conforming_strings = off"
	)
	type messages = []pgproto3.FrontendMessage
	extended := func(text string) messages { return messages{parse("", text), bind("", ""), execute("", 0)} }
	tests := []struct {
		name   string
		params []wire.Param
		before []string
		say    messages
		hidden string
	}{
		{"SET", nil, nil, messages{simple(off)}, hidden},
		{"SET, extended", nil, nil, append(extended(off), syncNow), hidden},
		{"set_config", nil, nil, messages{simple("select set_config('standard_conforming_strings', 'off', false)")}, hidden},
		{"set_config of a name that is computed", nil, nil, messages{simple("select set_config('standard_' || 'conforming_strings', 'off', false)")}, hidden},
		{"SET LOCAL", nil, []string{"begin"}, messages{simple("set local standard_conforming_strings = off")}, hidden},
		{
			"ROLLBACK of a SET", param("standard_conforming_strings", "off"),
			[]string{"begin", "set standard_conforming_strings = on", "select 1"},
			messages{simple("rollback")},
			hidden,
		},
		{
			"COMMIT behind SET LOCAL", param("standard_conforming_strings", "off"),
			[]string{"begin", "set local standard_conforming_strings = on", "select 1"},
			messages{simple("commit")},
			hidden,
		},
		{"RESET", nil, []string{"set standard_conforming_strings = on"}, messages{simple("reset all"), simple(off)}, hidden},
		{"EXECUTE", nil, []string{"prepare change as select set_config('standard_conforming_strings', 'off', false)"}, messages{simple("execute change")}, hidden},
		{
			"EXECUTE of what is local", nil,
			[]string{"prepare change as select set_config('standard_conforming_strings', 'off', true)", "begin"},
			messages{simple("execute change")},
			hidden,
		},
		{
			"Bind of what SQL has prepared", nil,
			[]string{"prepare change as select set_config('standard_conforming_strings', 'off', false)"},
			messages{bind("", "change"), execute("", 0), syncNow},
			hidden,
		},
		{"DO", nil, nil, messages{simple("do 'begin set standard_conforming_strings = off; end'")}, hidden},
		{"client_encoding", param("client_encoding", "SJIS"), nil, messages{simple("set client_encoding to LATIN1")}, hiddenSJIS},
		{"SET NAMES", param("client_encoding", "SJIS"), nil, messages{simple("set names 'LATIN1'")}, hiddenSJIS},
	}
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := talk(t, p.address(), tt.params...)
			a.run(tt.before...)
			a.say(append(tt.say, simple(tt.hidden))...)
			a.ask(simple("commit"))
			a.query("select 'in step'")
			eventually(t, "the pin", func() bool { return len(p.Pins()) == 1 })
			_ = a.conn.Close()
			b := talk(t, p.address())
			if got := b.query("select count(*) from pg_locks where locktype = 'advisory'"); got != "0" {
				t.Errorf("%s locks are left", got)
			}
			_ = b.conn.Close()
		})
	}
}

// What is set to what it is, or from one encoding to another in which ASCII bytes
// are ASCII characters, leaves nothing uncertain, and nobody keeps a server for it.
func TestTextsBehindNoChangeOfTheirReading(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	extended := func(text string) []pgproto3.FrontendMessage {
		return []pgproto3.FrontendMessage{parse("", text), bind("", ""), execute("", 0)}
	}
	for _, before := range []string{
		"reset all", "set names 'LATIN1'", "reset client_encoding", "set standard_conforming_strings = on",
		"select set_config('client_encoding', 'UTF8', false)", "set standard_conforming_strings to default",
	} {
		a := talk(t, p.address())
		got := types(a.ask(append(append(extended(before), extended(`set app.path = 'C:\temp'`)...), syncNow)...))
		if a.query("show app.path") != `C:\temp` {
			t.Errorf("%s: %s", before, got)
		}
		a.query("select 1")
		if pins := p.Pins(); len(pins) != 0 {
			t.Errorf("%s: %+v", before, pins[0])
		}
		_ = a.conn.Close()
	}
}
