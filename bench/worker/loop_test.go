package worker

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"carpool/bench/workload"
)

// faked is a technique that hands out no session, and a caller: what they do is the test's.
type faked struct {
	nothing
	takes func(c *client) error
	calls func() error
}

func (f *faked) take(_ context.Context, c *client) (workload.Session, error) { return nil, f.takes(c) }

func (f *faked) Call(context.Context, workload.Session) error { return f.calls() }

// drive runs a job with a faked technique.
func drive(t *testing.T, j Job, f *faked) Result {
	t.Helper()
	if f.takes == nil {
		f.takes = func(*client) error { return nil }
	}
	j.Technique, j.Protocol = Kept, Simple
	work := workload.Workload{NewCaller: func(workload.Place, int, uint64) workload.Caller { return f }}
	r, err := newRun(j, work, nil, Control{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.clients { // with an alarm of Go's runtime, which synctest knows
		c.alarm.close()
		if c.alarm, err = newAlarm(false); err != nil {
			t.Fatal(err)
		}
	}
	r.supply = f
	cut, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	defer context.AfterFunc(cut, r.cutClients)()
	if err := r.drive(cut, cancel); err != nil {
		t.Fatal(err)
	}
	r.close(false)
	return r.result()
}

func TestReconnectingIsNoBusyLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		result := drive(t, Job{Clients: 1, Duration: 10 * time.Second}, &faked{takes: func(*client) error {
			attempts++
			return errors.New("nobody there")
		}})
		if attempts < 20 || attempts > 40 {
			t.Errorf("%d attempts in ten seconds", attempts)
		}
		if result.Errors[connectionError] != int64(attempts) || result.FirstError != "nobody there" || result.Elapsed > 10*time.Second {
			t.Errorf("%+v", shown(result))
		}
	})
}

func TestRunOfCallsEndsWhenTheServerIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		drive(t, Job{Clients: 3, Calls: 1_000_000}, &faked{takes: func(*client) error { return errors.New("nobody there") }})
		if took := time.Since(began); took < lostAfter || took > lostAfter+2*longestBackoff {
			t.Errorf("gave up after %v", took)
		}
	})
}

func TestCallsUnderWayAtTheEndMayFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		result := drive(t, Job{Clients: 2, Duration: time.Second}, &faked{calls: func() error {
			time.Sleep(700 * time.Millisecond) // fake time
			return nil
		}})
		if result.Calls != 4 || result.Elapsed != 1400*time.Millisecond {
			t.Errorf("%+v", result)
		}
		if len(result.Latency) != 1 || result.Latency[0][1] != 4 {
			t.Errorf("latencies %v", result.Latency)
		}
	})
}

func TestCallThatHangsIsCutAfterTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		result := drive(t, Job{Clients: 1, Duration: time.Second}, &faked{
			takes: func(c *client) error {
				c.use(&ours)
				return nil
			},
			calls: func() error {
				_, err := ours.Read(make([]byte, 1))
				return err
			},
		})
		if result.Calls != 0 || result.Errors[timeoutError] != 1 || result.Elapsed != time.Second+grace {
			t.Errorf("%+v", result)
		}
	})
}

// TestElapsedOfAnOpenLoop: its calls belong to the duration in which they were due, not to the end of the last.
func TestElapsedOfAnOpenLoop(t *testing.T) {
	for name, row := range map[string]struct {
		job      Job
		takes    time.Duration
		due      [2]int64 // least and most
		elapsed  time.Duration
		unbegun  bool
		allCalls bool
	}{
		"quick calls": {Job{Clients: 10, Rate: 100, Duration: 10 * time.Second}, time.Millisecond, [2]int64{900, 1100}, 10 * time.Second, false, true},
		"a last call beyond the end": {
			Job{Clients: 10, Rate: 10, Duration: 10 * time.Second}, 900 * time.Millisecond, [2]int64{60, 140}, 10 * time.Second, true, false,
		},
		"rare calls":             {Job{Clients: 1, Rate: 0.5, Duration: 10 * time.Second}, time.Millisecond, [2]int64{1, 15}, 10 * time.Second, false, true},
		"too many calls":         {Job{Clients: 2, Rate: 100, Duration: 10 * time.Second}, time.Second, [2]int64{900, 1100}, 10 * time.Second, true, false},
		"calls that hang":        {Job{Clients: 2, Rate: 100, Duration: 10 * time.Second}, time.Hour, [2]int64{900, 1100}, 10 * time.Second, true, false},
		"a number of calls":      {Job{Clients: 2, Rate: 100, Calls: 50}, time.Millisecond, [2]int64{50, 50}, 0, false, true},
		"calls that end earlier": {Job{Clients: 2, Rate: 100, Calls: 50, Duration: time.Hour}, time.Millisecond, [2]int64{50, 50}, 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				row.job.Seed = 1
				var last atomic.Int64
				began := time.Now()
				result := drive(t, row.job, &faked{
					takes: func(c *client) error {
						c.use(&ours)
						return nil
					},
					calls: func() error {
						defer func() { last.Store(int64(time.Since(began))) }()
						if row.takes < time.Hour {
							time.Sleep(row.takes) // fake time
							return nil
						}
						_, err := ours.Read(make([]byte, 1))
						return err
					},
				})
				if row.elapsed == 0 {
					row.elapsed = time.Duration(last.Load())
				}
				if result.Due < row.due[0] || result.Due > row.due[1] || result.Elapsed != row.elapsed {
					t.Errorf("%d calls were due, in %v", result.Due, result.Elapsed)
				}
				if result.Due != result.Calls+result.Unstarted+failures(result) || row.allCalls && result.Calls != result.Due {
					t.Errorf("of %d calls that were due %d succeeded, %d failed and %d weren't begun", result.Due, result.Calls, failures(result), result.Unstarted)
				}
				if row.unbegun != (result.Unstarted > 0) {
					t.Errorf("%d calls weren't begun", result.Unstarted)
				}
			})
		})
	}
}

func TestErrorKeys(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{&pgconn.PgError{Code: "53300"}, "53300"},
		{&unconnected{&pgconn.PgError{Code: "57P03"}}, "57P03"},
		{&pgconn.PgError{Code: "no\nstate"}, connectionError},
		{errors.New("reset by peer"), connectionError},
		{errNoReply, timeoutError},
		{os.ErrDeadlineExceeded, timeoutError},
		{&workload.ScriptError{Script: "s.sql", Line: 1, Cause: errors.New("division by zero")}, scriptError},
	} {
		if got := errorKey(test.err); got != test.want {
			t.Errorf("%v is counted as %s, want %s", test.err, got, test.want)
		}
	}
}

func TestExamplesAreOfDifferentKinds(t *testing.T) {
	tally := newTally()
	for range 1000 {
		tally.fail(0, &workload.WrongAnswer{Asked: "for book 1", Got: "book 2"})
	}
	tally.fail(1, &workload.WrongAnswer{Asked: "for book 3", Got: "book 2"})
	tally.fail(2, &workload.MixedTransaction{Did: "began a transaction", Found: "that one was in progress already"})
	tally.fail(3, &misplaced{"was given two\x00\nanswers"})
	var result Result
	tally.fill(&result)
	want := []string{
		"thread 1 asked for book 1 and was given book 2",
		"thread 3 began a transaction and found that one was in progress already",
		"thread 4 was given two answers",
		"thread 2 asked for book 3 and was given book 2",
	}
	if result.WrongAnswers != 1001 || result.MixedTransactions != 1 || result.ProtocolErrors != 1 || tally.count() != 1003 || len(result.Errors) != 0 {
		t.Errorf("%+v", result)
	}
	if len(result.Examples) != len(want) {
		t.Fatalf("got %q", result.Examples)
	}
	for i := range want {
		if result.Examples[i] != want[i] {
			t.Errorf("got %q, want %q", result.Examples[i], want[i])
		}
	}
}

func TestLatencyPairs(t *testing.T) {
	l := newLatencies(3)
	for i, took := range []time.Duration{time.Hour, 0, 1500, 2 * time.Millisecond, 2 * time.Millisecond} {
		l.shard(i).record(took)
	}
	pairs := l.pairs()
	if len(pairs) != 4 || total(pairs) != 5 || l.count() != 5 || pairs[0] != [2]int64{1, 1} || pairs[1] != [2]int64{1500, 1} {
		t.Fatalf("got %v", pairs)
	}
	for i, want := range map[int]float64{2: 2e6, 3: float64(longestLatency)} {
		if got := float64(pairs[i][0]); got < want*0.999 || got > want*1.001 {
			t.Errorf("%v stands for %v", got, want)
		}
	}
}

func TestAlarm(t *testing.T) {
	for _, exact := range []bool{true, false} {
		a, err := newAlarm(exact)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		a.wait(3 * time.Millisecond)
		if took := time.Since(began); took < 3*time.Millisecond {
			t.Errorf("woke after %v", took)
		}
		woken := make(chan struct{})
		go func() {
			a.wait(time.Hour)
			a.wait(time.Hour)
			close(woken)
		}()
		a.interrupt()
		<-woken
		a.close()
	}
}
