package proxy

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Every time lies within the bounds of its bucket, also next to the bounds.
func TestHistogramBounds(t *testing.T) {
	check := func(d time.Duration) {
		t.Helper()
		i, s := bucketOf(d), float64(d)/1e9
		if i > 0 && s <= HistogramBound(i-1) || s > HistogramBound(i) {
			t.Errorf("%v is in bucket %d, from %v to %v", d, i, HistogramBound(i-1), HistogramBound(i))
		}
	}
	for i := range HistogramBuckets - 1 {
		at := time.Duration(HistogramBound(i) * 1e9)
		for d := at - 3; d <= at+3; d++ {
			check(d)
		}
	}
	for range 100_000 {
		check(time.Duration(math.Exp(rand.Float64() * math.Log(math.MaxInt64))))
	}
	for d, want := range map[time.Duration]int{
		math.MinInt64: 0, -1: 0, 0: 0, 1: 0, 953: 0, 954: 1,
		time.Second:        20 * perDoubling,
		time.Second + 1:    20*perDoubling + 1,
		2 * time.Second:    21 * perDoubling,
		8192 * time.Second: HistogramBuckets - 2, 8192*time.Second + 1: HistogramBuckets - 1, 8191 * time.Second: HistogramBuckets - 2, math.MaxInt64: HistogramBuckets - 1,
	} {
		if got := bucketOf(d); got != want {
			t.Errorf("%v is in bucket %d, not %d", d, got, want)
		}
	}
}

func TestHistogramQuantile(t *testing.T) {
	var s stopwatch
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Count() != 0 {
		t.Error("an empty histogram has a median")
	}
	for i := range 1000 {
		s.note(time.Duration(i+1) * time.Millisecond)
	}
	s.note(-time.Second)
	s.addTo(&h)
	if n, nanos := s.total(); n != 1001 || n != h.Count() || time.Duration(nanos) != h.Sum || h.Sum != 500500*time.Millisecond {
		t.Error(n, nanos, h.Sum)
	}
	for q, want := range map[float64]time.Duration{
		0: 0, 0.1: 100 * time.Millisecond, 0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second,
	} {
		if got := h.Quantile(q); math.Abs(float64(got-want)) > 0.1*float64(want) {
			t.Errorf("quantile %v is %v, not %v", q, got, want)
		}
	}
	s.note(math.MaxInt64)
	s.addTo(&h)
	if got := h.Quantile(1); got < 2*time.Hour {
		t.Error(got)
	}
}

func TestHistogramDoesNotAllocate(t *testing.T) {
	var s stopwatch
	if n := testing.AllocsPerRun(100, func() { s.note(time.Millisecond) }); n != 0 {
		t.Error(n)
	}
}

func BenchmarkHistogram(b *testing.B) {
	var s stopwatch
	for i := range b.N {
		s.note(time.Duration(i))
	}
}
