package report

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"
)

// Side is one of two reports that are compared.
type Side struct {
	Name   string // such as that of its file
	Report Report
}

// Comparison is two reports beside each other, strategy by strategy.
type Comparison struct {
	Metrics  []Metric
	Warnings []string // what makes the comparison doubtful, in sentences
	Verdict  string   // whether b is faster, in a sentence
}

// Metric is what was compared, with a row for each strategy that both reports have rounds of.
type Metric struct {
	Title   string
	Rows    []Change
	Geomean *Change // of the rows; its P is 0; nil with fewer than two rows
	smaller bool    // is better
	text    func(float64) string
}

// Change is how a value changed from report a to report b.
type Change struct {
	Strategy    string
	A, B        Spread
	P           float64 // the chance of such a difference where there is none, by the Mann-Whitney test
	RoundsA     int
	RoundsB     int
	Significant bool // P is at most 0.05
}

// Ratio is b's median divided by a's; 1 when a has none.
func (c Change) Ratio() float64 {
	if c.A.Median <= 0 {
		return 1
	}
	return c.B.Median / c.A.Median
}

// Compare finds what of b differs from a, with the method of benchstat: medians, and the Mann-Whitney test over the rounds,
// which needs some four rounds on both sides to find anything. Both reports are finished.
func Compare(a, b Report) Comparison {
	c := Comparison{Warnings: differences(a, b)}
	for _, m := range []struct {
		Metric
		value func(Round) float64
	}{
		{Metric{Title: "calls a second", text: amount}, Round.callsPerSecond},
		{Metric{Title: "latency, 50 % take at most", text: latency, smaller: true}, latencyAt(50)},
		{Metric{Title: "latency, 99 % take at most", text: latency, smaller: true}, latencyAt(99)},
	} {
		metric := m.Metric
		for _, before := range ran(a.Strategies) {
			after := b.named(before.Name)
			if len(after.Rounds) == 0 || after.Summary == nil || after.Summary.Calls == 0 || before.Summary.Calls == 0 {
				continue
			}
			change := newChange(before.Name, each(before.Rounds, m.value), each(after.Rounds, m.value))
			if warning := change.tooFew(); warning != "" && !slices.Contains(c.Warnings, warning) {
				c.Warnings = append(c.Warnings, warning)
			}
			metric.Rows = append(metric.Rows, change)
		}
		metric.Geomean = geomean(metric.Rows)
		c.Metrics = append(c.Metrics, metric)
	}
	c.Verdict = verdict(c.Metrics[0].Rows)
	return c
}

// named is the strategy of that name, without rounds when there is none.
func (r Report) named(name string) Strategy {
	for _, s := range r.Strategies {
		if s.Name == name {
			return s
		}
	}
	return Strategy{Name: name}
}

func latencyAt(percent float64) func(Round) float64 {
	return func(r Round) float64 { return newDistribution(r).at(percent) }
}

func newChange(strategy string, a, b []float64) Change {
	comparison := benchmath.AssumeNothing.Compare(sample(a), sample(b))
	return Change{
		Strategy: strategy, A: spread(a), B: spread(b), P: comparison.P, RoundsA: len(a), RoundsB: len(b),
		Significant: comparison.P <= comparison.Alpha,
	}
}

// tooFew says that with so few rounds no difference can be significant, however large; empty when one can. When all rounds
// of one side are above all of the other, P is 2 divided by the number of ways to choose one side's rounds from all.
func (c Change) tooFew() string {
	ways := 1.0
	for i := range c.RoundsB {
		ways *= float64(c.RoundsA+i+1) / float64(i+1)
	}
	alpha := benchmath.DefaultThresholds.CompareAlpha
	if 2/ways <= alpha {
		return ""
	}
	return fmt.Sprintf("With %d and %d rounds no difference can be shown at the level of %v, however large: run both with --rounds %d or more",
		c.RoundsA, c.RoundsB, alpha, enoughRounds)
}

// geomean is nil for fewer than two rows, and where a median is 0. It is significant when any of the rows is.
func geomean(rows []Change) *Change {
	if len(rows) < 2 {
		return nil
	}
	a, b, significant := 0.0, 0.0, false
	for _, row := range rows {
		if row.A.Median <= 0 || row.B.Median <= 0 {
			return nil
		}
		a += math.Log(row.A.Median)
		b += math.Log(row.B.Median)
		significant = significant || row.Significant
	}
	n := float64(len(rows))
	return &Change{Strategy: "geomean", A: Spread{Median: math.Exp(a / n)}, B: Spread{Median: math.Exp(b / n)}, Significant: significant}
}

// verdict tells what the significant changes of calls a second amount to.
func verdict(rows []Change) string {
	var up, down []string
	for _, row := range rows {
		if !row.Significant {
			continue
		}
		text := fmt.Sprintf("%s (%+.1f %%)", printable(row.Strategy), 100*(row.Ratio()-1))
		if row.Ratio() > 1 {
			up = append(up, text)
		} else {
			down = append(down, text)
		}
	}
	switch {
	case len(rows) == 0:
		return "The reports have no strategy in common."
	case len(up) == 0 && len(down) == 0:
		return "The rounds show no difference in calls a second."
	case len(down) == 0:
		return "B is faster with " + list(up) + rest(len(rows)-len(up))
	case len(up) == 0:
		return "B is slower with " + list(down) + rest(len(rows)-len(down))
	}
	return "B is faster with " + list(up) + ", slower with " + list(down) + rest(len(rows)-len(up)-len(down))
}

func rest(n int) string {
	if n == 0 {
		return "."
	}
	return fmt.Sprintf("; with %d other%s no difference shows.", n, strings.Repeat("s", min(n-1, 1)))
}

// differences are the conditions that must be equal for a comparison to mean something, and aren't.
func differences(a, b Report) []string {
	var warnings []string
	for _, d := range []struct{ what, a, b string }{
		{"workload", a.Settings.Workload, b.Settings.Workload},
		{"protocol", a.Settings.Protocol, b.Settings.Protocol},
		{"number of clients", whole(int64(a.Settings.Clients)), whole(int64(b.Settings.Clients))},
		{"number of processes", whole(int64(a.Settings.Processes)), whole(int64(b.Settings.Processes))},
		{"pool size", whole(int64(a.Settings.PoolSize)), whole(int64(b.Settings.PoolSize))},
		{"number of idle clients", whole(int64(a.Settings.IdleClients)), whole(int64(b.Settings.IdleClients))},
		{"rate", exact(a.Settings.Rate), exact(b.Settings.Rate)},
		{"think time", exact(a.Settings.ThinkSeconds) + " s", exact(b.Settings.ThinkSeconds) + " s"},
		{"delay", exact(a.Settings.DelaySeconds) + " s", exact(b.Settings.DelaySeconds) + " s"},
		{"transport", a.Settings.Transport, b.Settings.Transport},
		{"length of a round", measured(Settings{DurationSeconds: a.Settings.DurationSeconds, Calls: a.Settings.Calls}), measured(Settings{DurationSeconds: b.Settings.DurationSeconds, Calls: b.Settings.Calls})},
		{"processor", a.Environment.CPU, b.Environment.CPU},
		{"number of cores", whole(int64(a.Environment.Cores)), whole(int64(b.Environment.Cores))},
		{"operating system", a.Environment.OS, b.Environment.OS},
		{"version of Postgres", a.Environment.Postgres, b.Environment.Postgres},
	} {
		if d.a != d.b {
			warnings = append(warnings, fmt.Sprintf("The %s differs: %s and %s", d.what, orUnknown(printable(d.a)), orUnknown(printable(d.b))))
		}
	}
	before, after := maps.Clone(a.Environment.ServerSettings), maps.Clone(b.Environment.ServerSettings)
	for name, value := range before {
		if other, ok := after[name]; ok && other == value {
			delete(before, name)
			delete(after, name)
		}
	}
	if len(before)+len(after) > 0 {
		warnings = append(warnings, fmt.Sprintf("The Postgres settings differ: %s and %s", orUnknown(settings(before)), orUnknown(settings(after))))
	}
	for _, s := range a.Strategies {
		if s.Summary != nil && !slices.ContainsFunc(b.Strategies, func(o Strategy) bool { return o.Name == s.Name && o.Summary != nil }) {
			warnings = append(warnings, "Only the first report has "+printable(s.Name))
		}
	}
	for _, s := range b.Strategies {
		if s.Summary != nil && !slices.ContainsFunc(a.Strategies, func(o Strategy) bool { return o.Name == s.Name && o.Summary != nil }) {
			warnings = append(warnings, "Only the second report has "+printable(s.Name))
		}
	}
	return warnings
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// WriteComparison writes whether b is faster than a: a table for each metric, warnings, and the verdict.
func WriteComparison(w io.Writer, a, b Side, o Options) error {
	s := newScreen(o)
	c := Compare(a.Report, b.Report)
	s.paragraph(s.plain, "A: ", sideTitle(a))
	s.paragraph(s.plain, "B: ", sideTitle(b))
	for _, metric := range c.Metrics {
		if len(metric.Rows) == 0 {
			continue
		}
		s.line("")
		s.line(s.strong.Render(metric.Title))
		s.grid(metric.grid())
	}
	s.line("")
	s.paragraph(s.faint, "", "Medians of the rounds; ± is the distance of the farthest round. ~ means that the rounds show no difference (p above 0.05).")
	s.section("Warnings", c.Warnings)
	s.line("")
	s.paragraph(s.strong, "", c.Verdict)
	_, err := io.WriteString(w, s.text.String())
	return err
}

func sideTitle(s Side) string {
	title := printable(s.Name)
	var parts []string
	for _, part := range []string{madeOn(s.Report), software(Environment{Carpool: s.Report.Environment.Carpool, Commit: s.Report.Environment.Commit})} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) > 0 {
		title += " (" + strings.Join(parts, ", ") + ")"
	}
	return title
}

func (m Metric) grid() grid {
	g := grid{heads: []string{"strategy", "A", "±", "B", "±", "change", "p", "rounds"}}
	for _, row := range m.Rows {
		change := "~"
		if row.Significant {
			change = m.change(row)
		}
		rounds := whole(int64(row.RoundsA))
		if row.RoundsA != row.RoundsB {
			rounds += "+" + whole(int64(row.RoundsB))
		}
		g.rows = append(g.rows, []string{
			printable(row.Strategy), m.text(row.A.Median), percent(row.A.Width()), m.text(row.B.Median), percent(row.B.Width()),
			change, fmt.Sprintf("%.3f", row.P), rounds,
		})
	}
	if m.Geomean != nil {
		g.rows = append(g.rows, []string{"geomean", m.text(m.Geomean.A.Median), "", m.text(m.Geomean.B.Median), "", m.mean(), "", ""})
	}
	return g
}

// mean is the change of the geomean, which is none when no row has changed.
func (m Metric) mean() string {
	if !m.Geomean.Significant {
		return fmt.Sprintf("~ %+.1f %%", 100*(m.Geomean.Ratio()-1))
	}
	return m.change(*m.Geomean)
}

// change is the difference in percent, with a word for which way is better.
func (m Metric) change(c Change) string {
	word := "better"
	if (c.Ratio() < 1) != m.smaller {
		word = "worse"
	}
	if c.Ratio() == 1 {
		return "0.0 %"
	}
	return fmt.Sprintf("%+.1f %% %s", 100*(c.Ratio()-1), word)
}
