package proxy

import (
	"testing"

	"carpool/proxy/wire"
)

// What is created without a schema is temporary if search_path begins with
// pg_temp when it is created, wherever that was set. It pins like any other.
func TestTemporaryBySearchPath(t *testing.T) {
	admin := talk(t, postgres.Address())
	admin.run("drop role if exists temper", "create role temper login superuser", "alter role temper set search_path to pg_temp, public",
		"create or replace function set_path() returns void language plpgsql as $$begin set local search_path to pg_temp; end$$")
	p := startPooler(t, free+"\n[databases]\n"+here("app", "")+here("tempered", "dbname=app user=temper"))
	const there = "select to_regclass('pg_temp.placed') is not null"
	temper := param("database", "tempered")
	for _, tt := range []struct {
		name string
		as   []wire.Param
		do   []string
	}{
		{"SET LOCAL", nil, []string{"begin", "set local search_path to pg_temp", "create table placed (a int)", "commit"}},
		{"SET LOCAL in one text", nil, []string{"begin; set local search_path = pg_temp; create table placed (a int); commit"}},
		{"SET in one text", nil, []string{"set search_path to pg_temp; create table placed (a int); reset search_path"}},
		{"set_config", nil, []string{"begin", "select set_config('search_path', 'pg_temp', true)", "create table placed as select 1", "commit"}},
		{"set_config of what is computed", nil, []string{"begin", "select set_config('search_' || 'path', 'pg_temp', true)", "x:create sequence placed", "commit"}},
		{"in a function", nil, []string{"begin", "select set_path()", "select 1 as a into placed", "commit"}},
		{"of the client's start-up packet", param("search_path", "pg_temp"), []string{"x:create view placed as select 1"}},
		{"of the role", temper, []string{"create table placed (a int)"}},
		{"of the role, in a transaction", temper, []string{"begin; create type placed as (a int)", "commit"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := talk(t, p.address(), tt.as...), talk(t, p.address(), tt.as...)
			a.run(tt.do...)
			eventually(t, "the pin", func() bool { return len(p.Pins()) == 1 })
			if pin := p.Pins()[0]; len(pin.Kinds) != 1 || pin.Kinds[0] != "temporary" || pin.Cause == "" {
				t.Errorf("%+v", pin)
			}
			for range 3 {
				if got := a.query(there); got != "t" {
					t.Errorf("who made it finds %s", got)
				}
				if got := b.query(there); got == "t" {
					t.Error("another client finds it")
				}
			}
			a.run("discard temp")
			eventually(t, "the pin to be gone", func() bool { return len(p.Pins()) == 0 })
			_ = a.conn.Close()
			_ = b.conn.Close()
		})
	}
}

// What isn't temporary costs a question and no more.
func TestWhatIsCreatedForAllDoesNotPin(t *testing.T) {
	p := startPooler(t, free+"\nstate_temporary = reject")
	k := talk(t, p.address())
	for _, text := range []string{
		"create table for_all (a int)", "create table for_all_too as select 1", "begin; create view seen as table for_all; commit",
		"create index on for_all (a)", "drop view seen; drop table for_all, for_all_too",
	} {
		k.doing = text
		if list := k.ask(simple(text)); list[0].typ == wire.ErrorResponse {
			t.Errorf("%s: %+v", text, wire.ParseReport(list[0].body))
		}
		eventually(t, text+": the server to be free", func() bool { return p.Pools()[0].Pool.Leased == 0 })
	}
	if len(p.Pins()) != 0 || len(p.Hazards()) != 0 {
		t.Errorf("%+v %+v", p.Pins(), p.Hazards())
	}
}
