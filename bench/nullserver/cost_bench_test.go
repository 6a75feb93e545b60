package nullserver

import (
	"context"
	"slices"
	"testing"
	"time"
)

// BenchmarkCost compares what pgconn takes for a call with what the bare loop takes, in turns, on one server in a process of
// its own.
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
	slices.Sort(drivers)
	slices.Sort(bares)
	cost := Cost{Harness: drivers[len(drivers)/2], Bare: bares[len(bares)/2]}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(cost.Harness.Nanoseconds()), "driver-ns")
	b.ReportMetric(float64(cost.Bare.Nanoseconds()), "bare-ns")
	b.ReportMetric(float64(cost.PerCall().Nanoseconds()), "difference-ns")
}
