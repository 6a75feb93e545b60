package proxy

import (
	"math"
	"sync/atomic"
	"time"
)

// Times are counted in buckets whose bounds are those of Prometheus's native
// histograms of schema 2: four to each doubling, so that what is read from them
// is off by a tenth at most. They reach from 2^-20 seconds, about a
// microsecond, to 2^13, over two hours.
const (
	// HistogramSchema is how fine the buckets are: bounds grow by the factor
	// 2^(2^-HistogramSchema).
	HistogramSchema = 2

	perDoubling   = 1 << HistogramSchema
	leastExponent = -20
	mostExponent  = 13

	// HistogramLowest is the number of the first bucket after the zero bucket,
	// in Prometheus's numbering: bucket i ends with 2^(i/4) seconds, inclusive.
	HistogramLowest = leastExponent*perDoubling + 1
	// HistogramBuckets is the number of buckets of a Histogram: the first is
	// for all times up to 2^-20 seconds, the last for all above 2^13.
	HistogramBuckets = (mostExponent-leastExponent)*perDoubling + 2
)

// Histogram is how often something took how long. The zero value is empty.
type Histogram struct {
	// Buckets are counts. Buckets[0] is the zero bucket, Buckets[i] is number
	// HistogramLowest+i-1, and the last has whatever took longer still.
	Buckets [HistogramBuckets]int64
	// Sum is the sum of all times.
	Sum time.Duration
}

// Count is how often it happened.
func (h *Histogram) Count() (n int64) {
	for _, c := range &h.Buckets {
		n += c
	}
	return n
}

// HistogramBound is the longest time that Buckets[i] and those before it are
// for, in seconds; infinite for the last.
func HistogramBound(i int) float64 {
	if i == HistogramBuckets-1 {
		return math.Inf(1)
	}
	return math.Exp2(leastExponent + float64(i)/perDoubling)
}

// Quantile is a time that the part q of all, from 0 to 1, took at most, give or
// take a tenth. It is 0 for an empty histogram.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := int64(math.Ceil(q * float64(h.Count())))
	if rank <= 0 {
		rank = 1
	}
	for i, n := range &h.Buckets {
		if rank -= n; rank > 0 {
			continue
		}
		if n == 0 || i == 0 {
			return 0
		}
		i = min(i, HistogramBuckets-2)
		middle := math.Sqrt(HistogramBound(i-1) * HistogramBound(i))
		return time.Duration(middle * float64(time.Second))
	}
	return 0
}

// stopwatch is a Histogram under way. Only one loop writes; anyone reads.
type stopwatch struct {
	buckets [HistogramBuckets]atomic.Int64
	sum     atomic.Int64 // nanoseconds
}

// note counts a time. It doesn't allocate.
func (s *stopwatch) note(d time.Duration) {
	s.buckets[bucketOf(d)].Add(1)
	if d > 0 {
		s.sum.Add(int64(d))
	}
}

// total is how often and how long, without the buckets.
func (s *stopwatch) total() (count, nanos int64) {
	for i := range s.buckets {
		count += s.buckets[i].Load()
	}
	return count, s.sum.Load()
}

// addTo adds what was counted to a histogram.
func (s *stopwatch) addTo(h *Histogram) {
	for i := range s.buckets {
		h.Buckets[i] += s.buckets[i].Load()
	}
	h.Sum += time.Duration(s.sum.Load())
}

// The parts of a doubling, as the fractions of floating-point numbers between 1
// and 2 have them: 2^(1/4), 2^(1/2) and 2^(3/4).
const (
	fractionBits = 52
	exponentBias = 1023

	firstQuarter = 0x306fe0a31b715
	half         = 0x6a09e667f3bcd
	thirdQuarter = 0xae89f995ad3ad
)

// bucketOf is where a time is counted.
func bucketOf(d time.Duration) int {
	bits := math.Float64bits(float64(d) / 1e9)
	exponent := int(bits>>fractionBits) - exponentBias
	switch {
	case d <= 0 || exponent < leastExponent:
		return 0
	case d > 1<<mostExponent*time.Second:
		return HistogramBuckets - 1
	}
	i := (exponent - leastExponent) * perDoubling
	switch fraction := bits & (1<<fractionBits - 1); {
	case fraction == 0: // a bound belongs to the bucket that it ends
	case fraction <= firstQuarter:
		i++
	case fraction <= half:
		i += 2
	case fraction <= thirdQuarter:
		i += 3
	default:
		i += 4
	}
	return i
}
