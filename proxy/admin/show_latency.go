package admin

import (
	"slices"
	"time"

	"carpool/proxy"
)

var latencyColumns = slices.Concat(
	columns(typeText, "database user"),
	columns(typeInt8, "waits wait_p50 wait_p90 wait_p99 wait_p999"),
	columns(typeInt8, "queries query_p50 query_p90 query_p99 query_p999"),
	columns(typeInt8, "xacts xact_p50 xact_p90 xact_p99 xact_p999"),
	columns(typeInt8, "logins login_p50 login_p90 login_p99 login_p999"),
)

// latencyRows has a row for each pool: how often something was timed since the
// pool was opened, and how long it took at most, of so many in a hundred or a
// thousand, in microseconds.
func (c *Console) latencyRows() [][]cell {
	var rows [][]cell
	for _, v := range c.pools() {
		rows = append(rows, latencyRow(v.Database, v.User, v.Latency()))
	}
	return rows
}

func latencyRow(database, user string, l *proxy.Latency) []cell {
	row := []cell{text(database), text(user)}
	for _, h := range []*proxy.Histogram{&l.Wait, &l.Query, &l.Transaction, &l.Login} {
		row = append(row, number(h.Count()))
		for _, part := range []float64{0.5, 0.9, 0.99, 0.999} {
			row = append(row, number(int64(h.Quantile(part)/time.Microsecond)))
		}
	}
	return row
}
