package admin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy"
)

// line is a row as one line, NULL for NULL.
func line(row []cell) string {
	var parts []string
	for _, c := range row {
		if !c.given {
			c.text = "NULL"
		}
		parts = append(parts, c.text)
	}
	return strings.Join(parts, " ")
}

func TestPoolRow(t *testing.T) {
	v := proxy.PoolView{
		Database: "app", User: "bob", Mode: "transaction", Clients: 12,
		Pool: pool.Stats{Leased: 4, Idle: 1, Dialing: 2, Open: 7, Waiting: 5, LongestWait: 2*time.Second + 345678*time.Microsecond},
	}
	if got, want := line(poolRow(v, "")), "app bob 7 5 0 0 4 0 0 1 0 0 2 2 345678 transaction NULL"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	v.Clients, v.Database = 3, "a\xffb" // waiting clients were counted a moment later
	if got, want := line(poolRow(v, "disable")), "a?b bob 0 5 0 0 4 0 0 1 0 0 2 2 345678 transaction disable"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDatabaseRow(t *testing.T) {
	c := config.Default()
	c.MaxDBConnections = 50
	c.AddDatabase(&config.Database{Name: "plain", Hosts: []string{"db1"}})
	c.AddDatabase(&config.Database{
		Name: "full", Hosts: []string{"db1", "db2"}, Ports: []int{5433}, DBName: "other", User: "forced",
		PoolSize: config.Some(3), MinPoolSize: config.Some(1), ReservePoolSize: config.Some(2),
		PoolMode: config.Some(config.PoolStatement), MaxDBConnections: config.Some(8), MaxDBClientConnections: config.Some(9),
		ServerLifetime: config.Some(time.Minute),
	})
	c.AddDatabase(&config.Database{Name: "socket"})
	for _, row := range []struct {
		name string
		used usage
		want string
	}{
		{"plain", usage{}, "plain db1 5432 plain NULL 20 0 0 3600 NULL NULL 50 0 0 0 0 0"},
		{"full", usage{servers: 4, clients: 6, paused: true}, "full db1,db2 5433 other forced 3 1 2 60 statement round-robin 8 4 9 6 1 0"},
		{"socket", usage{}, "socket NULL 5432 socket NULL 20 0 0 3600 NULL NULL 50 0 0 0 0 0"},
	} {
		d, ok := c.Database(row.name)
		if !ok {
			t.Fatal(row.name)
		}
		if got := line(databaseRow(c, d, row.used)); got != row.want {
			t.Errorf("got  %s\nwant %s", got, row.want)
		}
	}
}

func TestPinRow(t *testing.T) {
	p := proxy.Pin{
		Client: "127.0.0.1:5000", Database: "app", User: "bob", Application: "shop\xff", Since: 61*time.Second + 900*time.Millisecond,
		Kinds: []string{"temporary", "locks"}, Cause: "create temp table t", ServerPID: 1<<32 - 1,
	}
	if got, want := line(pinRow(&p)), "127.0.0.1:5000 app bob shop? 4294967295 61 temporary,locks create temp table t"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestHazardRow(t *testing.T) {
	h := proxy.Hazard{Kind: config.StateLocks, Database: "app", User: "bob", Times: 1 << 40, Cause: "select pg_advisory_lock(?)"}
	want := "locks app bob  1099511627776 select pg_advisory_lock(?) " + advice(config.StateLocks)
	if got := line(hazardRow(&h)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Each kind has a line of advice of its own, which names the kind's setting
// with a value that the setting takes.
func TestAdvice(t *testing.T) {
	given := make(map[string]config.StateKind)
	for kind := range config.StateKinds {
		a := advice(kind)
		if other, ok := given[a]; ok {
			t.Errorf("%s and %s have the same advice", kind, other)
		}
		given[a] = kind
		_, rest, ok := strings.Cut(a, "state_"+kind.String()+" = ")
		if !ok || strings.Contains(a, "\n") || len(a) > 180 {
			t.Errorf("%s: %q", kind, a)
			continue
		}
		value := rest[:strings.IndexAny(rest, " ,")]
		if err := config.Default().Set("state_"+kind.String(), value); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// traffic is n of everything, and n seconds of every time.
func traffic(n int64) proxy.Traffic {
	s := n * int64(time.Second)
	return proxy.Traffic{
		Assignments: n, Transactions: n, Queries: n, Received: n, Sent: n, TransactionTime: s, QueryTime: s, WaitTime: s,
		ClientParses: n, ServerParses: n, Binds: n, Logins: n,
	}
}

func TestAverages(t *testing.T) {
	start := time.Now()
	var s samples
	s.begin(start)
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	average := func(current proxy.Traffic, second int) string {
		a := s.average("app", current, at(second))
		return fmt.Sprint(a.Queries, a.Received, time.Duration(a.QueryTime), time.Duration(a.WaitTime))
	}
	// Before the first period is over: since the start.
	if got := average(traffic(100), 10); got != "10 10 1s 1s" {
		t.Error(got)
	}
	if got := average(proxy.Traffic{}, 0); got != "0 0 0s 0s" {
		t.Error(got)
	}
	// Then over the last period, whatever has happened since.
	s.add(map[string]proxy.Traffic{"app": traffic(600)}, at(60))
	if got := average(traffic(100_000), 70); got != "10 10 1s 1s" {
		t.Error(got)
	}
	next := traffic(1200)
	next.QueryTime = traffic(600).QueryTime + int64(60*time.Millisecond)
	s.add(map[string]proxy.Traffic{"app": next}, at(120))
	if got := average(traffic(100_000), 130); got != "10 10 100µs 1s" {
		t.Error(got)
	}
	// A database that came later has done all of it in the last period.
	s.add(map[string]proxy.Traffic{"app": next, "new": traffic(120)}, at(180))
	if got := s.average("new", traffic(120), at(190)).Queries; got != 2 {
		t.Error(got)
	}
	if got := average(next, 190); got != "0 0 0s 0s" {
		t.Error(got)
	}
}

func TestRatioOfLargeNumbers(t *testing.T) {
	// Ten years of traffic at 10 GB/s.
	bytes := int64(10e9 * 10 * 365 * 86400)
	if got := ratio(bytes, 60_000_000, 1_000_000); got != bytes/60 {
		if diff := got - bytes/60; diff > 1024 || diff < -1024 {
			t.Errorf("got %d, want %d", got, bytes/60)
		}
	}
}
