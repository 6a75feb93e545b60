package proxy

import (
	"context"
	"fmt"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/wire"
)

// A server that is made read-only by its configuration is so for all clients,
// and no longer than that: the client that happens to hear of it hasn't set it.
func TestServerMadeReadOnly(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{MaxConnections: 20, Databases: []string{"app"}})
	configure := func(sql string) {
		for _, text := range []string{sql, "select pg_reload_conf()"} {
			if err := server.Exec(context.Background(), "", text); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\ndefault_pool_size = 2\n[databases]\n* = host=%s port=%d\n", server.Host(), server.Port()))
	k, other := talk(t, p.address()), talk(t, p.address())
	reader := talk(t, p.address(), param("default_transaction_read_only", "on")...)
	setter := talk(t, p.address())
	setter.query("set default_transaction_read_only = on")
	const ask = "show transaction_read_only"
	everybody := func(k1, other1 string) {
		t.Helper()
		eventually(t, fmt.Sprintf("clients to find %s, %s", k1, other1), func() bool {
			return k.query(ask) == k1 && other.query(ask) == other1
		})
		for range 3 { // on one server and on the other
			k.query("begin")
			if got := other.query(ask); got != other1 {
				t.Errorf("the other: %s, want %s", got, other1)
			}
			k.query("commit")
			if got := k.query(ask); got != k1 {
				t.Errorf("one: %s, want %s", got, k1)
			}
			if a, b := reader.query(ask), setter.query(ask); a != "on" || b != "on" {
				t.Errorf("who wants to read only: %s, %s", a, b)
			}
		}
	}
	everybody("off", "off")
	configure("alter system set default_transaction_read_only = on")
	everybody("on", "on")
	setter.query("set default_transaction_read_only = off")
	if got := setter.query(ask); got != "off" {
		t.Errorf("who sets it otherwise finds %s", got)
	}
	setter.query("set default_transaction_read_only = on")
	configure("alter system reset default_transaction_read_only")
	everybody("off", "off")
	// What a client sets stays its own, and it is told.
	k.query("set default_transaction_read_only = on")
	everybody("on", "off")
	if got := k.params["default_transaction_read_only"]; got != "on" {
		t.Errorf("the client is told %q", got)
	}
	k.query("reset default_transaction_read_only")
	everybody("off", "off")
	setter.query("reset all")
	if got := setter.query(ask); got != "off" {
		t.Errorf("after RESET ALL: %s", got)
	}
	for _, a := range reader.ask(simple("create table nobody_can (a int)")) {
		if a.typ == wire.ErrorResponse && wire.ParseReport(a.body).Code != "25006" {
			t.Errorf("%+v", wire.ParseReport(a.body))
		}
	}
}
