package nullserver

import (
	"context"
	"slices"
	"testing"
	"time"
)

// BenchmarkCost compares the median call of pgconn with that of the bare loop, in turns, on one server in a process of its own.
func BenchmarkCost(b *testing.B) {
	server := launch(b)
	conn := connect(b, server.URL())
	const calls = 2000
	took := make([]time.Duration, calls)
	var drivers, bares []time.Duration
	for b.Loop() {
		for i := range took {
			began := time.Now()
			if err := conn.Exec(context.Background(), question).Close(); err != nil {
				b.Fatal(err)
			}
			took[i] = time.Since(began)
		}
		slices.Sort(took)
		bare, err := Bare(b.Context(), server.Address(), calls)
		if err != nil {
			b.Fatal(err)
		}
		drivers, bares = append(drivers, took[calls/2]), append(bares, bare)
	}
	// The quietest rounds: on which core the system wakes a thread adds tens of microseconds to some, and never takes any away.
	cost := Cost{Harness: slices.Min(drivers), Bare: slices.Min(bares)}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(cost.Harness.Nanoseconds()), "driver-ns")
	b.ReportMetric(float64(cost.Bare.Nanoseconds()), "bare-ns")
	b.ReportMetric(float64(cost.PerCall().Nanoseconds()), "difference-ns")
}
