package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/bench/workload"
)

var guardedTechniques = []Technique{Connect, Kept, Global, DriverPool}

func TestEveryTechniqueAnswersRight(t *testing.T) {
	work, place := tables(t, "books")
	for _, technique := range guardedTechniques {
		for _, protocol := range []Protocol{Simple, Extended, Prepared} {
			t.Run(string(technique)+"/"+string(protocol), func(t *testing.T) {
				leavesNoGoroutine(t)
				j := job(technique, place, 5)
				j.Protocol, j.Calls = protocol, 123
				result, err := runWorkload(t.Context(), j, work, Control{})
				if err != nil {
					t.Fatal(err)
				}
				if result.Calls != 123 || total(result.Latency) != 123 || result.Connected != 5 || failures(result) != 0 || result.FirstError != "" {
					t.Errorf("%+v", shown(result))
				}
				if result.Elapsed <= 0 || result.CPU <= 0 || !slices.IsSortedFunc(result.Latency, func(a, b [2]int64) int { return int(a[0] - b[0]) }) {
					t.Errorf("%+v", shown(result))
				}
			})
		}
	}
}

func failures(r Result) int64 {
	sum := r.WrongAnswers + r.MixedTransactions + r.ProtocolErrors
	for _, count := range r.Errors {
		sum += count
	}
	return sum
}

func TestEveryWorkloadRuns(t *testing.T) {
	for _, work := range workload.All() {
		t.Run(work.Name, func(t *testing.T) {
			_, place := tables(t, work.Name)
			for _, technique := range guardedTechniques {
				j := job(technique, place, 3)
				j.Workload, j.Calls, j.Protocol = work.Name, 30, Prepared
				result, err := Run(t.Context(), j, Control{})
				if err != nil {
					t.Fatalf("%s: %v", technique, err)
				}
				if result.Calls < 30 || failures(result) != 0 {
					t.Errorf("%s: %+v", technique, shown(result))
				}
			}
		})
	}
}

// Threads that share a connection with nothing to guard it get each other's answers, in every run however short; with a lock
// they never do.
func TestRaceShowsInEveryRunWithoutLock(t *testing.T) {
	work, place := tables(t, "books")
	for i := range 20 {
		j := job(GlobalUnsafe, place, 8)
		j.Duration, j.Seed = 300*time.Millisecond, uint64(i)
		result, err := runWorkload(t.Context(), j, work, Control{})
		if err != nil {
			t.Fatal(err)
		}
		if failures(result) == 0 || len(result.Examples) == 0 {
			t.Errorf("run %d went well: %+v", i, shown(result))
		}
		if result.Errors[timeoutError] > 0 || result.Elapsed > time.Second {
			t.Errorf("run %d got stuck: %+v", i, shown(result))
		}
	}
	j := job(Global, place, 8)
	j.Duration = time.Second
	result, err := runWorkload(t.Context(), j, work, Control{})
	if err != nil || failures(result) > 0 || result.Calls == 0 {
		t.Errorf("with the lock: %+v, %v", shown(result), err)
	}
}

func TestRaceMixesTransactions(t *testing.T) {
	work, place := tables(t, "transaction")
	for _, protocol := range []Protocol{Simple, Prepared} {
		j := job(GlobalUnsafe, place, 8)
		j.Duration, j.Protocol = time.Second, protocol
		result, err := runWorkload(t.Context(), j, work, Control{})
		if err != nil {
			t.Fatal(err)
		}
		if result.MixedTransactions == 0 || result.ProtocolErrors == 0 {
			t.Errorf("%s: %+v", protocol, shown(result))
		}
		if !slices.ContainsFunc(result.Examples, func(s string) bool {
			return strings.HasPrefix(s, "thread ") && strings.Contains(s, "transaction")
		}) {
			t.Errorf("%s: no example tells of a transaction: %q", protocol, result.Examples)
		}
	}
}

func TestOneThreadHasNobodyToRaceWith(t *testing.T) {
	for _, name := range []string{"books", "transaction", "tpcb"} {
		t.Run(name, func(t *testing.T) {
			work, place := tables(t, name)
			for _, protocol := range []Protocol{Simple, Extended, Prepared} {
				j := job(GlobalUnsafe, place, 1)
				j.Calls, j.Protocol = 50, protocol
				result, err := runWorkload(t.Context(), j, work, Control{})
				if err != nil || result.Calls != 50 || failures(result) > 0 {
					t.Errorf("%s: %+v, %v", protocol, shown(result), err)
				}
			}
		})
	}
}

func TestUnguardedCopyIsRefused(t *testing.T) {
	work, place := tables(t, "copy")
	j := job(GlobalUnsafe, place, 8)
	j.Calls = 100
	if _, err := runWorkload(t.Context(), j, work, Control{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// A stall of the server hides in a closed loop, where each client waits with its next call; in an open one every call that
// was due meanwhile shows it.
func TestOpenLoopShowsStall(t *testing.T) {
	work, place := tables(t, "books")
	const stall = 500 * time.Millisecond
	run := func(rate float64) Result {
		j := job(Kept, place, 2)
		j.Rate, j.Duration = rate, 2*time.Second
		stalled := make(chan error, 1)
		result, err := runWorkload(t.Context(), j, work, Control{Go: func(ctx context.Context) (bool, error) {
			go func() {
				stalled <- postgres.Exec(ctx, "", fmt.Sprintf(
					"BEGIN; LOCK TABLE %s.books; SELECT pg_sleep(%f); COMMIT", place.Schema, stall.Seconds()))
			}()
			return true, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-stalled; err != nil {
			t.Fatal(err)
		}
		return result
	}
	const long = int64(50 * time.Millisecond)
	closed, open := run(0), run(400)
	if stalled := slower(closed.Latency, long); stalled < 1 || stalled > 10 {
		t.Errorf("%d calls of the closed loop waited", stalled)
	}
	// About 200 calls were due in the half second, and all but those of its end waited long.
	if stalled := slower(open.Latency, long); stalled < 100 {
		t.Errorf("%d calls of the open loop waited", stalled)
	}
	if all := open.Calls + open.Unstarted; all < 600 || all > 1000 {
		t.Errorf("%d calls at 400 a second for 2 seconds", all)
	}
}

func TestRateThatNobodyReachesLeavesCallsUnstarted(t *testing.T) {
	work, place := tables(t, "books")
	j := job(Connect, place, 1)
	j.Rate, j.Duration = 100_000, 300*time.Millisecond
	result, err := runWorkload(t.Context(), j, work, Control{})
	if err != nil {
		t.Fatal(err)
	}
	if all := result.Calls + result.Unstarted; all < 25_000 || all > 35_000 || result.Unstarted < 20_000 {
		t.Errorf("%d of %d calls weren't begun", result.Unstarted, all)
	}
}

func TestThinkTimeSetsThePace(t *testing.T) {
	work, place := tables(t, "books")
	j := job(Kept, place, 4)
	j.ThinkTime, j.Duration = 20*time.Millisecond, time.Second
	result, err := runWorkload(t.Context(), j, work, Control{})
	if err != nil {
		t.Fatal(err)
	}
	if result.Calls > 4*50 || result.Calls < 4*20 {
		t.Errorf("%d calls by 4 clients that think for 20 ms", result.Calls)
	}
}

func TestEqualSeedsAreDueAtEqualTimes(t *testing.T) {
	work, place := tables(t, "books")
	count := func(seed uint64) int64 {
		j := job(Kept, place, 2)
		j.Rate, j.Duration, j.Seed = 500, 500*time.Millisecond, seed
		result, err := runWorkload(t.Context(), j, work, Control{})
		if err != nil {
			t.Fatal(err)
		}
		return result.Calls + result.Unstarted
	}
	if a, b := count(7), count(7); a != b {
		t.Errorf("%d and %d calls were due", a, b)
	}
}

func TestStormsReconnectForEveryWave(t *testing.T) {
	work, place := tables(t, "storm")
	for _, technique := range guardedTechniques {
		t.Run(string(technique), func(t *testing.T) {
			leavesNoGoroutine(t)
			j := job(technique, place, 6)
			j.Calls = 18
			waves := 0
			result, err := runWorkload(t.Context(), j, work, Control{Ready: func(Ready) { waves++ }})
			if err != nil {
				t.Fatal(err)
			}
			if waves != 3 || result.Calls != 18 || failures(result) > 0 || result.Elapsed <= 0 {
				t.Errorf("%d waves, %+v", waves, shown(result))
			}
		})
	}
}

func TestIdleClientsStayOpenBesides(t *testing.T) {
	work, place := tables(t, "idle")
	j := named(t, job(Kept, place, 2), "idling")
	j.IdleClients, j.Duration = 50, 500*time.Millisecond
	var ready Ready
	var killed atomic.Bool
	result, err := runWorkload(t.Context(), j, work, Control{
		Ready: func(r Ready) {
			ready = r
			if count := clientsOf(t, "idling"); count != 52 {
				t.Errorf("Postgres has %d clients", count)
			}
		},
		Progress: func(Progress) {
			if killed.CompareAndSwap(false, true) {
				const sql = "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity " +
					"WHERE application_name = 'idling' AND query = '' LIMIT 10) x"
				if err := postgres.Exec(t.Context(), "", sql); err != nil {
					t.Error(err)
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if ready != (Ready{Connected: 2, Idle: 50}) || result.Idle != 40 || result.Connected != 2 || failures(result) > 0 {
		t.Errorf("ready %+v, result %+v", ready, shown(result))
	}
}

func TestClientsReconnectAfterLosingTheirConnection(t *testing.T) {
	work, place := tables(t, "books")
	for _, technique := range append(guardedTechniques, GlobalUnsafe) {
		t.Run(string(technique), func(t *testing.T) {
			j := named(t, job(technique, place, 4), "losing")
			if technique == GlobalUnsafe {
				j.Clients = 1 // more would fail for other reasons, too
			}
			j.Duration = time.Second
			var before, after atomic.Int64
			result, err := runWorkload(t.Context(), j, work, Control{Progress: func(p Progress) {
				if before.CompareAndSwap(0, p.Calls) && p.Calls > 0 {
					const sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'losing'"
					if err := postgres.Exec(t.Context(), "", sql); err != nil {
						t.Error(err)
					}
				}
				after.Store(p.Calls)
			}})
			if err != nil {
				t.Fatal(err)
			}
			if failures(result) > 8 || result.Calls <= before.Load() || technique != Connect && failures(result) == 0 {
				t.Errorf("%d calls before, %+v", before.Load(), shown(result))
			}
		})
	}
}

func TestClientsThatTheServerRefusesAreLeftOut(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{MaxConnections: 10})
	work, err := workload.Find("select1")
	if err != nil {
		t.Fatal(err)
	}
	result, err := runWorkload(t.Context(), Job{
		Technique: Kept, URL: server.URL("", ""), Protocol: Simple, Clients: 30, Calls: 300,
	}, work, Control{})
	if err != nil {
		t.Fatal(err)
	}
	if result.Connected == 0 || result.Connected > 10 || result.Calls != 300 || result.Errors["53300"] != int64(30-result.Connected) ||
		result.FirstError == "" {
		t.Errorf("%+v", shown(result))
	}
}

func TestStoppedRunEndsAtOnceAndLeavesNothing(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{})
	work := scripted(t, "SELECT pg_sleep(60);")
	for _, technique := range append(guardedTechniques, GlobalUnsafe) {
		t.Run(string(technique), func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			reason := errors.New("enough")
			began := time.Now()
			_, err := runWorkload(ctx, Job{
				Technique: technique, URL: server.URL("", ""), Protocol: Simple, Clients: 3, Duration: time.Minute,
			}, work, Control{Progress: func(Progress) { cancel(reason) }})
			if !errors.Is(err, reason) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("took %v to end", took)
			}
		})
	}
}

// TestScriptsOwnMistakesKeepTheConnection: nothing is wrong with a server when a script divides by zero.
func TestScriptsOwnMistakesKeepTheConnection(t *testing.T) {
	value := func(sql string) string {
		t.Helper()
		got, err := postgres.Value(t.Context(), "", sql)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	value("CREATE TABLE seen (pid int)")
	t.Cleanup(func() { _ = postgres.Exec(context.Background(), "", "DROP TABLE seen") })
	const unset = "\\if :client_id < 0\n\\set a 1\n\\endif\n"
	for name, mistake := range map[string]string{
		"an assignment":             "\\set a 1 / 0\n",
		"a variable":                unset + "SELECT :a;",
		"in a transaction":          "BEGIN;\nSELECT 1;\n\\set a 1 % 0\nEND;",
		"a transaction without end": "BEGIN;\n",
	} {
		for technique, connections := range map[Technique]string{Kept: "2", Global: "1", DriverPool: "2"} {
			value("TRUNCATE seen")
			result, err := runWorkload(t.Context(), Job{
				Technique: technique, URL: postgres.URL("", ""), Protocol: Prepared, Clients: 2, PoolSize: 2, Calls: 40,
			}, scripted(t, "INSERT INTO seen VALUES (pg_backend_pid());\n"+mistake), Control{})
			if err != nil {
				t.Fatal(err)
			}
			if result.Calls != 0 || result.Errors[scriptError] != 40 || len(result.Errors) != 1 || !strings.HasPrefix(result.FirstError, "test.sql") {
				t.Errorf("%s, %s: %+v", name, technique, shown(result))
			}
			if used := value("SELECT count(DISTINCT pid) FROM seen"); used > connections {
				t.Errorf("%s, %s: %s connections were used", name, technique, used)
			}
			if calls := value("SELECT count(*) FROM seen"); calls != "40" {
				t.Errorf("%s, %s: %s calls were made", name, technique, calls)
			}
		}
	}
}

// scripted is a workload of some SQL.
func scripted(t testing.TB, text string) workload.Workload {
	t.Helper()
	work, err := workload.Script("test.sql", text)
	if err != nil {
		t.Fatal(err)
	}
	return work
}

func TestRunRefusesWhatCannotBe(t *testing.T) {
	good := Job{Technique: Kept, URL: postgres.URL("", ""), Protocol: Simple, Workload: "select1", Clients: 1, Calls: 1}
	for name, test := range map[string]struct {
		change func(*Job)
		want   string
	}{
		"nobody":         {func(j *Job) { j.Clients = 0 }, "at least 1 client"},
		"no end":         {func(j *Job) { j.Calls = 0 }, "a duration or a number of calls"},
		"negative":       {func(j *Job) { j.Rate = -1 }, "negative"},
		"technique":      {func(j *Job) { j.Technique = "magic" }, `"magic"`},
		"protocol":       {func(j *Job) { j.Protocol = "magic" }, `"magic"`},
		"workload":       {func(j *Job) { j.Workload = "magic" }, `"magic"`},
		"idle":           {func(j *Job) { j.Technique, j.IdleClients = Connect, 5 }, "idle clients"},
		"files":          {func(j *Job) { j.IdleClients = 2_000_000_000 }, "2000000065 file descriptors"},
		"nobody listens": {func(j *Job) { j.URL = "postgres://u:se'cret@127.0.0.1:1/d" }, "connection refused"},
		"no URL":         {func(j *Job) { j.URL = "postgres://u:se'cret@:x:y/%zz" }, "URL"},
		"database":       {func(j *Job) { j.URL = postgres.URL("", "absent") }, "3D000"},
		"password":       {func(j *Job) { j.URL = strings.Replace(postgres.URL("reader", "postgres"), "cret", "cretive", 1) }, "28P01"},
	} {
		for _, technique := range append(guardedTechniques, GlobalUnsafe) {
			j := good
			j.Technique = technique
			test.change(&j)
			_, err := Run(t.Context(), j, Control{})
			if err == nil || j.Technique != "magic" && j.IdleClients == 0 && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s, %s: got %v, want one with %s", name, technique, err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "cret") {
				t.Errorf("%s, %s: the password is in %v", name, technique, err)
			}
		}
	}
}
