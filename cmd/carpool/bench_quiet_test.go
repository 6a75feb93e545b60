// What is measured here means something only when no other test runs beside it: make test comes to it last, alone.

//go:build quiet

package main

import (
	"slices"
	"testing"

	"carpool/bench/report"
)

// The numbers are those that Postgres' own load generator finds, within 10 %: the median of the ratios of rounds that ran one
// after the other. Eight clients that never wait keep all processors busy, so calls a second are the processors times the calls
// for which one of them has the time in a second. The latter are compared: they're the same when somebody else takes part of
// the processors, where calls a second would tell how the scheduler shared out the rest.
func TestQuietBenchAgreesWithPgbench(t *testing.T) {
	const reports = 3
	var perProcessor, perSecond []float64
	for range reports {
		p := start(t, nil, "bench", "--private", "--workload", "select1", "--strategies", "direct,pgbench", "--clients", "8", "--processes", "1",
			"--rounds", "9", "--duration", "1s", "--sweep", "none", "--format", "json")
		if status := p.waitFor(benchPatience); status != 0 {
			t.Fatalf("status %d: %s", status, p.stderr)
		}
		r := decodeReport(t, p.stdout.String())
		ours, theirs := row(t, r, "direct").Rounds, row(t, r, "pgbench").Rounds
		for i := range ours {
			perProcessor = append(perProcessor, callsPerCPUSecond(t, &ours[i])/callsPerCPUSecond(t, &theirs[i]))
			perSecond = append(perSecond, callsPerSecond(&ours[i])/callsPerSecond(&theirs[i]))
		}
	}
	ratio := median(perProcessor)
	t.Logf("of pgbench's calls, ours are %.2f a processor's second and %.2f a second", ratio, median(perSecond))
	if ratio < 0.9 || ratio > 1.1 {
		t.Errorf("our calls a processor's second are %.2f of pgbench's: %.2f", ratio, perProcessor)
	}
}

// callsPerCPUSecond counts the time of the clients and of the server.
func callsPerCPUSecond(t *testing.T, r *report.Round) float64 {
	t.Helper()
	if r.ClientCPUSeconds == nil || r.ServerCPUSeconds == nil || r.Calls == 0 {
		t.Fatalf("a round without calls or processor time: %+v", r)
	}
	return float64(r.Calls) / (*r.ClientCPUSeconds + *r.ServerCPUSeconds)
}

func callsPerSecond(r *report.Round) float64 { return float64(r.Calls) / r.ElapsedSeconds }

// median sorts.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
