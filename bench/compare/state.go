package compare

import (
	"context"
	"fmt"

	"golang.org/x/perf/benchmath"
)

// compareState measures what it costs clients that leave nothing in their sessions that carpool looks: pgbench -S through one
// carpool as it is by default, and through one that ignores what is left there.
func (y *yard) compareState(ctx context.Context) error {
	poolers, end, err := y.launchForProtocols(ctx, y.carpool, "session_state = ignore", "deferred_begin = 0")
	if err != nil {
		return err
	}
	defer end()
	lines, err := y.takeTurns(ctx, y.cells(), poolers)
	if err != nil {
		return err
	}
	writeLines(y.Out, "ignoring", lines)
	for i := range lines {
		median := lines[i].cpuRatio()
		fmt.Fprintf(y.Out, "%s: looking at session state costs %.1f %% of the processor time, with a confidence of 95 %% between %.1f and %.1f %%\n",
			lines[i].cell, 100*(median.Center-1), 100*(median.Lo-1), 100*(median.Hi-1))
	}
	return nil
}

// cpuRatio is the median of the rounds' ratios of processor time: what the machine does besides hits both halves of a round.
func (l *line) cpuRatio() benchmath.Summary {
	ratios := make([]float64, len(l.carpool))
	for i := range ratios {
		ratios[i] = cpu(l.carpool[i]) / cpu(l.other[i])
	}
	return benchmath.AssumeNothing.Summary(benchmath.NewSample(ratios, &benchmath.DefaultThresholds), 0.95)
}
