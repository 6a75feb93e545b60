package worker

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSplit(t *testing.T) {
	jobs := Split(Job{Clients: 7, FirstClient: 100, Calls: 10, Rate: 70, IdleClients: 4, PoolSize: 5, Seed: 9}, 3)
	want := []Job{
		{Clients: 3, FirstClient: 100, Calls: 4, Rate: 30, IdleClients: 2, PoolSize: 5, Seed: 9},
		{Clients: 2, FirstClient: 103, Calls: 3, Rate: 20, IdleClients: 1, PoolSize: 5, Seed: 9},
		{Clients: 2, FirstClient: 105, Calls: 3, Rate: 20, IdleClients: 1, PoolSize: 5, Seed: 9},
	}
	if !slices.Equal(jobs, want) {
		t.Errorf("got %+v, want %+v", jobs, want)
	}
}

func TestSplitLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := Job{
			Clients: rapid.IntRange(1, 50).Draw(t, "clients"), IdleClients: rapid.IntRange(0, 50).Draw(t, "idle"),
			Calls: rapid.Int64Range(0, 50).Draw(t, "calls"), Duration: time.Second,
		}
		processes := rapid.IntRange(-1, 60).Draw(t, "processes")
		next, idle, calls := 0, 0, int64(0)
		jobs := Split(whole, processes)
		for _, j := range jobs {
			if j.Clients < 1 || j.FirstClient != next || (j.Calls == 0) != (whole.Calls == 0) {
				t.Fatalf("%+v", jobs)
			}
			next += j.Clients
			idle += j.IdleClients
			calls += j.Calls
		}
		if len(jobs) > max(1, processes) || next != whole.Clients || idle != whole.IdleClients || calls != whole.Calls {
			t.Fatalf("%+v of %+v", jobs, whole)
		}
	})
}

func TestMerge(t *testing.T) {
	merged := Merge(
		Result{
			Elapsed: time.Second, Calls: 3, Connected: 1, Latency: [][2]int64{{10, 1}, {20, 2}}, Errors: map[string]int64{"57014": 1, "timeout": 2},
			WrongAnswers: 1, Examples: []string{"a wrong", "a mixed", "a third"}, Due: 2, CPU: time.Second,
		},
		Result{
			Elapsed: 2 * time.Second, Calls: 4, Connected: 2, Idle: 5, Latency: [][2]int64{{5, 1}, {20, 3}}, Errors: map[string]int64{"57014": 4},
			MixedTransactions: 2, ProtocolErrors: 3, Examples: []string{"b wrong", "b mixed"}, FirstError: "b", Due: 9, Unstarted: 6, CPU: time.Second,
		},
	)
	if merged.Elapsed != 2*time.Second || merged.Calls != 7 || merged.Connected != 3 || merged.Idle != 5 || merged.WrongAnswers != 1 ||
		merged.MixedTransactions != 2 || merged.ProtocolErrors != 3 || merged.FirstError != "b" || merged.Unstarted != 6 || merged.Due != 11 || merged.CPU != 2*time.Second {
		t.Errorf("%+v", merged)
	}
	if !slices.Equal(merged.Latency, [][2]int64{{5, 1}, {10, 1}, {20, 5}}) || merged.Errors["57014"] != 5 || merged.Errors["timeout"] != 2 {
		t.Errorf("%+v", merged)
	}
	if want := []string{"a wrong", "b mixed", "a mixed", "b wrong", "a third"}; !slices.Equal(merged.Examples, want) {
		t.Errorf("got %q, want %q", merged.Examples, want)
	}
}
