package state

import "testing"

// What search_path has a say in when it is created.
func TestPlaced(t *testing.T) {
	for text, want := range map[string]bool{
		"create table t (a int)":                         true,
		"create table if not exists t (a int)":           true,
		"create table public.t (a int)":                  false,
		"create unlogged table if not exists s.t as x":   false,
		"create or replace view v as select 1":           true,
		`create view "s"."v" as select 1`:                false,
		"create or replace function f() returns int":     true,
		"create materialized view v as select 1":         true,
		"create foreign table t (a int) server s":        true,
		"create type mood as enum ('a')":                 true,
		"create extension x":                             true,
		"select 1 into t":                                true,
		"import foreign schema s from server x into s":   true,
		"create index on t (a)":                          false,
		"create unique index i on t (a)":                 false,
		"create role r":                                  false,
		"create schema s":                                false,
		"create trigger t before insert on t":            false,
		"alter table t add column b int":                 false,
		"create temp table t (a int)":                    false,
		"create table t (a int default 1, b s.t) /* */;": true,
	} {
		var c Classifier
		placed := false
		for _, e := range c.Classify([]byte(text), Dialect{}) {
			placed = placed || e.Placed
		}
		if placed != want {
			t.Errorf("%s: placed %t", text, placed)
		}
	}
}
