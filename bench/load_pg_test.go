package bench

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

var postgres *pgserver.Server

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgserver.Options{MaxConnections: 60}, func(s *pgserver.Server) {
		postgres = s
	}))
}

func filledTables(t *testing.T) {
	t.Helper()
	if err := Prepare(t.Context(), postgres.URL("", ""), 1); err != nil {
		t.Fatal(err)
	}
}

func TestRunCountsTransactions(t *testing.T) {
	filledTables(t)
	for _, kind := range []Kind{Select, TPCBLike} {
		for _, protocol := range []Protocol{Simple, Extended, Prepared} {
			const transactions = 200
			before, err := postgres.Value(t.Context(), "", "SELECT count(*) FROM pgbench_history")
			if err != nil {
				t.Fatal(err)
			}
			result, err := Run(t.Context(), Load{
				URL: postgres.URL("", ""), Clients: 5, Transactions: transactions, Kind: kind, Protocol: protocol,
			})
			if err != nil {
				t.Fatalf("%s, %s: %v", kind, protocol, err)
			}
			if result.Transactions != transactions || len(result.Errors) > 0 || result.Connected != 5 {
				t.Errorf("%s, %s: %+v", kind, protocol, result)
			}
			if l := result.Latency; l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
				t.Errorf("%s, %s: %+v", kind, protocol, l)
			}
			want := "0"
			if kind == TPCBLike {
				want = "200"
			}
			added, err := postgres.Value(t.Context(), "", "SELECT count(*) - "+before+" FROM pgbench_history")
			if err != nil || added != want {
				t.Errorf("%s, %s: %s rows of history added, want %s; %v", kind, protocol, added, want, err)
			}
		}
	}
}

func TestRunForDurationSamplesAndReports(t *testing.T) {
	filledTables(t)
	var last Snapshot
	result, err := Run(t.Context(), Load{
		URL: postgres.URL("", ""), Direct: postgres.URL("", ""), Clients: 12, Duration: 500 * time.Millisecond,
		Progress: func(s Snapshot) { last = s },
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Elapsed < 500*time.Millisecond || result.Elapsed > 5*time.Second {
		t.Errorf("took %v", result.Elapsed)
	}
	if result.Peak != (Gauges{ServerConnections: 12, Waiting: NotSampled}) {
		t.Errorf("peak %+v", result.Peak)
	}
	if last.Done != 1 || last.Transactions != result.Transactions || last.Connected != 12 {
		t.Errorf("the last snapshot is %+v, the result %+v", last, result)
	}
}

func TestRunLeavesOutClientsThatPostgresRefuses(t *testing.T) {
	filledTables(t)
	result, err := Run(t.Context(), Load{URL: postgres.URL("", ""), Clients: 80, Transactions: 500})
	if err != nil {
		t.Fatal(err)
	}
	if result.Connected == 0 || result.Connected > 60 || result.Transactions != 500 || result.Errors["53300"] != int64(80-result.Connected) {
		t.Errorf("%+v", result)
	}
}

func TestRunReconnectsAfterATerminatedConnection(t *testing.T) {
	filledTables(t)
	var killed atomic.Bool
	result, err := Run(t.Context(), Load{
		URL: postgres.URL("", ""), Clients: 4, Duration: time.Second,
		Progress: func(s Snapshot) {
			if s.Transactions > 0 && killed.CompareAndSwap(false, true) {
				const sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
				if err := postgres.Exec(t.Context(), "", sql); err != nil {
					t.Error(err)
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Connected != 4 || result.Reconnects != 4 || total(result.Errors) != 4 {
		t.Errorf("%+v", result)
	}
}

func TestRunEndsWithContextEvenInALockedTransaction(t *testing.T) {
	filledTables(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	conn, err := newSampler(t.Context(), postgres.URL("", ""), "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close(t.Context())
	if _, err := conn.direct.Exec(t.Context(), "BEGIN; LOCK TABLE pgbench_accounts").ReadAll(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = Run(ctx, Load{
		URL: postgres.URL("", ""), Clients: 3, Duration: time.Minute,
		Progress: func(s Snapshot) {
			if s.Elapsed > 0 {
				cancel(reason)
			}
		},
	})
	if !errors.Is(err, reason) {
		t.Errorf("got error %v", err)
	}
	if time.Since(began) > 10*time.Second {
		t.Errorf("took %v to notice", time.Since(began))
	}
}

func TestRunFailsWhenNobodyCanConnect(t *testing.T) {
	if _, err := Run(t.Context(), Load{URL: postgres.URL("", "absent"), Clients: 2, Transactions: 1}); err == nil ||
		!strings.Contains(err.Error(), "3D000") {
		t.Errorf("got error %v", err)
	}
	if _, err := Run(t.Context(), Load{URL: postgres.URL("", ""), Clients: 2}); err == nil {
		t.Error("a load without an end")
	}
}

func TestDisplayOffATerminalPrintsPlainLines(t *testing.T) {
	var out bytes.Buffer
	d := NewDisplay(&out, "through carpool")
	none := Gauges{NotSampled, NotSampled}
	for _, s := range []Snapshot{
		{Clients: 200, Gauges: none},
		{Clients: 200, Connected: 100, Gauges: none},
		{Clients: 200, Connected: 200, Elapsed: time.Second, Gauges: none},
		{Clients: 200, Connected: 200, Elapsed: 2 * time.Second, Done: 0.4, Transactions: 50_000, Gauges: Gauges{10, 190}},
		{Clients: 200, Connected: 200, Elapsed: 3 * time.Second, Done: 0.6, Gauges: none},
		{Clients: 200, Connected: 199, Elapsed: 5 * time.Second, Done: 1, Transactions: 100_000, Errors: 1, Gauges: none},
	} {
		d.Show(s)
	}
	d.Finish()
	want := `through carpool: connecting 200 clients
through carpool:  40 %, 200 clients, 10 server connections, 190 waiting, 25,000 transactions a second
through carpool: 100 %, 199 clients, 20,000 transactions a second, 1 errors
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
