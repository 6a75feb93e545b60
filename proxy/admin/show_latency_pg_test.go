package admin

import (
	"strconv"
	"testing"
)

// How long things take is shown by percentiles that are in order, and about
// right.
func TestConsoleSeesLatency(t *testing.T) {
	r := startProxy(t)
	console, client := r.connect("looker", "pgbouncer"), r.connect("app", "app")
	for range 9 {
		table(t, client, "SELECT 1")
	}
	table(t, client, "SELECT pg_sleep(0.2)")
	row := await(t, console, "SHOW LATENCY", "database", "app", "queries=10 xacts=10 logins=1")
	micros := func(column string) int {
		n, err := strconv.Atoi(row[column])
		if err != nil {
			t.Errorf("%s: %v", column, err)
		}
		return n
	}
	for _, kind := range []string{"wait", "query", "xact", "login"} {
		last := 0
		for _, part := range []string{"_p50", "_p90", "_p99", "_p999"} {
			if n := micros(kind + part); n < last {
				t.Errorf("%s is less than the one before it: %v", kind+part, row)
			} else {
				last = n
			}
		}
	}
	if n := micros("query_p99"); n < 180_000 {
		t.Errorf("the longest query took %d us", n)
	}
	if n := micros("query_p50"); n > 180_000 {
		t.Errorf("half of the queries took %d us", n)
	}
}
