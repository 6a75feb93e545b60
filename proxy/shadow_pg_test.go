package proxy

import (
	"strings"
	"testing"
)

// What is prepared is about the tables that its client sees when it prepares it,
// though others have prepared the same text on the same server: about its own
// temporary tables, and about those that have been created since in a schema
// ahead of the others.
func TestWhatIsPreparedIsAboutTheTablesOfItsClient(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 1")
	admin := talk(t, postgres.Address())
	admin.run("drop table if exists shadow", "create table shadow as select 'public' as a", "create schema if not exists before")
	// once prepares the text anew and runs it.
	once := func(k *talker, want string) {
		t.Helper()
		k.ask(closeOf('S', "s"), syncNow)
		list := k.ask(parse("s", "select * from shadow"), describe('S', "s"), bind("", "s"), execute("", 0), syncNow)
		if got := strings.Join(values(list), ","); got != want {
			t.Errorf("%s %s, want %s", types(list), got, want)
		}
	}
	a := talk(t, p.address())
	once(a, "public")

	b := talk(t, p.address())
	once(b, "public")
	b.run("begin", "create temp table shadow on commit drop as select 41 as a, 2 as b")
	once(b, "41")
	b.run("commit")
	once(b, "public")
	b.run("begin")
	b.ask(parse("", "create temp table shadow on commit drop as select 42 as a"), bind("", ""), execute("", 0),
		parse("t", "select * from shadow"), syncNow)
	once(b, "42")
	b.run("rollback")
	once(a, "public")
	b.run("create temp table shadow as select 43 as a")
	once(b, "43")
	b.run("drop table pg_temp.shadow", "create temp table shadow as select 't' as a, 44 as b")
	once(b, "t")
	_ = b.conn.Close()
	a.run("begin")
	once(a, "public")
	a.run("commit")

	path := param("search_path", "before, public")
	c, d := talk(t, p.address(), path...), talk(t, p.address(), path...)
	for _, create := range []string{
		"create table before.shadow as select %",
		"select % as a into before.shadow",
		"create view before.shadow as select %",
		"create table before.shadow (a) as values (%)",
	} {
		once(c, "public")
		c.run(strings.Replace(create, "%", "'before'", 1))
		once(d, "before")
		c.run("drop table before.shadow", "drop view before.shadow")
	}
	if pins := p.Pins(); len(pins) != 0 {
		t.Errorf("pinned: %+v", pins)
	}
}

// A statement that its client has prepared before goes on being about the same
// table, and those of others are shared again when the temporary ones are gone.
func TestTemporaryTablesDoNotTurnStatementsPrivateForGood(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 1")
	talk(t, postgres.Address()).run("create table if not exists shadowed (a int)")
	const count = "select count(*) from pg_prepared_statements where statement = 'select * from shadowed'"
	a, b := talk(t, p.address()), talk(t, p.address())
	for _, k := range []*talker{a, b} {
		k.ask(parse("s", "select * from shadowed"), syncNow)
	}
	for range 5 {
		b.run("begin", "create temp table other on commit drop as select 1 as a")
		if got := types(b.ask(bind("", "s"), execute("", 0), syncNow)); got != "2 C Z:T" {
			t.Error(got)
		}
		b.run("commit")
		b.ask(bind("", "s"), execute("", 0), syncNow)
		a.ask(bind("", "s"), execute("", 0), syncNow)
	}
	if got := a.query(count); got != "1" {
		t.Errorf("%s copies", got)
	}
}

// So it is with the schema that is called like the role.
func TestWhatIsPreparedIsAboutTheSchemaOfTheRole(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 1")
	admin := talk(t, postgres.Address())
	for _, role := range []string{"tenant_a", "tenant_b"} {
		admin.run("create role "+role, "create schema authorization "+role)
	}
	admin.run("create table tenant_a.own (a int)", "create table tenant_b.own (a text)", "grant select on tenant_a.own to tenant_a", "grant select on tenant_b.own to tenant_b")
	a, b := talk(t, p.address()), talk(t, p.address())
	a.run("set role tenant_a")
	b.run("set role tenant_b")
	for range 2 {
		for _, k := range []*talker{a, b} {
			k.run("begin")
			if got := types(k.ask(parse("s", "select * from own"), describe('S', "s"), bind("", "s"), execute("", 0), closeOf('S', "s"), syncNow)); got != "1 t T 2 C 3 Z:T" {
				t.Error(got)
			}
			k.run("commit")
		}
	}
	// A client that becomes somebody else keeps what it has prepared.
	a.ask(parse("s", "select current_user::text, 'x'"), syncNow)
	a.run("set role tenant_b")
	if got := values(a.ask(bind("", "s"), execute("", 0), syncNow)); strings.Join(got, "") != "tenant_bx" && strings.Join(got, "") != "tenant_b" {
		t.Errorf("%q", got)
	}
}
