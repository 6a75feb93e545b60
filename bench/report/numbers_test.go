package report

import (
	"math"
	"testing"

	"gonum.org/v1/plot"
)

func TestNumbers(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{count(0), "0"},
		{count(999), "999"},
		{count(1000), "1,000"},
		{count(-1234567), "-1,234,567"},
		{count(math.MaxInt64), "9,223,372,036,854,775,807"},
		{amount(0), "0"},
		{amount(0.0123), "0.012"},
		{amount(0.5), "0.50"},
		{amount(9.944), "9.94"},
		{amount(9.96), "10.0"},
		{amount(99.6), "100"},
		{amount(12345.4), "12,345"},
		{amount(math.Inf(1)), "-"},
		{amount(math.NaN()), "-"},
		{latency(0.0000123), "0.012 ms"},
		{latency(0.00152), "1.52 ms"},
		{latency(0.0152), "15.2 ms"},
		{latency(1.5), "1,500 ms"},
		{latency(15), "15.0 s"},
		{factor(0.66), "0.7x"},
		{factor(35.4), "35x"},
		{percent(0.004), "0.4 %"},
		{percent(-0.27), "27 %"},
		{percent(0), "0 %"},
		{size(14_200_000), "14.2 MB"},
		{size(17_179_869_184), "17.2 GB"},
		{tick(0.05), "0.05"},
		{tick(20), "20"},
		{tick(20000), "20,000"},
		{plural(1, "process"), "1 process"},
		{plural(2, "process"), "2 processes"},
		{plural(1200, "client"), "1,200 clients"},
		{list([]string{"a", "b", "c"}), "a, b and c"},
		{sentence("no stop"), "no stop."},
		{sentence("stop."), "stop."},
		{printable("a\x1b[2Jb\nc\u202e"), "a\uFFFD[2Jb c\uFFFD"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestTicksEncloseTheValues(t *testing.T) {
	for _, test := range []struct{ low, high float64 }{
		{0.1, 0.1}, {1, 10}, {3, 7}, {0.00004, 12}, {99, 101}, {1e-9, 1e9}, {5, 5},
	} {
		for name, ticks := range map[string][]plot.Tick{
			"log": logTicks(test.low, test.high, tick), "linear": linearTicks(test.high, 5, tick),
		} {
			if len(ticks) < 2 || ticks[0].Value > test.low*(1+1e-9) || ticks[len(ticks)-1].Value < test.high*(1-1e-9) {
				t.Errorf("%s: from %v to %v the ticks are %v", name, test.low, test.high, ticks)
			}
			labels := 0
			for i, tick := range ticks {
				if i > 0 && tick.Value <= ticks[i-1].Value {
					t.Errorf("%s: from %v to %v the ticks don't rise: %v", name, test.low, test.high, ticks)
				}
				if tick.Label != "" {
					labels++
				}
			}
			if labels < 2 || labels > 20 {
				t.Errorf("%s: from %v to %v there are %d labels", name, test.low, test.high, labels)
			}
		}
	}
}

func FuzzWrap(f *testing.F) {
	f.Add("  - a sentence of some words", 10)
	f.Add("", 0)
	f.Fuzz(func(t *testing.T, text string, width int) {
		if lines := wrap(text, width); len(lines) == 0 {
			t.Errorf("%q has no lines", text)
		}
	})
}
