package worker

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	longestLatency = 10 * time.Minute // longer ones count as this
	latencyDigits  = 3
	mostShards     = 16
)

// latencies collects durations from many goroutines. It is split so that they don't wait for each other, and so that ten
// thousand clients don't need a histogram each.
type latencies struct{ shards []shard }

// shard is what the latencies of some clients go to.
type shard struct {
	mu        sync.Mutex
	histogram *hdrhistogram.Histogram // guarded by mu; nanoseconds
	_         [48]byte                // keeps neighbours off each other's cache line
}

func newLatencies(clients int) *latencies {
	l := &latencies{shards: make([]shard, min(clients, mostShards))}
	for i := range l.shards {
		l.shards[i].histogram = hdrhistogram.New(1, longestLatency.Nanoseconds(), latencyDigits)
	}
	return l
}

// shard is the one of the process's client of that number.
func (l *latencies) shard(client int) *shard { return &l.shards[client%len(l.shards)] }

// record adds one call.
func (s *shard) record(took time.Duration) {
	s.mu.Lock()
	// It can't fail: the value is within the histogram's range.
	_ = s.histogram.RecordValue(int64(min(max(took, 1), longestLatency)))
	s.mu.Unlock()
}

// count is how many calls were recorded.
func (l *latencies) count() int64 {
	total := int64(0)
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		total += s.histogram.TotalCount()
		s.mu.Unlock()
	}
	return total
}

// pairs are latencies in nanoseconds, ascending, each with how many calls took that long. A latency is the middle of the
// range that its digits stand for.
func (l *latencies) pairs() [][2]int64 {
	all := hdrhistogram.New(1, longestLatency.Nanoseconds(), latencyDigits)
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		all.Merge(s.histogram)
		s.mu.Unlock()
	}
	pairs := make([][2]int64, 0)
	for _, bar := range all.Distribution() {
		if bar.Count > 0 {
			pairs = append(pairs, [2]int64{bar.From + (bar.To-bar.From)/2, bar.Count})
		}
	}
	return pairs
}

// mergePairs adds up the counts of equal latencies.
func mergePairs(lists ...[][2]int64) [][2]int64 {
	counts := make(map[int64]int64)
	for _, list := range lists {
		for _, pair := range list {
			counts[pair[0]] += pair[1]
		}
	}
	merged := make([][2]int64, 0, len(counts))
	for _, latency := range slices.Sorted(maps.Keys(counts)) {
		merged = append(merged, [2]int64{latency, counts[latency]})
	}
	return merged
}
