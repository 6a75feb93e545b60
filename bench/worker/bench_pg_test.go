package worker

import (
	"context"
	"testing"

	"carpool/bench/workload"
)

// nothing is a technique without a connection and a call without a statement: what is left is the harness.
type nothing struct{}

func (nothing) open(context.Context, []*client) error                   { return nil }
func (nothing) take(context.Context, *client) (workload.Session, error) { return nil, nil }
func (nothing) give(*client, error)                                     {}
func (nothing) drop(*client)                                            {}
func (nothing) close([]*client)                                         {}
func (nothing) Call(context.Context, workload.Session) error            { return nil }

// The harness's own cost of a call, beside the sending and receiving.
func BenchmarkLoop(b *testing.B) {
	work := workload.Workload{NewCaller: func(workload.Place, int, uint64) workload.Caller { return nothing{} }}
	r, err := newRun(Job{Clients: 8, Technique: Kept, Calls: int64(b.N)}, work, nil, Control{})
	if err != nil {
		b.Fatal(err)
	}
	r.supply = nothing{}
	b.ReportAllocs()
	b.ResetTimer()
	if err := r.drive(b.Context(), func(error) {}); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkSelect1(b *testing.B) {
	for _, technique := range []Technique{Connect, Kept, DriverPool, Global, GlobalUnsafe} {
		for _, protocol := range []Protocol{Simple, Extended, Prepared} {
			b.Run(string(technique)+"/"+string(protocol), func(b *testing.B) {
				b.ReportAllocs()
				result, err := Run(b.Context(), Job{
					Technique: technique, URL: postgres.URL("", ""), Protocol: protocol, Workload: "select1", Clients: 8, Calls: int64(b.N),
				}, Control{})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(result.Calls)/result.Elapsed.Seconds(), "calls/s")
				b.ReportMetric(float64(result.CPU.Microseconds())/float64(b.N), "cpu-us/call")
			})
		}
	}
}
