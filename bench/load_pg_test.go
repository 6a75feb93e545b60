package bench

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/bench/worker"
)

var postgres *pgserver.Server

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgserver.Options{MaxConnections: 60}, func(s *pgserver.Server) {
		postgres = s
	}))
}

func filledTables(t *testing.T) {
	t.Helper()
	if err := Prepare(t.Context(), postgres.URL("", ""), "prepared", 1); err != nil {
		t.Fatal(err)
	}
}

// load is a short one.
func load() Load {
	return Load{URL: postgres.URL("", ""), Clients: 12, Duration: 500 * time.Millisecond, Workload: "prepared", Protocol: worker.Prepared}
}

func TestRunSamplesAndReports(t *testing.T) {
	filledTables(t)
	var first, last Snapshot
	l := load()
	l.Direct = postgres.URL("", "")
	l.Progress = func(s Snapshot) {
		if last.Clients == 0 {
			first = s
		}
		last = s
	}
	result, err := Run(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if result.Elapsed < 500*time.Millisecond || result.Elapsed > 5*time.Second || result.Transactions == 0 || len(result.Errors) > 0 {
		t.Errorf("%+v", result)
	}
	if r := result.Latency; r.P50 <= 0 || r.P50 > r.P90 || r.P90 > r.P99 || r.P99 > r.P999 || r.P999 > r.Max || r.Mean <= 0 {
		t.Errorf("%+v", r)
	}
	if result.Peak != (Gauges{ServerConnections: 12, Waiting: NotSampled}) {
		t.Errorf("peak %+v", result.Peak)
	}
	if first.Elapsed != 0 || first.Clients != 12 {
		t.Errorf("the first snapshot is %+v", first)
	}
	if last.Done != 1 || last.Transactions != result.Transactions || last.Connected != 12 {
		t.Errorf("the last snapshot is %+v, the result %+v", last, result)
	}
}

func TestRunLeavesOutClientsThatPostgresRefuses(t *testing.T) {
	filledTables(t)
	l := load()
	l.Clients = 80
	result, err := Run(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if result.Connected == 0 || result.Connected > 60 || result.Transactions == 0 || result.Errors["53300"] < int64(80-result.Connected) {
		t.Errorf("%+v", result)
	}
}

func TestRunEndsWithContextEvenWhenALockIsHeld(t *testing.T) {
	filledTables(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	conn, err := newSampler(t.Context(), postgres.URL("", ""), "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close(t.Context())
	if _, err := conn.direct.Exec(t.Context(), "BEGIN; LOCK TABLE public.items").ReadAll(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	l := load()
	l.Duration = time.Minute
	l.Progress = func(s Snapshot) {
		if s.Elapsed > 0 {
			cancel(reason)
		}
	}
	if _, err := Run(ctx, l); !errors.Is(err, reason) {
		t.Errorf("got error %v", err)
	}
	if time.Since(began) > 10*time.Second {
		t.Errorf("took %v to notice", time.Since(began))
	}
}

func TestRunFailsWhenNobodyCanConnect(t *testing.T) {
	l := load()
	l.URL = postgres.URL("", "absent")
	if _, err := Run(t.Context(), l); err == nil || !strings.Contains(err.Error(), "3D000") {
		t.Errorf("got error %v", err)
	}
	l = load()
	l.Duration = 0
	if _, err := Run(t.Context(), l); err == nil {
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
