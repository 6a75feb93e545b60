package worker

import (
	"context"
	"errors"
	"sync"
	"time"
)

// report is what a process has said, or that it says no more.
type report struct {
	from  int
	said  message
	ended error // not nil: nothing more comes
}

// team is one Group.Run under way. What isn't said to be otherwise is owned by its goroutine.
type team struct {
	jobs     []Job
	started  func()
	progress func(Progress)
	members  []*member
	reports  chan report    // from the readers
	done     chan struct{}  // closed when nobody takes reports any more
	readers  sync.WaitGroup // one for each member

	ready    int // members that have said so and weren't let go since
	waves    int // times that all were let go
	began    time.Time
	results  []*Result
	finished int
	last     []Progress
}

// report hands a report to run. It tells whether it was taken.
func (t *team) report(from int, r report) bool {
	r.from = from
	select {
	case t.reports <- r:
		return true
	case <-t.done:
		return false
	}
}

// run takes reports until all results are there.
func (t *team) run(ctx context.Context) error {
	var late <-chan time.Time
	for t.finished < len(t.members) {
		select {
		case r := <-t.reports:
			if err := t.take(r); err != nil {
				return explain(ctx, err)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-late:
			return errors.New("a worker process hasn't come to an end long after the end of the run")
		}
		if late == nil && t.waves > 0 && t.jobs[0].Duration > 0 {
			late = time.After(time.Until(t.began.Add(t.jobs[0].Duration + grace + resultPatience)))
		}
	}
	return nil
}

// take acts on one report.
func (t *team) take(r report) error {
	said := r.said
	switch {
	case r.ended != nil:
		if t.results[r.from] != nil {
			return nil
		}
		return r.ended
	case said.Failed != "":
		if said.Unsupported {
			return &unsupported{said.Failed}
		}
		return errors.New(said.Failed)
	case said.Progress != nil:
		t.last[r.from] = *said.Progress
		if t.progress != nil {
			t.progress(t.sum())
		}
	case said.Result != nil:
		if t.results[r.from] == nil {
			t.finished++
		}
		t.results[r.from] = said.Result
	case said.Ready != nil:
		if t.ready++; t.ready == len(t.members) {
			t.ready = 0
			t.letGo()
		}
	}
	return nil
}

// letGo lets all members begin, with the calls or the next wave of a storm, or says that there is no other wave. A member
// that can't be told has ended, and its reader reports that.
func (t *team) letGo() {
	word := goLine
	switch {
	case t.waves == 0:
		t.began = time.Now()
		if t.started != nil {
			t.started()
		}
	case t.isStormOver():
		word = stopLine
	}
	t.waves++
	for _, m := range t.members {
		m.tell(word)
	}
}

// isStormOver tells whether the waves so far are what the jobs ask for.
func (t *team) isStormOver() bool {
	calls, clients := int64(0), int64(0)
	for _, job := range t.jobs {
		calls += job.Calls
		clients += int64(job.Clients)
	}
	return t.jobs[0].Duration > 0 && time.Since(t.began) >= t.jobs[0].Duration || calls > 0 && int64(t.waves)*clients >= calls
}

func (t *team) sum() Progress {
	var sum Progress
	for _, p := range t.last {
		sum.Calls += p.Calls
		sum.Errors += p.Errors
	}
	return sum
}

// stop ends all processes and waits for them and their readers.
func (t *team) stop() {
	close(t.done)
	var all sync.WaitGroup
	for _, m := range t.members {
		all.Go(m.stop)
	}
	all.Wait()
	t.readers.Wait()
}

// unsupported is an ErrUnsupported that a process has told.
type unsupported struct{ sentence string }

func (e *unsupported) Error() string { return e.sentence }
func (e *unsupported) Unwrap() error { return ErrUnsupported }

// endedEarly is the error for a process that ended without a result.
func endedEarly(exit error, stderr string) error {
	text := "a worker process ended early"
	if exit != nil {
		text += " (" + exit.Error() + ")"
	}
	if stderr != "" {
		text += ": " + stderr
	}
	return errors.New(text)
}
