package report

import (
	"math"

	"gonum.org/v1/plot"
)

// tiny is a value below which an axis is as good as empty; powers of ten far below it have no numbers.
const tiny = 1e-200

// linearTicks are at 0 and at round numbers up to at least max, some count of them.
func linearTicks(max float64, steps int, label func(float64) string) []plot.Tick {
	if max <= tiny || steps < 1 {
		return []plot.Tick{{Value: 0, Label: label(0)}, {Value: 1, Label: label(1)}}
	}
	step := roundStep(max / float64(steps))
	var ticks []plot.Tick
	// The step is at least the whole divided by steps, so the end comes no later than this, rounding included.
	for i := range steps + 2 {
		v := step * float64(i)
		ticks = append(ticks, plot.Tick{Value: v, Label: label(v)})
		if v >= max*(1-1e-9) {
			break
		}
	}
	return ticks
}

// roundStep is the next of 1, 2 and 5 times a power of ten that is at least v.
func roundStep(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// fewDecades is the span, in powers of ten, up to which a logarithmic axis has labels between the powers.
const fewDecades = 2.2

// logTicks are at powers of ten that enclose min and max, and between them. The enclosing goes to 1, 2 or 5 times a power.
func logTicks(low, high float64, label func(float64) string) []plot.Tick {
	if low <= tiny || high < low {
		low, high = 1, 10
	}
	span := math.Log10(high / low)
	first := int(math.Floor(math.Log10(low)))
	last := int(math.Ceil(math.Log10(high) + 1e-9))
	var all []plot.Tick
	for exponent := first; exponent <= last; exponent++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, float64(exponent))
			text := ""
			if m == 1 || span <= fewDecades {
				text = label(v)
			}
			all = append(all, plot.Tick{Value: v, Label: text})
		}
	}
	// The axis begins at the last tick that isn't above the lowest value, and ends at the first that isn't below the highest.
	from, to := 0, len(all)-1
	for i, t := range all {
		if t.Value <= low*(1+1e-9) {
			from = i
		}
	}
	for i := len(all) - 1; i > from; i-- {
		if all[i].Value >= high*(1-1e-9) {
			to = i
		}
	}
	return all[from : to+1]
}
