package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
)

// linesShown is how many lines can be told apart in one plot.
const linesShown = 6

// latencyPictures are the latencies that each share of the calls didn't exceed: first those of the strategies that a reader
// compares, then those of the others. There is always a first, perhaps without a chart.
func latencyPictures(r Report, drawn map[string]pen) []picture {
	var drawable []Strategy
	for _, s := range ran(r.Strategies) {
		if len(latencyLine(s, pen{}).dots) > 1 {
			drawable = append(drawable, s)
		}
	}
	first, others, python := compared(drawable)
	pictures := []picture{latencyPicture("latency", "How long calls take", first, drawn)}
	number := 1
	for _, group := range []struct {
		title      string
		strategies []Strategy
	}{
		{"How long calls take with the other strategies", others},
		{"How long calls take in Python", python},
	} {
		for strategies := range slices.Chunk(group.strategies, linesShown) {
			number++
			pictures = append(pictures, latencyPicture(fmt.Sprintf("latency-%d", number), group.title, strategies, drawn))
		}
	}
	return pictures
}

func latencyPicture(name, title string, strategies []Strategy, drawn map[string]pen) picture {
	p := picture{name: name, title: title}
	chart := lines{
		xLabel: "share of the calls", yLabel: "take at most (logarithmic)", yLog: true,
		yText:  func(v float64) string { return tick(v*1e3) + " ms" },
		xTicks: latencyTicks,
	}
	var told []string
	for _, s := range strategies {
		l := latencyLine(s, drawn[s.Name])
		chart.lines = append(chart.lines, l)
		told = append(told, fmt.Sprintf("%s: half within %s, 99 %% within %s", l.title, latency(s.Summary.Latency.P50), latency(s.Summary.Latency.P99)))
	}
	if len(chart.lines) == 0 {
		return p
	}
	p.chart = chart
	p.alt = "A line for each strategy: the latency that a share of the calls didn't exceed. " + strings.Join(told, "; ") + "."
	return p
}

// compared are the strategies of the first plot, those of the story before others, and the rest, the lecture's programs
// apart.
func compared(strategies []Strategy) (first, others, python []Strategy) {
	var chosen []string
	choose := func(name string) {
		if len(chosen) < linesShown && !slices.Contains(chosen, name) {
			chosen = append(chosen, name)
		}
	}
	for _, name := range []string{"none", "carpool-connect", "carpool", "driver-pool", "direct", "pgbouncer", "global", "carpool-session"} {
		if slices.ContainsFunc(strategies, func(s Strategy) bool { return s.Name == name }) {
			choose(name)
		}
	}
	for _, s := range strategies {
		choose(s.Name)
	}
	for _, s := range strategies {
		switch {
		case slices.Contains(chosen, s.Name):
			first = append(first, s)
		case strings.HasPrefix(s.Name, "python-"):
			python = append(python, s)
		default:
			others = append(others, s)
		}
	}
	return first, others, python
}

// latencyLine is that of one strategy. A share is drawn as far as at least ten calls are beyond it.
func latencyLine(s Strategy, pen pen) line {
	l := line{entry: entry{printable(s.title()), pen}}
	d := newDistribution(s.Rounds...)
	if d.empty() {
		return l
	}
	end := min(nines(maxShare), math.Log10(float64(d.calls())/10))
	at := func(x float64) dot {
		y := d.at(100 * (1 - math.Pow(10, -x)))
		return dot{x, y, y, y}
	}
	begin := nines(minShare)
	for i := range latencySteps + 1 {
		if x := begin + (nines(maxShare)-begin)*float64(i)/latencySteps; x <= end {
			l.dots = append(l.dots, at(x))
		}
	}
	for _, percent := range markedShares() {
		if x := nines(percent); x <= end {
			l.marks = append(l.marks, at(x))
		}
	}
	return l
}

// nines is the position of a share of the calls on an axis that gives every further nine of it the same room.
func nines(percent float64) float64 { return -math.Log10(1 - percent/100) }

// The axis of shares, in percent: where it begins, where it ends, and into how many pieces a line is divided.
const (
	minShare     = 10.0
	maxShare     = 99.99
	latencySteps = 60
)

func markedShares() []float64 { return []float64{50, 90, 99, 99.9} }

func latencyTicks(l look) []plot.Tick {
	ticks := []plot.Tick{{Value: nines(minShare)}}
	if !l.narrow() {
		ticks[0].Label = exact(minShare) + " %"
	}
	for _, percent := range append(markedShares(), maxShare) {
		ticks = append(ticks, plot.Tick{Value: nines(percent), Label: exact(percent) + " %"})
	}
	return ticks
}
