package experiment

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"carpool/bench/report"
	"carpool/bench/worker"
	"carpool/bench/workload"
)

// maxFailures is how many rounds of a strategy may fail before it isn't tried again.
const maxFailures = 2

// runTrials does the trials one after another. A round that fails is told and leaves the strategy's other rounds standing;
// only the end of ctx is an error.
func (e *experiment) runTrials(ctx context.Context, trials []trialSpec) error {
	for number, t := range trials {
		if t.into.Skipped != "" || len(t.into.Failures) >= maxFailures {
			continue
		}
		round, err := e.trial(ctx, t, func(p Progress) {
			p.Done = (float64(number) + p.Done) / float64(len(trials))
			e.tools.Progress(p)
		})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, worker.ErrUnsupported):
			t.into.Skipped = err.Error()
		case err != nil:
			t.into.Failures = append(t.into.Failures, fmt.Sprintf("round %d: %v", t.round+1, err))
		default:
			t.into.Rounds = append(t.into.Rounds, round)
		}
	}
	return nil
}

// trial lets one strategy work once, from the launch of its pooler to its end.
func (e *experiment) trial(ctx context.Context, t trialSpec, progress func(Progress)) (round report.Round, err error) {
	e.trials++
	label := strconv.Itoa(e.trials)
	entrance, err := e.field.entrance(ctx, t.strategy, t.size, e.idle(t.strategy), label)
	if err != nil {
		return report.Round{}, err
	}
	defer func() { err = errors.Join(err, entrance.end()) }()
	meter := &meter{field: e.field, pooler: entrance.pooler, label: label}
	if err := meter.open(ctx); err != nil {
		return report.Round{}, err
	}
	defer meter.close()
	result, err := e.play(ctx, t, entrance.url, meter, progress)
	if err != nil {
		return report.Round{}, errors.Join(entrance.lost(), err)
	}
	if err := entrance.lost(); err != nil {
		return report.Round{}, err
	}
	round = roundOf(result)
	return round, meter.stop(&round)
}

// play lets the clients of a trial call.
func (e *experiment) play(ctx context.Context, t trialSpec, url string, meter *meter, progress func(Progress)) (worker.Result, error) {
	name := fmt.Sprintf("round %d, %s", t.round+1, t.strategy.name)
	progress(Progress{Trial: name})
	if t.strategy.technique == pgbenchTechnique {
		return e.pgbench(ctx, t.size, meter.label, meter.start)
	}
	group := worker.Group{Command: e.field.workerCommand(t.strategy, e.tools), Environ: e.tools.Environ}
	return group.Run(ctx, worker.Split(e.job(t, url), t.size.processes), meter.start, func(p worker.Progress) {
		progress(e.progress(name, time.Since(meter.began), p))
	})
}

// progress is how far one trial is.
func (e *experiment) progress(trial string, elapsed time.Duration, p worker.Progress) Progress {
	told := Progress{Trial: trial, Errors: p.Errors, PerSecond: float64(p.Calls) / max(elapsed, time.Millisecond).Seconds()}
	if e.plan.Duration > 0 {
		told.Done = float64(elapsed) / float64(e.plan.Duration)
	}
	if e.plan.Calls > 0 {
		told.Done = max(told.Done, float64(p.Calls)/float64(e.plan.Calls))
	}
	told.Done = min(told.Done, 1)
	return told
}

// job is what all processes of a trial together are told.
func (e *experiment) job(t trialSpec, url string) worker.Job {
	return worker.Job{
		Technique: t.strategy.technique, URL: url, Protocol: e.plan.protocol(),
		Workload: e.plan.Workload.Name, Script: e.plan.Script,
		Place:   worker.Place{Schema: e.field.database.Schema(), Scale: e.plan.Scale},
		Clients: t.size.clients, PoolSize: t.size.pool, IdleClients: e.idle(t.strategy),
		Duration: e.plan.Duration, Calls: e.plan.Calls, ThinkTime: e.plan.ThinkTime, Rate: e.plan.Rate,
		Seed: e.plan.Seed<<16 + uint64(t.round),
	}
}

// idle is how many idle connections a strategy has besides: only a client that keeps its own has any.
func (e *experiment) idle(s strategy) int {
	if e.plan.Workload.Shape != workload.Idle || s.technique != worker.Kept {
		return 0
	}
	return e.plan.IdleClients
}

func roundOf(r worker.Result) report.Round {
	round := report.Round{
		ElapsedSeconds: r.Elapsed.Seconds(), Calls: r.Calls, Latency: make([]report.Bucket, 0, len(r.Latency)),
		Errors: r.Errors, FirstError: r.FirstError,
		WrongAnswers: r.WrongAnswers, MixedTransactions: r.MixedTransactions, ProtocolErrors: r.ProtocolErrors,
		Examples: r.Examples, Due: r.Due, Unstarted: r.Unstarted, IdleConnections: r.Idle, Samples: []report.Sample{},
	}
	for _, pair := range r.Latency {
		round.Latency = append(round.Latency, report.Bucket{time.Duration(pair[0]).Seconds(), float64(pair[1])})
	}
	if r.CPU > 0 {
		cpu := r.CPU.Seconds()
		round.ClientCPUSeconds = &cpu
	}
	return round
}
