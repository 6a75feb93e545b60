package report

import (
	"math"
	"slices"
	"testing"
)

// TestBarsBeginAtZero checks that the lengths of bars are as their values.
func TestBarsBeginAtZero(t *testing.T) {
	r := finished(strategy("none", 100, 100), strategy("carpool", 5000, 5000))
	chart, ok := callsPicture(r, pens(r)).chart.(bars)
	if !ok || len(chart.bars) != 2 {
		t.Fatalf("the chart is %+v", chart)
	}
	s := chart.scale(look{width: wideWidth})
	if s.low() != 0 || math.Abs(s.share(5000)/s.share(100)-50) > 1e-9 {
		t.Errorf("the axis begins at %v, and 50 times as much is %v times as long", s.low(), s.share(5000)/s.share(100))
	}
	if got := chart.bars[1].text(); got != "5,000 · 50x" {
		t.Errorf("behind the bar stands %q", got)
	}
}

func TestLatencyPlotsHaveFewLines(t *testing.T) {
	r := fixture(1, 1)
	drawn := 0
	for i, p := range latencyPictures(r, pens(r)) {
		chart := p.chart.(lines)
		drawn += len(chart.lines)
		if len(chart.lines) > linesShown {
			t.Errorf("%s has %d lines", p.name, len(chart.lines))
		}
		for _, name := range []string{"none", "carpool-connect", "carpool", "driver-pool"} {
			if i == 0 && !slices.ContainsFunc(chart.lines, func(l line) bool { return l.title == Describe(name).Title }) {
				t.Errorf("%s isn't in the first plot", name)
			}
		}
	}
	if want := len(ran(r.Strategies)); drawn != want {
		t.Errorf("%d of %d strategies are drawn", drawn, want)
	}
}
