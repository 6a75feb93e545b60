// What is measured here means something only when no other test runs beside it: make test comes to it last, alone.

//go:build quiet

package main

import (
	"slices"
	"testing"
	"time"

	"carpool/bench/report"
)

// The numbers are those that Postgres' own load generator finds, within 10 %: the median of the ratios of rounds that ran one
// after the other. Only pairs count in which the two had the processors to themselves: where somebody else takes part of them,
// calls a second tell how the scheduler shared out the rest. So it goes on until there are enough such pairs; without them
// nothing is shown, and it fails.
func TestQuietBenchAgreesWithPgbench(t *testing.T) {
	const enough = 7
	var ratios []float64
	pairs := 0
	for deadline := time.Now().Add(3 * time.Minute); len(ratios) < enough && time.Now().Before(deadline); {
		p := start(t, nil, "bench", "--private", "--workload", "select1", "--strategies", "direct,pgbench", "--clients", "8", "--processes", "1",
			"--rounds", "9", "--duration", "1s", "--sweep", "none", "--format", "json")
		if status := p.waitFor(benchPatience); status != 0 {
			t.Fatalf("status %d: %s", status, p.stderr)
		}
		r := decodeReport(t, p.stdout.String())
		ours, theirs := row(t, r, "direct").Rounds, row(t, r, "pgbench").Rounds
		for i := range ours {
			pairs++
			if alone(t, &ours[i], r.Environment.Cores) && alone(t, &theirs[i], r.Environment.Cores) {
				ratios = append(ratios, callsPerSecond(&ours[i])/callsPerSecond(&theirs[i]))
			}
		}
	}
	if len(ratios) < enough {
		t.Fatalf("others use this machine: in %d of %d pairs of rounds only the two had the processors to themselves, and %d are needed", len(ratios), pairs, enough)
	}
	slices.Sort(ratios)
	median := ratios[len(ratios)/2]
	t.Logf("our calls a second are %.2f of pgbench's in %d of %d pairs of rounds", median, len(ratios), pairs)
	if median < 0.9 || median > 1.1 {
		t.Errorf("our calls a second are %.2f of pgbench's: %.2f", median, ratios)
	}
}

// alone reports whether clients and server had nearly all of the processors in a round.
func alone(t *testing.T, r *report.Round, cores int) bool {
	t.Helper()
	if r.ClientCPUSeconds == nil || r.ServerCPUSeconds == nil || r.Calls == 0 {
		t.Fatalf("a round without calls or processor time: %+v", r)
	}
	return (*r.ClientCPUSeconds+*r.ServerCPUSeconds)/r.ElapsedSeconds > 0.97*float64(cores)
}

func callsPerSecond(r *report.Round) float64 { return float64(r.Calls) / r.ElapsedSeconds }
