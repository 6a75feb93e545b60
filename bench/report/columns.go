package report

import "slices"

// column is one of a table that has a row for each strategy.
type column struct {
	head  string // the title; a line break is for tables that keep it
	value func(s Strategy) string
}

// missing stands for what wasn't measured.
const missing = "-"

// outcomes are the columns of the table that every reader reads: how fast, how right, at what cost for the server.
func outcomes(r Report) []column {
	columns := []column{
		{"calls\na second", func(s Strategy) string { return amount(s.Summary.CallsPerSecond.Median) }},
		{spreadHead, func(s Strategy) string {
			if s.Summary.Rounds < 2 {
				return missing
			}
			return "±" + percent(s.Summary.CallsPerSecond.Width())
		}},
		pace(r.Settings),
		{"50 %\nwithin", latencyColumn(func(p Percentiles) float64 { return p.P50 })},
		{"99 %\nwithin", latencyColumn(func(p Percentiles) float64 { return p.P99 })},
		{"errors", counter(func(s Summary) int64 { return s.ErrorCount() })},
		{"wrong\nanswers", counter(func(s Summary) int64 { return s.WrongCount() })},
		{connectionsHead, func(s Strategy) string {
			if s.Summary.ServerConnections == nil || *s.Summary.ServerConnections == 0 {
				return missing // calls were made, so there was one that nobody saw
			}
			return count(int64(*s.Summary.ServerConnections))
		}},
	}
	if r.Settings.IdleClients > 0 {
		columns = append(columns, column{"idle\nconns", counter(func(s Summary) int64 { return int64(s.IdleConnections) })})
	}
	if r.Settings.Workload == "books" && r.Settings.Rate == 0 {
		columns = append(columns, books()...)
	}
	return columns
}

const (
	spreadHead      = "spread"
	connectionsHead = "server\nconns\nseen"
)

// pace is how a strategy compares with none; or, while a rate sets the pace for all, how much it left undone.
func pace(s Settings) column {
	if s.Rate > 0 {
		return column{"begun\ntoo late", func(s Strategy) string { return percent(s.Summary.late()) }}
	}
	return column{"times\nnone", func(s Strategy) string {
		if s.Summary.RatioToNone == nil {
			return missing
		}
		return factor(*s.Summary.RatioToNone)
	}}
}

// books are the columns for the workload of the lecture: seconds, beside the lecture's.
func books() []column {
	return []column{
		{"secs for\n10,000", func(s Strategy) string {
			if s.Summary.SecondsPer10000 == 0 {
				return missing
			}
			return amount(s.Summary.SecondsPer10000)
		}},
		{"in the\nlecture", func(s Strategy) string {
			if s.LectureSeconds == 0 {
				return missing
			}
			return exact(s.LectureSeconds)
		}},
	}
}

// costs are the columns for those who want to know more: the tail of the latency, processor and memory.
func costs() []column {
	return []column{
		{"90 %\nwithin", latencyColumn(func(p Percentiles) float64 { return p.P90 })},
		{"99.9 %\nwithin", latencyColumn(func(p Percentiles) float64 { return p.P999 })},
		{"the\nlongest", latencyColumn(func(p Percentiles) float64 { return p.Max })},
		{"CPU s:\nclients", secondsColumn(func(s Summary) *float64 { return s.ClientCPU })},
		{"CPU s:\npooler", secondsColumn(func(s Summary) *float64 { return s.PoolerCPU })},
		{"CPU s:\nPostgres", secondsColumn(func(s Summary) *float64 { return s.ServerCPU })},
		{"pooler's\nmemory", func(s Strategy) string {
			if s.Summary.PoolerBytes == nil {
				return missing
			}
			return size(*s.Summary.PoolerBytes)
		}},
	}
}

func latencyColumn(value func(Percentiles) float64) func(Strategy) string {
	return func(s Strategy) string {
		if v := value(s.Summary.Latency); v > 0 {
			return latency(v)
		}
		return missing
	}
}

func secondsColumn(value func(Summary) *float64) func(Strategy) string {
	return func(s Strategy) string {
		v := value(*s.Summary)
		if v == nil {
			return missing
		}
		return amount(*v)
	}
}

func counter(value func(Summary) int64) func(Strategy) string {
	return func(s Strategy) string { return count(value(*s.Summary)) }
}

// grid is a table of text. Its columns are those that at least one strategy has a value for.
type grid struct {
	heads []string
	rows  [][]string // the first cell is the strategy's label
	from  []Strategy // of the rows
}

// newGrid has a row for each strategy that ran.
func newGrid(strategies []Strategy, columns []column) grid {
	g := grid{heads: []string{"how a call gets\nits connection"}, from: ran(strategies)}
	for _, s := range g.from {
		g.rows = append(g.rows, []string{s.label()})
	}
	for _, c := range columns {
		cells := make([]string, len(g.from))
		for i, s := range g.from {
			cells[i] = c.value(s)
		}
		if !slices.ContainsFunc(cells, func(cell string) bool { return cell != missing }) {
			continue
		}
		g.heads = append(g.heads, c.head)
		for i := range g.rows {
			g.rows[i] = append(g.rows[i], cells[i])
		}
	}
	return g
}

// outcomeGrid is the table that every format begins with.
func outcomeGrid(r Report) grid { return newGrid(r.Strategies, outcomes(r)) }

func costGrid(r Report) grid { return newGrid(r.Strategies, costs()) }

// legend are the sentences that explain the columns.
func legend(r Report) []string {
	lines := []string{
		"Calls a second are those of all clients together: the median of the rounds, and how far the farthest round is from it. Latency is that of single calls, of all rounds.",
	}
	if !slices.Contains(outcomeGrid(r).heads, spreadHead) { // of a single round
		lines[0] = "Calls a second are those of all clients together. Latency is that of single calls."
	}
	if r.Settings.Rate > 0 {
		lines = append(lines, "Latency counts from when a call should have begun. Calls that came too late to begin before the end are a share of those whose time came; they have no latency.")
	}
	if slices.Contains(outcomeGrid(r).heads, connectionsHead) {
		lines = append(lines, "Server connections are the most that were seen in pg_stat_activity, ten looks a second: what was open only between two looks isn't counted.")
	}
	if r.Settings.Workload == "books" && r.Settings.Rate == 0 {
		lines = append(lines, "The seconds for 10,000 calls are 10,000 divided by the calls a second of all clients together. The lecture's figures are from another machine: compare the factors, not the seconds.")
	}
	return lines
}
