package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Group starts worker processes and has them work together.
type Group struct {
	Command []string  // the program and its arguments; it speaks as Serve does
	Environ []string  // of the processes; nil: ours
	Stderr  io.Writer // gets what they print besides, one write at a time; nil: only the end is kept, for the error of one that fails
}

const (
	closedPatience = 2 * time.Second  // for a process to end by itself when its standard input is closed
	signalPatience = 2 * time.Second  // and then after SIGTERM
	resultPatience = 20 * time.Second // for the result beyond the duration of a job and its grace
)

// Run has each job done by a process of its own, all at the same time: it waits until all are ready, calls started, and lets
// them go together; progress, which may be nil as started may, gets the sums of what they report. It blocks until all
// processes have ended and returns their results as one. A process that fails makes the rest stop, and its sentence is the
// error. When ctx ends all are stopped, and its cause is the error. No process is left over in any case.
func (g Group) Run(ctx context.Context, jobs []Job, started func(), progress func(Progress)) (Result, error) {
	if len(jobs) == 0 || len(g.Command) == 0 {
		return Result{}, errors.New("there are no worker processes to be started")
	}
	t := &team{
		jobs: jobs, started: started, progress: progress, reports: make(chan report), done: make(chan struct{}),
		results: make([]*Result, len(jobs)), last: make([]Progress, len(jobs)),
	}
	defer t.stop()
	if g.Stderr != nil {
		g.Stderr = &oneAtATime{to: g.Stderr}
	}
	for i, job := range jobs {
		line, err := json.Marshal(job)
		if err != nil {
			return Result{}, fmt.Errorf("writing a worker's job: %w", err)
		}
		m, err := g.start()
		if err != nil {
			return Result{}, err
		}
		t.members = append(t.members, m)
		t.readers.Go(func() { m.converse(append(line, '\n'), func(r report) bool { return t.report(i, r) }) })
	}
	if err := t.run(ctx); err != nil {
		return Result{}, err
	}
	results := make([]Result, len(t.results))
	for i, r := range t.results {
		results[i] = *r
	}
	return Merge(results...), nil
}
