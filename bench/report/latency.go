package report

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range and the precision of latencies: from a microsecond's thousandth to an hour, at three significant digits.
const (
	lowestLatency  = int64(time.Nanosecond)
	highestLatency = int64(time.Hour)
	latencyDigits  = 3
)

// Percentiles are latencies in seconds: half of the calls took at most P50, and so on. They are 0 when no call succeeded.
type Percentiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// distribution is how many calls took how long.
type distribution struct {
	histogram *hdrhistogram.Histogram
}

// newDistribution merges the latencies of rounds.
func newDistribution(rounds ...Round) distribution {
	h := hdrhistogram.New(lowestLatency, highestLatency, latencyDigits)
	for _, round := range rounds {
		for _, bucket := range round.Latency {
			// What is out of range was refused when the report was read; what is above an hour counts as an hour.
			latency := min(max(math.Round(bucket[0]*1e9), float64(lowestLatency)), float64(highestLatency))
			_ = h.RecordValues(int64(latency), int64(bucket[1]))
		}
	}
	return distribution{histogram: h}
}

func (d distribution) empty() bool { return d.histogram.TotalCount() == 0 }

func (d distribution) calls() int64 { return d.histogram.TotalCount() }

// at is the latency in seconds that the share of calls, in percent, didn't exceed.
func (d distribution) at(percent float64) float64 {
	if d.empty() {
		return 0
	}
	return float64(d.histogram.ValueAtPercentile(percent)) / 1e9
}

func (d distribution) percentiles() Percentiles {
	if d.empty() {
		return Percentiles{}
	}
	return Percentiles{P50: d.at(50), P90: d.at(90), P99: d.at(99), P999: d.at(99.9), Max: float64(d.histogram.Max()) / 1e9}
}
