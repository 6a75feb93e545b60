package admin

import (
	"maps"
	"slices"
	"strings"
	"time"

	"carpool/proxy"
)

var statsColumns = slices.Concat(
	columns(typeText, "database"),
	columns(typeNumeric, `total_server_assignment_count total_xact_count total_query_count total_received total_sent
		total_xact_time total_query_time total_wait_time
		total_client_parse_count total_server_parse_count total_bind_count total_client_login_count`),
	columns(typeNumeric, `avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent
		avg_xact_time avg_query_time avg_wait_time
		avg_client_parse_count avg_server_parse_count avg_bind_count avg_client_login_count`),
)

var statsTotalsColumns = slices.Concat(
	columns(typeText, "database"),
	columns(typeNumeric, `server_assignment_count xact_count query_count bytes_received bytes_sent
		xact_time query_time wait_time client_parse_count server_parse_count bind_count client_login_count`),
)

var statsAveragesColumns = slices.Concat(
	columns(typeText, "database"),
	columns(typeNumeric, `server_assignment_count xact_count query_count bytes_received bytes_sent
		xact_time query_time wait_time avg_client_parse_count avg_server_parse_count avg_bind_count avg_client_login_count`),
)

var totalsColumns = slices.Concat(columns(typeText, "name"), columns(typeNumeric, "value"))

// totalsNames are what SHOW TOTALS calls the counts, in the order of
// trafficCells.
var totalsNames = strings.Fields(`server_assignment_count xact_count query_count client_bytes server_bytes
	xact_time query_time wait_time ps_client_parse_count ps_server_parse_count ps_bind_count client_login_count`)

// totals are what each database has done since the start.
func (c *Console) totals() map[string]proxy.Traffic {
	n := c.queries.Load()
	all := map[string]proxy.Traffic{consoleName: {Transactions: n, Queries: n}}
	for _, v := range c.proxy.Pools() {
		all[v.Database] = plus(all[v.Database], v.Traffic, 1)
	}
	return all
}

// plus is a + sign*b.
func plus(a, b proxy.Traffic, sign int64) proxy.Traffic {
	return proxy.Traffic{
		Assignments:     a.Assignments + sign*b.Assignments,
		Transactions:    a.Transactions + sign*b.Transactions,
		Queries:         a.Queries + sign*b.Queries,
		Received:        a.Received + sign*b.Received,
		Sent:            a.Sent + sign*b.Sent,
		TransactionTime: a.TransactionTime + sign*b.TransactionTime,
		QueryTime:       a.QueryTime + sign*b.QueryTime,
		WaitTime:        a.WaitTime + sign*b.WaitTime,
		ClientParses:    a.ClientParses + sign*b.ClientParses,
		ServerParses:    a.ServerParses + sign*b.ServerParses,
		Binds:           a.Binds + sign*b.Binds,
		Logins:          a.Logins + sign*b.Logins,
	}
}

// samples are the totals at the ends of the last whole period, which averages
// are taken over. Before the first period is over, they reach from the start
// until now.
type samples struct {
	from, to         map[string]proxy.Traffic // to is nil before the first period is over
	fromTime, toTime time.Time
}

func (s *samples) begin(now time.Time) { s.fromTime = now }

func (s *samples) add(totals map[string]proxy.Traffic, now time.Time) {
	if s.to != nil {
		s.from, s.fromTime = s.to, s.toTime
	}
	s.to, s.toTime = totals, now
}

// average is what a database did per second in the period, its times apart:
// those are per transaction, query and assignment.
func (s *samples) average(database string, current proxy.Traffic, now time.Time) proxy.Traffic {
	end, endTime := current, now
	if s.to != nil {
		end, endTime = s.to[database], s.toTime
	}
	d := plus(end, s.from[database], -1)
	elapsed := int64(endTime.Sub(s.fromTime) / time.Microsecond)
	rate := func(n int64) int64 { return ratio(n, elapsed, int64(time.Second/time.Microsecond)) }
	return proxy.Traffic{
		Assignments:     rate(d.Assignments),
		Transactions:    rate(d.Transactions),
		Queries:         rate(d.Queries),
		Received:        rate(d.Received),
		Sent:            rate(d.Sent),
		TransactionTime: ratio(d.TransactionTime, d.Transactions, 1),
		QueryTime:       ratio(d.QueryTime, d.Queries, 1),
		WaitTime:        ratio(d.WaitTime, d.Assignments, 1),
		ClientParses:    rate(d.ClientParses),
		ServerParses:    rate(d.ServerParses),
		Binds:           rate(d.Binds),
		Logins:          rate(d.Logins),
	}
}

// ratio is n*scale/of without overflow, 0 where there is nothing to divide by.
func ratio(n, of, scale int64) int64 {
	if of <= 0 || n <= 0 {
		return 0
	}
	return int64(float64(n) * float64(scale) / float64(of))
}

// stat is what a database has done.
type stat struct {
	database       string
	total, average proxy.Traffic
}

// stats are what the databases have done, by name.
func (c *Console) stats() []stat {
	totals, now := c.totals(), time.Now()
	c.mu.Lock()
	s := c.samples // the maps in it are never changed
	c.mu.Unlock()
	var list []stat
	for _, database := range slices.Sorted(maps.Keys(totals)) {
		list = append(list, stat{database, totals[database], s.average(database, totals[database], now)})
	}
	return list
}

func (c *Console) statsRows() [][]cell {
	var rows [][]cell
	for _, s := range c.stats() {
		row := append([]cell{text(s.database)}, trafficCells(s.total)...)
		rows = append(rows, append(row, trafficCells(s.average)...))
	}
	return rows
}

// statsTotalsRows are the first half of SHOW STATS.
func (c *Console) statsTotalsRows() [][]cell {
	var rows [][]cell
	for _, s := range c.stats() {
		rows = append(rows, append([]cell{text(s.database)}, trafficCells(s.total)...))
	}
	return rows
}

// statsAveragesRows are the second half of SHOW STATS.
func (c *Console) statsAveragesRows() [][]cell {
	var rows [][]cell
	for _, s := range c.stats() {
		rows = append(rows, append([]cell{text(s.database)}, trafficCells(s.average)...))
	}
	return rows
}

// totalsRows are the sums over all databases, a row for each.
func (c *Console) totalsRows() [][]cell {
	var total proxy.Traffic
	current := c.totals()
	for _, t := range current {
		total = plus(total, t, 1)
	}
	c.mu.Lock()
	average := c.samples.sum().average("", total, time.Now())
	c.mu.Unlock()
	var rows [][]cell
	for _, half := range []struct {
		prefix string
		cells  []cell
	}{{"total_", trafficCells(total)}, {"avg_", trafficCells(average)}} {
		for i, name := range totalsNames {
			rows = append(rows, []cell{text(half.prefix + name), half.cells[i]})
		}
	}
	return rows
}

// sum is the same for all databases together, under the name "".
func (s *samples) sum() *samples {
	all := func(m map[string]proxy.Traffic) map[string]proxy.Traffic {
		if m == nil {
			return nil
		}
		var t proxy.Traffic
		for _, one := range m {
			t = plus(t, one, 1)
		}
		return map[string]proxy.Traffic{"": t}
	}
	return &samples{from: all(s.from), to: all(s.to), fromTime: s.fromTime, toTime: s.toTime}
}

// trafficCells are the counts in the order of the columns, times in
// microseconds.
func trafficCells(t proxy.Traffic) []cell {
	micros := func(nanos int64) cell { return number(nanos / int64(time.Microsecond)) }
	return []cell{
		number(t.Assignments),
		number(t.Transactions),
		number(t.Queries),
		number(t.Received),
		number(t.Sent),
		micros(t.TransactionTime),
		micros(t.QueryTime),
		micros(t.WaitTime),
		number(t.ClientParses),
		number(t.ServerParses),
		number(t.Binds),
		number(t.Logins),
	}
}
