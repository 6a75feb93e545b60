package experiment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"carpool/bench/procfs"
	"carpool/bench/report"
)

// Tools are the programs that an experiment starts, and who hears of its progress.
type Tools struct {
	Worker     []string // command line of a worker process, which speaks package worker's protocol
	NullServer []string // command line of a null server
	Carpool    []string // command line of carpool, to which the name of a configuration file is added
	PgBouncer  string   // path; empty: looked for
	Environ    []string // of the workers
	Version    string   // of carpool
	Commit     string   // that carpool was made of; empty: not known

	Note     func(sentence string) // what is about to be done
	Progress func(Progress)        // some times a second, from one goroutine at a time
}

// Progress is how far an experiment is.
type Progress struct {
	Done      float64 // of all trials, 0 to 1
	Trial     string  // which one runs
	PerSecond float64 // calls of that trial so far
	Errors    int64   // of that trial
}

// Run measures what the plan says and blocks until it is over and nothing of it is left running. A report of what was
// measured comes back even when the error isn't nil, without strategies if that is nothing. Errors are sentences for the
// reader; a *PlanError is one about the plan.
func Run(ctx context.Context, plan Plan, tools Tools) (result report.Report, err error) {
	if err := plan.Check(); err != nil {
		return report.Report{}, err
	}
	e := &experiment{plan: plan, tools: tools, began: time.Now(), loadBefore: procfs.Describe().LoadAverage}
	if err := e.prepare(ctx); err != nil {
		return report.Report{}, errors.Join(stopped(ctx, err), e.close())
	}
	defer func() { err = errors.Join(err, e.close()) }()
	r, err := e.measure(ctx)
	return r, stopped(ctx, err)
}

// stopped is err, or why ctx ended: what is torn off in the middle is of no interest.
func stopped(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("the benchmark was stopped: %w", context.Cause(ctx))
	}
	return err
}

// experiment is one Run under way.
type experiment struct {
	// immutable
	tools      Tools
	began      time.Time
	loadBefore float64 // average of one minute

	plan     Plan // after prepare immutable too
	field    *field
	overhead *report.Overhead
	ceiling  float64 // calls a second that the harness makes of a server that costs nothing; 0: not measured

	trials int // begun so far
}

// prepare gets ready whatever trials need.
func (e *experiment) prepare(ctx context.Context) error {
	if err := e.checkFiles(); err != nil {
		return err
	}
	if err := e.measureHarness(ctx); err != nil {
		return err
	}
	if e.plan.Rate > 0 && e.plan.Rate > e.ceiling {
		return wrong("--rate %.0f can't be reached: on this machine the harness itself makes at most about %.0f calls a second", e.plan.Rate, e.ceiling)
	}
	var err error
	e.field, err = openField(ctx, &e.plan, e.tools)
	return err
}

func (e *experiment) close() error {
	if e.field == nil {
		return nil
	}
	return e.field.close()
}

// measure does all trials and puts the report together.
func (e *experiment) measure(ctx context.Context) (report.Report, error) {
	r := report.Report{
		Schema: report.SchemaVersion, Made: e.began.UTC(), Environment: e.environment(ctx), Settings: e.settings(), Overhead: e.overhead,
	}
	r.Environment.Pooled = e.field.database.Pooled()
	for _, s := range e.plan.strategies() {
		r.Strategies = append(r.Strategies, e.row(s, e.plan.size()))
	}
	trials, err := e.mainTrials(r.Strategies)
	if err != nil {
		return report.Report{}, err
	}
	for _, swept := range []struct {
		setting string
		values  []int
	}{{sweepPool, e.plan.SweepPool}, {sweepClients, e.plan.SweepClients}} {
		sweep, more := e.sweep(swept.setting, swept.values)
		if len(more) > 0 {
			r.Sweeps = append(r.Sweeps, sweep)
			trials = append(trials, more...)
		}
	}
	ran := e.runTrials(ctx, trials)
	skipUnmeasured(r.Strategies)
	for _, sweep := range r.Sweeps {
		for _, point := range sweep.Points {
			skipUnmeasured(point.Strategies)
		}
	}
	if err := nothingMeasured(r.Strategies); err != nil {
		return report.Report{}, cmp.Or(ran, err)
	}
	r.CutOff = ran != nil
	r.Warnings = append(r.Warnings, e.field.database.Warnings()...)
	report.Finish(&r)
	return r, cmp.Or(ran, e.rateReached(r))
}

// skipUnmeasured says why the strategies have no round that haven't one.
func skipUnmeasured(rows []report.Strategy) {
	for i := range rows {
		row := &rows[i]
		switch {
		case len(row.Rounds) > 0 || row.Skipped != "":
		case len(row.Failures) > 0:
			row.Skipped = "it failed in " + row.Failures[0]
		default:
			row.Skipped = "its turn didn't come"
		}
	}
}

// mainTrials are those of the table: every strategy that can run, in every round.
func (e *experiment) mainTrials(rows []report.Strategy) ([]trialSpec, error) {
	chosen := e.plan.strategies()
	trials := schedule(e.plan.Seed, e.plan.Rounds, func(round int) []trialSpec {
		var turns []trialSpec
		for i, s := range chosen {
			if rows[i].Skipped == "" {
				turns = append(turns, trialSpec{strategy: s, size: e.plan.size(), round: round, into: &rows[i]})
			}
		}
		return turns
	})
	if len(trials) == 0 {
		return nil, nothingMeasured(rows)
	}
	return trials, nil
}

// nothingMeasured is an error when no call of any strategy succeeded: the reason of the first one.
func nothingMeasured(rows []report.Strategy) error {
	reason := ""
	for _, row := range rows {
		for _, round := range row.Rounds {
			if round.Calls > 0 {
				return nil
			}
			if reason == "" && round.FirstError != "" {
				reason = row.Name + ": " + round.FirstError
			}
		}
		if reason == "" && row.Skipped != "" {
			reason = row.Name + ": " + row.Skipped
		}
	}
	return fmt.Errorf("no call succeeded: %s", reason)
}

// tooLate is the share of calls that may be left undone, or fail, at a rate that is said to be reached.
const tooLate = 0.02

// rateReached is an error when no strategy could keep up with the rate.
func (e *experiment) rateReached(r report.Report) error {
	if e.plan.Rate == 0 {
		return nil
	}
	fewest, by := 1.0, ""
	for _, s := range r.Strategies {
		if s.Summary == nil {
			continue
		}
		undone := s.Summary.Unstarted + s.Summary.ErrorCount()
		due := max(s.Summary.Due, s.Summary.Calls+undone)
		if share := float64(undone) / max(1, float64(due)); share < fewest {
			fewest, by = share, s.Name
		}
	}
	if fewest <= tooLate {
		return nil
	}
	return fmt.Errorf("--rate %.0f was reached by no strategy: the best was %s, which left %.0f %% of the calls undone", e.plan.Rate, by, 100*fewest)
}
