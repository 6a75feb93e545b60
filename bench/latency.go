package bench

import (
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latency describes how long the transactions of a run took, to three digits. The zero value is that of no transaction.
type Latency struct {
	Mean, P50, P90, P99, P999, Max time.Duration
}

const (
	longestLatency = 10 * time.Minute // longer ones count as this
	latencyShards  = 16
)

// latencies collects durations from many goroutines. It is split so that they seldom wait for each other, and so that ten
// thousand clients don't need a histogram each.
type latencies struct {
	shards [latencyShards]struct {
		mu        sync.Mutex
		histogram *hdrhistogram.Histogram // guarded by mu; microseconds
	}
}

func newLatencies() *latencies {
	l := new(latencies)
	for i := range l.shards {
		l.shards[i].histogram = hdrhistogram.New(1, longestLatency.Microseconds(), 3)
	}
	return l
}

// record adds a duration measured by the client of that number.
func (l *latencies) record(client int, took time.Duration) error {
	shard := &l.shards[client%latencyShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if err := shard.histogram.RecordValue(min(took, longestLatency).Microseconds()); err != nil {
		return fmt.Errorf("recording a latency: %w", err)
	}
	return nil
}

// summarize merges what has been recorded so far.
func (l *latencies) summarize() Latency {
	all := hdrhistogram.New(1, longestLatency.Microseconds(), 3)
	for i := range l.shards {
		shard := &l.shards[i]
		shard.mu.Lock()
		all.Merge(shard.histogram)
		shard.mu.Unlock()
	}
	at := func(percent float64) time.Duration {
		return time.Duration(all.ValueAtPercentile(percent)) * time.Microsecond
	}
	return Latency{
		Mean: time.Duration(all.Mean() * float64(time.Microsecond)),
		P50:  at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: time.Duration(all.Max()) * time.Microsecond,
	}
}
