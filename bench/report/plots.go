package report

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
)

// WritePlots writes the plots that r has values for into dir, which exists, in each of formats, "svg" and "png", for light
// and dark backgrounds: calls.svg and calls-dark.svg, and so on. It returns the paths of the files.
func WritePlots(dir string, r Report, formats []string) ([]string, error) {
	var paths []string
	for _, p := range pictures(r) {
		for _, t := range []theme{lightTheme(), darkTheme()} {
			name := p.name
			if t.dark {
				name += "-dark"
			}
			for _, format := range formats {
				data, err := p.file(look{theme: t, width: wideWidth, titled: true}, format)
				if err != nil {
					return paths, err
				}
				path := filepath.Join(dir, name+"."+format)
				if err := os.WriteFile(path, data, 0o644); err != nil {
					return paths, fmt.Errorf("write a plot: %w", err)
				}
				paths = append(paths, path)
			}
		}
	}
	return paths, nil
}

func (p picture) file(l look, format string) ([]byte, error) {
	switch format {
	case "svg":
		return p.svg(l)
	case "png":
		return p.png(l)
	}
	return nil, fmt.Errorf("plots are svg or png, not %q", format)
}

// pictures are the plots that r has values for, in the order of a page.
func pictures(r Report) []picture {
	drawn := pens(r)
	all := []picture{callsPicture(r, drawn), latencyPicture(r, drawn)}
	for _, sweep := range r.Sweeps {
		switch sweep.Setting {
		case "clients":
			all = append(all, ratesPicture(sweep, drawn, "clients", "Calls a second by the number of clients", "clients"))
		case "pool":
			all = append(all,
				ratesPicture(sweep, drawn, "pool", "Calls a second by the size of the pool", "server connections in the pool"),
				waitsPicture(sweep, drawn))
		}
	}
	all = append(all, connectionsPicture(r, drawn))
	return slices.DeleteFunc(all, func(p picture) bool { return p.chart == nil })
}

func callsPicture(r Report, drawn map[string]pen) picture {
	p := picture{name: "calls", title: "Calls a second, by how a call gets its connection"}
	chart := bars{label: "calls a second, all clients together"}
	var told []string
	for _, s := range ran(r.Strategies) {
		if s.Summary.CallsPerSecond.Median <= 0 {
			continue
		}
		b := bar{title: printable(s.title()), value: s.Summary.CallsPerSecond, pen: drawn[s.Name]}
		if s.Summary.WrongCount() > 0 {
			b.note = "wrong!"
		}
		chart.bars = append(chart.bars, b)
		told = append(told, b.title+": "+b.text())
	}
	if len(chart.bars) == 0 {
		return p
	}
	p.chart = chart
	p.alt = "Bars of the calls a second of each strategy. " + strings.Join(told, "; ") + "."
	return p
}

// nines is the position of a share of the calls on an axis that gives every further nine of it the same room.
func nines(percent float64) float64 { return -math.Log10(1 - percent/100) }

// latencyPicture has the latency that each share of the calls didn't exceed.
func latencyPicture(r Report, drawn map[string]pen) picture {
	p := picture{name: "latency", title: "How long calls take"}
	chart := lines{
		xLabel: "share of the calls", yLabel: "take at most (logarithmic)", yLog: true,
		yText:  func(v float64) string { return tick(v*1e3) + " ms" },
		xTicks: latencyTicks,
	}
	var told []string
	for _, s := range ran(r.Strategies) {
		d := newDistribution(s.Rounds...)
		if d.empty() {
			continue
		}
		l := line{entry: entry{printable(s.title()), drawn[s.Name]}}
		// A share is shown as far as at least ten calls are beyond it.
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
		if len(l.dots) < 2 {
			continue
		}
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

// ratesPicture has the calls a second at each value of a sweep.
func ratesPicture(s Sweep, drawn map[string]pen, name, title, label string) picture {
	p := picture{name: name, title: title}
	chart := lines{
		xLabel: label, yLabel: "calls a second", yText: tick,
		xTicks: s.ticks(),
	}
	lowest, highest := math.Inf(1), 0.0
	for _, strategy := range s.names() {
		l := line{entry: entry{printable(s.named(strategy).title()), drawn[strategy]}}
		for _, point := range s.Points {
			if summary := find(point.Strategies, strategy); summary != nil && summary.CallsPerSecond.Median > 0 {
				v := summary.CallsPerSecond
				l.dots = append(l.dots, dot{math.Log2(float64(point.Value)), v.Median, v.Low, v.High})
				lowest, highest = min(lowest, v.Median), max(highest, v.Median)
			}
		}
		if l.marks = l.dots; len(l.dots) > 0 {
			chart.lines = append(chart.lines, l)
		}
	}
	if len(chart.lines) == 0 || len(s.Points) < 2 {
		return p
	}
	if highest > farApart*lowest {
		chart.yLog = true
		chart.yLabel += " (logarithmic)"
	}
	s.mark(&chart)
	p.chart = chart
	p.alt = title + ", a line for each strategy."
	if s.Knee > 0 {
		p.alt += fmt.Sprintf(" Beyond %d, more brings %s little.", s.Knee, printable(s.subject()))
	}
	return p
}

// waitsPicture has the latency of the swept strategy at each size of the pool.
func waitsPicture(s Sweep, drawn map[string]pen) picture {
	p := picture{name: "pool-latency", title: "How long calls take, by the size of the pool"}
	name := s.subject()
	half, most := drawn[name], drawn[name]
	most.dashes, most.mark = []float64{2, 2.5}, triangle
	half.dashes = nil
	chart := lines{
		xLabel: "server connections in the pool", yLabel: "take at most (logarithmic)", yLog: true,
		yText: func(v float64) string { return tick(v*1e3) + " ms" }, xTicks: s.ticks(),
	}
	for _, share := range []struct {
		title string
		pen   pen
		value func(Percentiles) float64
	}{
		{"half of the calls", half, func(p Percentiles) float64 { return p.P50 }},
		{"99 % of the calls", most, func(p Percentiles) float64 { return p.P99 }},
	} {
		l := line{entry: entry{share.title, share.pen}}
		for _, point := range s.Points {
			if summary := find(point.Strategies, name); summary != nil && share.value(summary.Latency) > 0 {
				y := share.value(summary.Latency)
				l.dots = append(l.dots, dot{math.Log2(float64(point.Value)), y, y, y})
			}
		}
		if l.marks = l.dots; len(l.dots) > 0 {
			chart.lines = append(chart.lines, l)
		}
	}
	if len(chart.lines) == 0 || len(s.Points) < 2 {
		return p
	}
	s.mark(&chart)
	p.chart = chart
	p.alt = fmt.Sprintf("Two lines: the latency that half and 99 %% of the calls of %s didn't exceed, by the size of the pool.", printable(name))
	return p
}

// ticks are at the values of the sweep, whose positions are their logarithms.
func (s Sweep) ticks() func(look) []plot.Tick {
	return func(look) []plot.Tick {
		var ticks []plot.Tick
		for _, point := range s.Points {
			ticks = append(ticks, plot.Tick{Value: math.Log2(float64(point.Value)), Label: count(int64(point.Value))})
		}
		return ticks
	}
}

// mark shows the knee in a chart.
func (s Sweep) mark(chart *lines) {
	if s.Knee > 0 {
		chart.knee = &dot{x: math.Log2(float64(s.Knee))}
		chart.text = fmt.Sprintf("%d: more brings %s little", s.Knee, printable(s.subject()))
	}
}

// connectionsPicture has the server connections while a round runs.
func connectionsPicture(r Report, drawn map[string]pen) picture {
	p := picture{name: "connections", title: "Connections that Postgres has to serve"}
	chart := strips{label: "seconds since the start of a round"}
	var told []string
	for _, s := range ran(r.Strategies) {
		strip := strip{title: printable(s.title()), samples: firstSamples(s.Rounds), pen: drawn[s.Name]}
		if len(strip.samples) < 2 {
			continue
		}
		chart.strips = append(chart.strips, strip)
		chart.length = max(chart.length, strip.samples[len(strip.samples)-1].AtSeconds)
		chart.most = max(chart.most, strip.peak())
		told = append(told, strip.title+": "+strip.text())
	}
	if chart.length <= 0 {
		return p
	}
	p.chart = chart
	p.alt = "A strip for each strategy: the connections to Postgres during a round. " + strings.Join(told, "; ") + "."
	return p
}

// firstSamples are those of the first round that has any, by time.
func firstSamples(rounds []Round) []Sample {
	for _, round := range rounds {
		if len(round.Samples) > 0 {
			samples := slices.Clone(round.Samples)
			slices.SortStableFunc(samples, func(a, b Sample) int { return cmp.Compare(a.AtSeconds, b.AtSeconds) })
			return samples
		}
	}
	return nil
}

// attribute is text for an attribute of an element.
func attribute(text string) string { return html.EscapeString(text) }
