// What is measured here means something only when no other test runs beside it: make test comes to it last, alone.

//go:build quiet

package main

import (
	"fmt"
	"testing"

	"golang.org/x/perf/benchmath"

	"carpool/bench/report"
)

// The numbers are those that Postgres' own load generator finds, within 10 %: the median of the ratios of rounds that ran one
// after the other. Eight clients that never wait keep all processors busy, so calls a second are the processors times the calls
// for which one of them has the time in a second. The latter are compared: they're the same when somebody else takes part of
// the processors, where calls a second would tell how the scheduler shared out the rest. Rounds on a machine that isn't quiet
// differ by half and more, and their median with them, so that it's the interval which holds the median, with a confidence of
// 95 %, that mustn't be outside the 10 %.
func TestQuietBenchAgreesWithPgbench(t *testing.T) {
	const reports, tolerance = 3, 0.1
	failsWhenShownAgain(t, func(t *testing.T) string {
		var perProcessor, perSecond []float64
		for range reports {
			ours, theirs := quietRounds(t)
			for i := range ours {
				perProcessor = append(perProcessor, callsPerCPUSecond(t, &ours[i])/callsPerCPUSecond(t, &theirs[i]))
				perSecond = append(perSecond, callsPerSecond(&ours[i])/callsPerSecond(&theirs[i]))
			}
		}
		ratio := medianOf(perProcessor)
		t.Logf("of pgbench's calls, ours are %.2f a processor's second (%.2f to %.2f) and %.2f a second",
			ratio.Center, ratio.Lo, ratio.Hi, medianOf(perSecond).Center)
		if ratio.Hi < 1-tolerance || ratio.Lo > 1+tolerance {
			return fmt.Sprintf("our calls a processor's second aren't within %.2f of pgbench's: the rounds say %.2f", tolerance, perProcessor)
		}
		return ""
	})
}

// quietRounds runs both in turns, in rounds of a second.
func quietRounds(t *testing.T) (ours, theirs []report.Round) {
	t.Helper()
	p := start(t, nil, "bench", "--private", "--workload", "select1", "--strategies", "direct,pgbench", "--clients", "8", "--processes", "1",
		"--rounds", "9", "--duration", "1s", "--sweep", "none", "--format", "json")
	if status := p.waitFor(benchPatience); status != 0 {
		t.Fatalf("status %d: %s", status, p.stderr)
	}
	r := decodeReport(t, p.stdout.String())
	return row(t, r, "direct").Rounds, row(t, r, "pgbench").Rounds
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

// medianOf comes with the interval in which the median is, with a confidence of 95 %, whatever the values' distribution. It sorts.
func medianOf(values []float64) benchmath.Summary {
	return benchmath.AssumeNothing.Summary(benchmath.NewSample(values, &benchmath.DefaultThresholds), 0.95)
}
