package state

import (
	"fmt"
	"strings"
	"testing"
)

// shorthand writes effects in one line: the kind, the name, the value behind =
// and the types in parentheses. A question mark says that the effect isn't
// exact, "local" that it is of the transaction where its kind doesn't say so,
// $n/$n/$n what is bound.
func shorthand(effects []Effect) string {
	var out []string
	for i := range effects {
		e := &effects[i]
		text := e.Kind.String()
		if e.Kind == KindUnsure {
			text += ": " + e.Reason.String()
		} else if !e.Exact {
			text += "?"
		}
		if e.Scope == ScopeTransaction {
			switch e.Kind {
			case KindSet, KindReset, KindDeclareCursor, KindCreateTemporary, KindExecute:
				text += " local"
			}
		}
		if e.Chain {
			text += " and chain"
		}
		if e.Name != nil {
			text += " " + string(e.Name)
		}
		if e.Types != nil {
			text += "(" + string(e.Types) + ")"
		}
		if e.Value != nil {
			text += "=" + string(e.Value)
		}
		if e.Bound != [3]uint16{} {
			text += fmt.Sprintf(" $%d/$%d/$%d", e.Bound[0], e.Bound[1], e.Bound[2])
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

func TestClassify(t *testing.T) {
	for _, group := range [][][2]string{
		plainStatements, transactionStatements, settingStatements, configCalls, preparedStatements, cursorStatements,
		temporaryStatements, schemaStatements, callingStatements, otherStatements, severalStatements, troubledTexts,
	} {
		for _, test := range group {
			var c Classifier
			if got := shorthand(c.Classify([]byte(test[0]), Dialect{})); got != test[1] {
				t.Errorf("%s\n got %s\nwant %s", test[0], got, test[1])
			}
		}
	}
}

var plainStatements = [][2]string{
	{"", ""},
	{" ;; ", ""},
	{"-- nothing", ""},
	{"select 1", ""},
	{"SELECT * FROM books WHERE title = 'INTO TEMP x; set_config(''a'')'", ""},
	{"select nextval from t", ""},
	{"select 'nextval(''s'')', $$pg_advisory_lock(1)$$ /* setval(1) */ -- setseed(0)", ""},
	{`select "nextval" from t`, ""},
	{`select "NEXTVAL"('s')`, ""},
	{`select "set""_config"('a')`, ""},
	{"select count(*), lower(a), coalesce(a, b) from t where a in (1, 2) and exists (select 1)", ""},
	{"insert into t (a, b) values (1, 2) returning *", ""},
	{"insert into nextval (a) values (1)", ""},
	{"insert into temp (a) values (1)", ""},
	{"INSERT INTO public.temp SELECT 1", ""},
	{"merge into temp t using s on true when matched then delete", ""},
	{"update t set a = 1 where b = 2", ""},
	{"update books set title = 'pg_settings'", ""},
	{"delete from only t using u where t.a = u.a", ""},
	{"with x as (insert into t values (1) returning a) select * from x", ""},
	{"with x as (select 1) insert into temp select * from x", ""},
	{"with recursive x(a) as (select 1 union all select a + 1 from x where a < 3) insert into t select a from x", ""},
	{"with insert as (select 1) select * from insert", ""},
	{"(select 1) union (select 2)", ""},
	{"values (1, 'a'), (2, 'b')", ""},
	{"table books", ""},
	{"select 1 as into, 2", ""},
	{"select t.into, 2 from t", ""},
	{"select a.b.c, d[1:2], e::int, f->>'x', g @> '{}'::jsonb from t where a=-1 and b!=@-2", ""},
	{"select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)", ""},
	{"lock table t in access share mode", ""},
	{"show search_path", ""},
	{"truncate t restart identity", ""},
	{"analyze t", ""},
	{"grant select on t to u", ""},
	{"explain select nextval('s')", ""},
	{"explain (verbose, costs off) select nextval('s')", ""},
	{"explain create temp table t as select 1", ""},
	{"explain (select pg_advisory_lock(1))", ""},
}

var transactionStatements = [][2]string{
	{"begin", "begin"},
	{"BEGIN WORK;", "begin"},
	{"begin transaction isolation level serializable, read only deferrable", "begin=isolation level serializable, read only deferrable"},
	{"start transaction read write, not deferrable", "begin=read write, not deferrable"},
	{"start transaction isolation level read uncommitted isolation level repeatable read", "begin=isolation level read uncommitted isolation level repeatable read"},
	{"start", "unsure: syntax"},
	{"begin read", "unsure: syntax"},
	{"begin ,read only", "unsure: syntax"},
	{"begin read only,", "unsure: syntax"},
	{"begin isolation level chaos", "unsure: syntax"},
	{"commit", "commit"},
	{"END TRANSACTION", "commit"},
	{"commit work and chain", "commit and chain"},
	{"commit and no chain", "commit"},
	{"commit and", "unsure: syntax"},
	{"rollback", "rollback"},
	{"abort transaction and chain", "rollback and chain"},
	{"savepoint A", "savepoint a"},
	{`savepoint "A b"`, "savepoint A b"},
	{"savepoint", "unsure: syntax"},
	{"release a", "release a"},
	{"release savepoint a", "release a"},
	{"release savepoint", "release savepoint"},
	{"rollback to a", "rollback to a"},
	{"rollback work to savepoint a", "rollback to a"},
	{"rollback transaction to savepoint", "rollback to savepoint"},
	{"prepare transaction 'x''y'", "prepare transaction x'y"},
	{"commit prepared 'x'", "commit prepared x"},
	{"rollback prepared E'x\\n'", "rollback prepared x\n"},
	{"commit prepared x", "unsure: syntax"},
}

var settingStatements = [][2]string{
	{"set search_path to a", "set search_path=a"},
	{"SET SEARCH_PATH = A, \"B c\", 'd', \"$user\", \"user\", 'x\"y'", "set search_path=a, \"B c\", d, \"$user\", \"user\", \"x\"\"y\""},
	{"set session search_path = ''", `set search_path=""`},
	{"set local search_path = a", "set local search_path=a"},
	{"set x.y to 1", "set x.y=1"},
	{`set "X"."y" = -1.5`, "set X.y=-1.5"},
	{"set x.y to +007", "set x.y=7"},
	{"set x.y to -0", "set x.y=0"},
	{"set x.y to 1e10", "set x.y=1e10"},
	{"set x.y to 12345678901234567890", "set x.y=12345678901234567890"},
	{"set x.y to 0x10", "set? x.y"},
	{"set x.y to true", "set x.y=true"},
	{"set x.y to ON", "set x.y=on"},
	{"set x.y to Foo", "set x.y=foo"},
	{"set x.y to 'Foo'\n'Bar'", "set x.y=FooBar"},
	{"set x.y to $$a$b$$", "set x.y=a$b"},
	{"set x.y to U&'\\0041!' uescape '!'", "set? x.y"},
	{"set x.y to U&'d!0061t\\' uescape '!'", "set x.y=dat\\"},
	{"set x.y to E'\\xe4'", "set? x.y"},
	{"set x.y to E'a\\x41\\101\\t\\'\\q'", "set x.y=aAA\t'q"},
	{"set x.y to default", "reset x.y"},
	{"set local x.y = default", "reset local x.y"},
	{"set x.y from current", "set? x.y"},
	{"set x", "unsure: syntax"},
	{"set x to", "unsure: syntax"},
	{"set x to a b", "unsure: syntax"},
	{"set x to f(1)", "unsure: syntax"},
	{"set", "unsure: syntax"},
	{"set session.x = 1", "set session.x=1"},
	{"set local.x to 1", "set local.x=1"},
	{"set session local.x = 1", "set local.x=1"},
	{"set local session.x = 1", "set local session.x=1"},
	{"set role = a", "set role=a"},
	{"set time.x = a", "set time.x=a"},
	{"set time zone 'Europe/Rome'", "set TimeZone=Europe/Rome"},
	{"set session time zone UTC", "set TimeZone=utc"},
	{"set local time zone -7.5", "set local TimeZone=-7.5"},
	{"set time zone local", "reset TimeZone"},
	{"set time zone default", "reset TimeZone"},
	{"set time zone interval '-08:00' hour to minute", "set? TimeZone"},
	{"set time zone interval(3) '1:00'", "set? TimeZone"},
	{"set names 'utf8'", "set client_encoding=utf8"},
	{"set names default", "reset client_encoding"},
	{"set names", "reset client_encoding"},
	{"set local names 'latin1'", "set local client_encoding=latin1"},
	{"set schema 'A b'", `set search_path="A b"`},
	{"set role none", "set role=none"},
	{"set role 'A'", "set role=A"},
	{"set local role a", "set local role=a"},
	{"set session role a", "set role=a"},
	{"set session authorization a", "set session_authorization=a"},
	{"set session session authorization 'a'", "set session_authorization=a"},
	{"set local session authorization default", "reset local session_authorization"},
	{"set session authorization default", "reset session_authorization"},
	{"set xml option document", "set xmloption=document"},
	{
		"set session characteristics as transaction isolation level repeatable read, read only",
		"set default_transaction_isolation=repeatable read; set default_transaction_read_only=on",
	},
	{"set session characteristics as transaction not deferrable", "set default_transaction_deferrable=off"},
	{"set session characteristics as transaction", "unsure: syntax"},
	{"set transaction isolation level serializable", "set transaction"},
	{"set local transaction read only", "set transaction"},
	{"set transaction snapshot '1'", "set transaction"},
	{"set transaction_read_only = on", "set transaction"},
	{"set constraints all deferred", "set transaction"},
	{"set seed to 0.5", "seed?"},
	{"set search_path to pg_temp, public", "set search_path=pg_temp, public; unsure: search_path with pg_temp"},
	{`set search_path to "$user", pg_temp`, `set search_path="$user", pg_temp; unsure: search_path with pg_temp`},
	{"set search_path to public, pg_temp", "set search_path=public, pg_temp"},
	{"reset x", "reset x"},
	{"reset a.b", "reset a.b"},
	{"reset session.x", "reset session.x"},
	{"set local Sort_Mem = '5MB'", "set local work_mem=5MB"},
	{`reset "VACUUM_MEM"`, "reset maintenance_work_mem"},
	{"reset all", "reset all"},
	{"reset role", "reset role"},
	{"reset session authorization", "reset session_authorization"},
	{"reset time zone", "reset TimeZone"},
	{"reset transaction isolation level", "set transaction"},
	{"reset", "unsure: syntax"},
	{"reset a b", "unsure: syntax"},
}

var configCalls = [][2]string{
	{"select set_config('a.b', 'c', false)", "set a.b=c"},
	{"SELECT pg_catalog.set_config('search_path', '', false);", "set search_path="},
	{"select set_config('a.b', 'c', true)", "set local a.b=c"},
	{"select set_config('a.b', 'c', 't') as x, set_config('d.e'::text, 'f'::text, 'off'::bool) y", "set local a.b=c; set d.e=f"},
	{"select set_config('a.b', null, false)", "reset a.b"},
	{"select set_config('sort_mem', '5MB', false)", "set work_mem=5MB"},
	{"select set_config($1, $2, $3)", "set $1/$2/$3"},
	{"select set_config('a.b', $1, false)", "set a.b $0/$1/$0"},
	{"select set_config('a.b', $1::text, true) from t", "set? local a.b $0/$1/$0"},
	{"select set_config('a.b', 'c', false) where false", "set? a.b=c"},
	{"select set_config('a.b', 'c', false), 1", "set? a.b=c"},
	{"select set_config('a.b', 'c', false) limit 0", "set? a.b=c"},
	{"select (set_config('a.b', 'c', false))", "set? a.b=c"},
	{"select 1, set_config('a.b', 'x' || 'y', true)", "set? local a.b"},
	{"select set_config('a.' || 'b', 'x', f(1, 2))", "set?=x"},
	{"select set_config(is_local => true, setting_name => 'a', new_value => 'b')", "set?"},
	{"select set_config('a.b', set_config('c.d', 'e', false), false)", "set? a.b; set? c.d=e"},
	{"(set_config('', '0'0", "set? "},
	{"select set_config('a.b', 'c')", "set? a.b=c"},
	{"select U&\"set\\005fconfig\"('a', 'b', false)", "set? a=b"},
	{"select \"set_config\"('a', 'b', false)", "set? a=b"},
	{"select set_config /* here */\n('a.b', 'c', false)", "set a.b=c"},
	{"select set_config('seed', '0.5', false)", "seed?"},
	{"select set_config('search_path', 'pg_temp', false)", "set search_path=pg_temp; unsure: search_path with pg_temp"},
	{"update t set a = set_config('a.b', 'c', true)", "set? local a.b=c"},
	{"update pg_settings set setting = 'x' where name = 'y'", "unsure: update of pg_settings"},
	{"update only (pg_catalog.pg_settings) set setting = 'x'", "unsure: update of pg_settings"},
	{`update "pg_settings" set setting = 'x'`, "unsure: update of pg_settings"},
	{"select set_limit(0.5)", "set? pg_trgm.similarity_threshold"},
	{"declare c cursor for select set_config('a.b', 'c', false)", "declare cursor local c; set? a.b=c"},
	{"explain (analyze off) select set_config('a.b', 'c', false)", "set? a.b=c"},
}

var preparedStatements = [][2]string{
	{"prepare a as select $1", "prepare a=select $1"},
	{"PREPARE \"A\" (int, varchar(10)) AS SELECT nextval('s'); select 1", "prepare A(int, varchar(10))=SELECT nextval('s')"},
	{"prepare transaction as select 1", "prepare transaction=select 1"},
	{"prepare a", "unsure: syntax"},
	{"prepare a(", "unsure: syntax"},
	{"prepare a(int as select 1", "unsure: syntax"},
	{"prepare a(\"", "unsure: incomplete text"},
	{"prepare a as", "unsure: syntax"},
	{"execute a", "execute a"},
	{"execute a(1, nextval('s'))", "execute a; sequence advance?"},
	{"explain analyze execute a(1)", "execute? a"},
	{"explain execute a(1)", "execute? local a"},
	{"explain (costs off) create table t as execute a", "execute? local a"},
	{"explain create table t as select pg_advisory_lock(1)", ""},
	{"create temp table t as execute a", "create temporary t; execute a"},
	{"create table t as execute a(1)", "execute a; change schema"},
	{"deallocate a", "deallocate a"},
	{"deallocate prepare a", "deallocate a"},
	{"deallocate prepare", "deallocate prepare"},
	{"deallocate all", "deallocate all"},
	{"deallocate prepare all", "deallocate all"},
	{`deallocate "all"`, "deallocate all"},
	{"discard all", "discard all"},
	{"discard plans", "discard plans"},
	{"discard sequences", "discard sequences"},
	{"discard temp", "discard temporary"},
	{"discard temporary", "discard temporary"},
	{"discard", "unsure: syntax"},
}

var cursorStatements = [][2]string{
	{"declare c cursor for select 1", "declare cursor local c"},
	{"declare c binary insensitive no scroll cursor with hold for select nextval('s')", "declare cursor c; sequence advance?"},
	{"declare c cursor without hold for select 1", "declare cursor local c"},
	{"declare hold cursor with", "unsure: syntax"},
	{"fetch forward 5 from C", "fetch c"},
	{"move all in \"C\"", "fetch C"},
	{"fetch c", "fetch c"},
	{"close c", "close c"},
	{"close all", "close all"},
	{"close", "unsure: syntax"},
}

var temporaryStatements = [][2]string{
	{"create temp table t (a int)", "create temporary t"},
	{"create temporary table if not exists t (a int default nextval('s'))", "create temporary? t"},
	{"create local temp table t as select nextval('s')", "create temporary t; sequence advance?"},
	{"create global temporary table t () on commit delete rows", "create temporary t"},
	{"create temp table t (a int) on commit drop", "create temporary local t"},
	{"create temp table t on commit drop as select 1", "create temporary local t"},
	{"create temp view v as select pg_advisory_lock(1)", "create temporary v"},
	{"create or replace temp recursive view v (a) as select 1", "create temporary v"},
	{"create temp sequence s", "create temporary s"},
	{"create table pg_temp.t (a int)", "create temporary t"},
	{"create table if not exists \"pg_temp\".t (a int) on commit drop", "create temporary? local t"},
	{"create view pg_temp_3.v as select 1", "create temporary v"},
	{"create function pg_temp.f() returns int language sql as $$select 1$$", "create temporary f"},
	{"create type pg_temp.x as enum ('a')", "create temporary x"},
	{"create table pg_temps.t (a int)", "change schema"},
	{"create unlogged table t (a int)", "change schema"},
	{"create table temp (a int)", "change schema"},
	{"select 1 into temp t", "create temporary t"},
	{"select 1 as a into temporary table t from x", "create temporary t"},
	{"select 1 into local temp t", "create temporary t"},
	{"select 1 into pg_temp.t", "create temporary t"},
	{"select 1 into temp", "change schema"},
	{"select 1 into temp from x", "change schema"},
	{"select 1 into t", "change schema"},
	{"select 1 into table t", "change schema"},
	{"select 1 into unlogged t", "change schema"},
	{"(select 1 into temp t)", "create temporary t"},
	{"with x as (select 1) select * into temp t from x", "create temporary t"},
	{"with x as (select 1) (select * into temp t from x)", "create temporary t"},
	{"select 1 insert into temp t", "create temporary t"},
	{"select f(1) insert into temp t", "create temporary t"},
	{"select 1into temp t", "create temporary t"},
	{"select 1e5into temp t", "create temporary t"},
	{"select 'a'into temp t", "create temporary t"},
	{"explain analyze select 1 into temp t", "create temporary? t"},
	{"explain analyze create temp table t as select 1", "create temporary? t"},
}

var schemaStatements = [][2]string{
	{"create table t (a int default nextval('s'), b text)", "change schema"},
	{"create table t as select nextval('s')", "sequence advance?; change schema"},
	{"create table t partition of p for values from (setval('s', 1)) to (2)", "sequence advance?; change schema"},
	{"create materialized view v as select nextval('s')", "sequence advance?; change schema"},
	{"create view v as select nextval('s')", "change schema"},
	{"create index concurrently i on t (a)", "alone; change schema"},
	{"create database d", "alone; change schema"},
	{"create function f() returns int language sql begin atomic select nextval('s'); select 1 end; end; select setval('s', 1)", "change schema; sequence advance?"},
	{"create procedure p() begin atomic end; listen a", "change schema; listen a"},
	{"create or replace function f() returns void language sql set search_path = a begin atomic select case when true then 1 end; end; listen a", "change schema; listen a"},
	{"create view v as select begin atomic; listen a", "change schema; listen a"},
	{"create rule r as on insert to t do also (notify a; listen b)", "change schema"},
	{"create trigger g before insert on t execute function nextval()", "change schema"},
	{"drop table a", "drop a"},
	{"drop table if exists a, b.\"C\" cascade", "drop a; drop C"},
	{"drop materialized view v", "drop v"},
	{"drop view view", "drop view"},
	{"drop function f(int), g", "drop f; drop g"},
	{"drop foreign data wrapper w", "drop w"},
	{"drop index concurrently if exists i", "alone; drop i"},
	{"drop database d", "alone; drop d"},
	{"drop owned by u", "drop?"},
	{"alter table t add column a int default nextval('s')", "change schema; sequence advance?"},
	{"alter table t alter a set default nextval('s'), add b int default setval('s', 1)", "change schema; sequence advance?"},
	{"alter role r set search_path = a", "change defaults"},
	{"alter database d reset all", "change defaults"},
	{"alter role r password 'x'", ""},
	{"alter system set work_mem = '1MB'", "alone"},
	{"alter table t detach partition p concurrently", "change schema; alone"},
	{"reindex table t", ""},
	{"reindex (verbose) table concurrently t", "alone"},
	{"vacuum analyze t", "alone"},
	{"import foreign schema s from server r into public", "change schema; change schema"},
}

var callingStatements = [][2]string{
	{"select pg_advisory_lock(1)", "advisory lock?"},
	{"select (1).pg_advisory_lock", "advisory lock?"},
	{`select (1) . "pg_advisory_lock" as a`, "advisory lock?"},
	{"select (1).abs.pg_advisory_lock, 2", "advisory lock?"},
	{"select (array[1])[1].pg_try_advisory_lock", "advisory try-lock?"},
	{"select $1.nextval", "sequence advance?"},
	{"select (a).b, t.nextval, (t).x as nextval from t", ""},
	{"select (t).set_config from t", ""},
	{"select * from pg_advisory_lock_shared(1, 2)", "advisory lock?"},
	{"select PG_TRY_ADVISORY_LOCK (1)", "advisory try-lock?"},
	{"select pg_catalog . pg_try_advisory_lock_shared(1)", "advisory try-lock?"},
	{"select pg_advisory_unlock(1), pg_advisory_unlock_shared(1), pg_advisory_unlock_all()", "advisory unlock?; advisory unlock?; advisory unlock all?"},
	{`select "pg_advisory_lock"(1)`, "advisory lock?"},
	{`select U&"pg\005fadvisory\+00005flock"(1)`, "advisory lock?"},
	{`select U&"pg!005fadvisory_lock" uescape '!' (1)`, "advisory lock?"},
	{"select nextval('s'), setval('s', 1), currval('s'), lastval()", "sequence advance?; sequence advance?; sequence read?; sequence read?"},
	{"insert into t values (nextval('s'))", "sequence advance?"},
	{"with x as (select nextval('s')) select * from x", "sequence advance?"},
	{"select setseed(0.5)", "seed?"},
	{"select pg_notify('a', 'b')", "notify?"},
	{"select dblink_connect('x', 'y'), dblink_disconnect('x')", "connect?; disconnect?"},
	{"select query_to_xml('select 1', true, true, '')", "unsure: function that runs text"},
	{"select * from pg_create_logical_replication_slot('a', 'b', true)", "unsure: function that leaves state"},
	{"copy (select nextval('s')) to stdout", "sequence advance?; copy out"},
	{"explain (analyze, buffers) select pg_advisory_lock(1)", "advisory lock?"},
	{"explain analyze verbose select pg_advisory_lock(1)", "advisory lock?"},
}

var otherStatements = [][2]string{
	{"listen A", "listen a"},
	{`listen "A b"`, "listen A b"},
	{"listen 'a'", "unsure: syntax"},
	{"listen " + strings.Repeat("a", 70), "listen " + strings.Repeat("a", 63)},
	{"listen \u00c4", "listen? \u00c4"},
	{"listen \"\u00c4\"", "listen \u00c4"},
	{"unlisten a", "unlisten a"},
	{"unlisten *", "unlisten all"},
	{"notify a", "notify a"},
	{"notify a, 'b''c'", "notify a=b'c"},
	{"notify a, b", "unsure: syntax"},
	{"load 'auto_explain'", "load auto_explain"},
	{"do $$ begin perform 1; end $$", "unsure: DO block"},
	{"do language plpgsql 'x'", "unsure: DO block"},
	{"call p(nextval('s'))", "unsure: procedure; sequence advance?"},
	{"copy t (a, b) from stdin with (format csv)", "copy in"},
	{"copy t to stdout", "copy out"},
	{"copy t from '/x'", ""},
	{"copy t to program 'x'", ""},
	{"copy t from stdin where nextval('s') > 1", "copy in; sequence advance?"},
	{"upsert into t values (1)", "unsure: unknown statement"},
	{"1", "unsure: syntax"},
	{"select0", "unsure: unknown statement"},
}

var severalStatements = [][2]string{
	{"begin; set local a.b = 1; select 1; commit", "begin; set local a.b=1; commit"},
	{";; select 1;;listen a;select 2;;unlisten a; ", "listen a; unlisten a"},
	{"select ';'; listen a", "listen a"},
	{"select $x$;$y$;$x$; listen a", "listen a"},
	{"select 1 /* ; /* ; */ ; */; listen a", "listen a"},
	{"select 1 -- ; \n; listen a", "listen a"},
	{"select (1; listen a", ""},
	{"select 1); listen a", "listen a"},
}

var troubledTexts = [][2]string{
	{"listen a; select 'x", "unsure: incomplete text"},
	{"listen a; select \"x", "unsure: incomplete text"},
	{"select /* /* */", "unsure: incomplete text"},
	{"select $a$ $b$", "unsure: incomplete text"},
	{"'", "unsure: incomplete text"},
	{"select E'\\'", "unsure: incomplete text"},
	{"select 1 \\ 2", "unsure: syntax"},
	{"listen a; \x00", "unsure: syntax"},
	{"select {}", "unsure: syntax"},
}
