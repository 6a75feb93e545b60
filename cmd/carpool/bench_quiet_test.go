// What is measured here means something only when no other test runs beside it: make test comes to it last, alone.

//go:build quiet

package main

import (
	"slices"
	"testing"

	"carpool/bench/report"
)

// The numbers are those that Postgres' own load generator finds, within 10 %: the median of the ratios of rounds that ran one
// after the other. That holds where the two had the processors to themselves, and is asked for if there are enough such pairs.
// Where somebody else on the machine took part of the processors, calls a second tell how the scheduler shared out the rest, and
// no machine is quiet enough for 10 %; what is left to compare is calls per second of processor time, of clients and server,
// which a neighbour changes by way of the caches alone.
func TestQuietBenchAgreesWithPgbench(t *testing.T) {
	const attempts, enough = 5, 5
	var throughput, perProcessor []float64
	for range attempts {
		p := start(t, nil, "bench", "--private", "--workload", "select1", "--strategies", "direct,pgbench", "--clients", "8", "--processes", "1",
			"--rounds", "7", "--duration", "1s", "--sweep", "none", "--format", "json")
		if status := p.waitFor(benchPatience); status != 0 {
			t.Fatalf("status %d: %s", status, p.stderr)
		}
		r := decodeReport(t, p.stdout.String())
		ours, theirs := row(t, r, "direct").Rounds, row(t, r, "pgbench").Rounds
		for i := range ours {
			our, their := speedOf(t, &ours[i]), speedOf(t, &theirs[i])
			perProcessor = append(perProcessor, our.perProcessorSecond/their.perProcessorSecond)
			if min(our.processors, their.processors) > 0.97*float64(r.Environment.Cores) {
				throughput = append(throughput, our.perSecond/their.perSecond)
			}
		}
		t.Logf("so far: calls a second %.2f of pgbench's in %d undisturbed pairs, calls per processor second %.2f in %d",
			median(throughput), len(throughput), median(perProcessor), len(perProcessor))
		if len(throughput) >= enough && within(median(throughput), 0.1) {
			return
		}
	}
	if len(throughput) >= enough {
		t.Fatalf("after %d attempts still not within 10 %%", attempts)
	}
	if !within(median(perProcessor), 0.25) {
		t.Fatalf("after %d attempts on a machine that others use, still not within 25 %%", attempts)
	}
}

type speed struct {
	perSecond, perProcessorSecond float64 // calls
	processors                    float64 // in use on the average
}

func speedOf(t *testing.T, r *report.Round) speed {
	t.Helper()
	if r.ClientCPUSeconds == nil || r.ServerCPUSeconds == nil || r.Calls == 0 {
		t.Fatalf("a round without calls or processor time: %+v", r)
	}
	calls, used := float64(r.Calls), *r.ClientCPUSeconds+*r.ServerCPUSeconds
	return speed{perSecond: calls / r.ElapsedSeconds, perProcessorSecond: calls / used, processors: used / r.ElapsedSeconds}
}

// median is 0 where there is nothing.
func median(ratios []float64) float64 {
	if len(ratios) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(ratios))
	return sorted[len(sorted)/2]
}

func within(ratio, share float64) bool {
	return ratio > 1-share && ratio < 1+share
}
