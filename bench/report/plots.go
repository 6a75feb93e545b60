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
	latencies := latencyPictures(r, drawn)
	all := []picture{callsPicture(r, drawn), latencies[0]}
	for _, sweep := range r.Sweeps {
		switch sweep.Setting {
		case "clients":
			all = append(all, ratesPicture(sweep, drawn, "clients", sweep.title(), "clients"))
		case "pool":
			all = append(all,
				ratesPicture(sweep, drawn, "pool", sweep.title(), "server connections in the pool"),
				waitsPicture(sweep, drawn))
		}
	}
	all = append(all, connectionsPicture(r, drawn))
	all = append(all, latencies[1:]...)
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
		if s.Summary.RatioToNone != nil && r.Settings.Rate == 0 {
			b.factor = factor(*s.Summary.RatioToNone)
		}
		if s.Summary.WrongCount() > 0 {
			b.note = "but wrong"
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

// farApart is the factor between values above which an axis of lines is logarithmic.
const farApart = 20.0

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
	s.markKnee(&chart)
	p.chart = chart
	p.alt = title + ", a line for each strategy."
	if s.Knee > 0 {
		p.alt += " It shows: " + s.shows() + "."
	}
	return p
}

// waitsPicture has the latency of the swept strategy at each size of the pool.
func waitsPicture(s Sweep, drawn map[string]pen) picture {
	p := picture{name: "pool-latency", title: strings.Replace(s.title(), "Calls a second", "How long calls take,", 1)}
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
	s.markKnee(&chart)
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

// markKnee shows the knee in a chart.
func (s Sweep) markKnee(chart *lines) {
	if s.Knee > 0 {
		chart.knee = &dot{x: math.Log2(float64(s.Knee))}
		chart.text = s.mark()
	}
}

// connectionsPicture has the server connections while a round runs.
func connectionsPicture(r Report, drawn map[string]pen) picture {
	p := picture{name: "connections", title: "Connections that Postgres has to serve"}
	chart := strips{label: "seconds since the start of a round"}
	var told []string
	for _, s := range ran(r.Strategies) {
		strip := strip{title: printable(s.title()), samples: firstSamples(s.Rounds), pen: drawn[s.Name]}
		if len(strip.samples) < 2 || strip.peak() == 0 { // calls were made, so nobody looked at the right time
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
