package compare

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"carpool/bench/pooler"
	"carpool/bench/worker"
)

// pair is two running poolers whose measurements stand side by side: carpool, and what it is measured against.
type pair struct {
	carpool, other *pooler.Running
}

// launchPair starts carpool and another pooler. The second result ends them.
func (y *yard) launchPair(ctx context.Context, forCarpool pooler.Settings, other pooler.Product, forOther pooler.Settings) (pair, func(), error) {
	carpool, err := pooler.Launch(ctx, y.carpool, forCarpool)
	if err != nil {
		return pair{}, nil, err
	}
	second, err := pooler.Launch(ctx, other, forOther)
	if err != nil {
		y.end(carpool)
		return pair{}, nil, err
	}
	return pair{carpool, second}, func() { y.end(carpool); y.end(second) }, nil
}

// forPrepared is the mode in which a product can serve named statements.
func (y *yard) forPrepared(p pooler.Product) pooler.Settings {
	if p.KeepsPrepared() {
		return y.transactionMode()
	}
	fmt.Fprintf(y.Out, "%s keeps no named statements in transaction mode: for \"prepared\" it runs in session mode, a server for each client.\n", p.Version)
	return y.settings(pooler.Session, slices.Max(y.Clients))
}

// compareTransactions measures pgbench -S in every protocol.
func (y *yard) compareTransactions(ctx context.Context) error {
	poolers, end, err := y.launchForProtocols(ctx, y.pgbouncer)
	if err != nil {
		return err
	}
	defer end()
	return y.compareWithPgBouncer(ctx, y.cells(), poolers)
}

// launchForProtocols starts the pairs that the protocols need: one for those without named statements, and one for prepared.
// The other pooler gets further lines of configuration.
func (y *yard) launchForProtocols(ctx context.Context, other pooler.Product, further ...string) (map[worker.Protocol]pair, func(), error) {
	forOther, forPrepared := y.transactionMode(), y.forPrepared(other)
	forOther.Further, forPrepared.Further = further, further
	unprepared, endUnprepared, err := y.launchPair(ctx, y.transactionMode(), other, forOther)
	if err != nil {
		return nil, nil, err
	}
	prepared, endPrepared, err := y.launchPair(ctx, y.forPrepared(y.carpool), other, forPrepared)
	if err != nil {
		endUnprepared()
		return nil, nil, err
	}
	poolers := map[worker.Protocol]pair{worker.Simple: unprepared, worker.Extended: unprepared, worker.Prepared: prepared}
	return poolers, func() { endPrepared(); endUnprepared() }, nil
}

// cells are one for each protocol and number of clients.
func (y *yard) cells() []cell {
	var cells []cell
	for _, protocol := range y.Protocols {
		for _, clients := range y.Clients {
			cells = append(cells, cell{protocol: protocol, clients: clients})
		}
	}
	return cells
}

// compareConnects measures pgbench -S -C.
func (y *yard) compareConnects(ctx context.Context) error {
	both, end, err := y.launchPair(ctx, y.transactionMode(), y.pgbouncer, y.transactionMode())
	if err != nil {
		return err
	}
	defer end()
	var cells []cell
	for _, clients := range y.Clients {
		cells = append(cells, cell{protocol: worker.Simple, clients: clients, reconnect: true})
	}
	return y.compareWithPgBouncer(ctx, cells, map[worker.Protocol]pair{worker.Simple: both})
}

func (y *yard) compareWithPgBouncer(ctx context.Context, cells []cell, poolers map[worker.Protocol]pair) error {
	lines, err := y.takeTurns(ctx, cells, poolers)
	if err == nil {
		writeLines(y.Out, "pgbouncer", lines)
	}
	return err
}

// line is a cell with its measurements, a pair for each round.
type line struct {
	cell
	carpool, other []sample
}

// takeTurns measures every cell in every round, each pooler going first in every other round.
func (y *yard) takeTurns(ctx context.Context, cells []cell, poolers map[worker.Protocol]pair) ([]line, error) {
	lines := make([]line, len(cells))
	for i, c := range cells {
		lines[i].cell = c
		for _, p := range []*pooler.Running{poolers[c.protocol].carpool, poolers[c.protocol].other} {
			if err := y.warmUp(ctx, p, c); err != nil {
				return nil, err
			}
		}
	}
	for round := range y.Rounds {
		for i := range lines {
			l := &lines[i]
			two := poolers[l.protocol]
			order := []*pooler.Running{two.carpool, two.other}
			if round%2 == 1 {
				slices.Reverse(order)
			}
			var taken [2]sample // carpool's, the other's
			for _, p := range order {
				s, err := y.measure(ctx, p, l.cell)
				if err != nil {
					return nil, err
				}
				if p == two.carpool {
					taken[0] = s
				} else {
					taken[1] = s
				}
			}
			l.carpool = append(l.carpool, taken[0])
			l.other = append(l.other, taken[1])
			fmt.Fprintf(y.Progress, "round %d of %d: %s: %s us, %.0f/s and %s us, %.0f/s\n", round+1, y.Rounds, l.cell,
				microseconds(taken[0].cpu), taken[0].perSecond, microseconds(taken[1].cpu), taken[1].perSecond)
		}
	}
	return lines, nil
}

// writeLines prints medians, ratios of the medians, and between which bounds the ratios of single rounds lay. The other pooler
// goes under a name of at most nine letters.
func writeLines(w io.Writer, other string, lines []line) {
	const form = "%-27s  %9s %9s %6s %12s  %9s %9s %6s %12s\n"
	fmt.Fprintf(w, "\n%-27s  %-39s  %s\n", "", "pooler's CPU time, us a transaction", "transactions a second")
	fmt.Fprintf(w, form, "", "carpool", other, "ratio", "in rounds", "carpool", other, "ratio", "in rounds")
	rate := func(s sample) float64 { return s.perSecond }
	for _, l := range lines {
		fmt.Fprintf(w, form, l.cell.String(),
			fmt.Sprintf("%.1f", median(l.carpool, cpu)), fmt.Sprintf("%.1f", median(l.other, cpu)),
			fmt.Sprintf("%.2f", median(l.carpool, cpu)/median(l.other, cpu)), bounds(l, cpu),
			fmt.Sprintf("%.0f", median(l.carpool, rate)), fmt.Sprintf("%.0f", median(l.other, rate)),
			fmt.Sprintf("%.2f", median(l.carpool, rate)/median(l.other, rate)), bounds(l, rate))
	}
}

// median is the middle value, the mean of the two middle ones of an even number; 0 of none.
func median[S any](samples []S, value func(S) float64) float64 {
	values := make([]float64, 0, len(samples))
	for _, s := range samples {
		values = append(values, value(s))
	}
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

// bounds is the lowest and highest ratio within a round.
func bounds(l line, value func(sample) float64) string {
	var ratios []float64
	for i := range l.carpool {
		ratios = append(ratios, value(l.carpool[i])/value(l.other[i]))
	}
	return fmt.Sprintf("%.2f-%.2f", slices.Min(ratios), slices.Max(ratios))
}

// cpu is the pooler's, in microseconds for each transaction.
func cpu(s sample) float64 { return float64(s.cpu) / float64(time.Microsecond) }

func microseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f", float64(d)/float64(time.Microsecond))
}
