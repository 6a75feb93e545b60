package target_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/bench/procfs"
	"carpool/bench/target"

	"github.com/jackc/pgx/v5/pgconn"
)

var postgres *pgserver.Server

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgserver.Options{
		Databases: []string{"shop"},
		Roles: []pgserver.Role{
			{Name: "reader", Password: "hunter2"},
			{Name: "odd role", Password: "hunter2"},
			{Name: "limited", Password: "hunter2"},
			{Name: "boss", Password: "hunter2", Superuser: true},
		},
		HBA: []string{"host all limited all reject", "host all reader all scram-sha-256"},
	}, func(s *pgserver.Server) { postgres = s }))
}

// administer runs SQL as the superuser in the database shop and returns the first value.
func administer(t *testing.T, sql string) string {
	t.Helper()
	value, err := postgres.Value(context.Background(), "shop", sql)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func own(t *testing.T) *target.Target {
	t.Helper()
	administer(t, "GRANT CREATE ON DATABASE shop TO reader")
	d, err := target.Own(t.Context(), postgres.URL("reader", "shop"), target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close(context.Background()) })
	return d
}

func create(t *testing.T, d *target.Target) []string {
	t.Helper()
	notes, err := d.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return notes
}

func schemaExists(t *testing.T, name string) bool {
	t.Helper()
	return administer(t, "SELECT count(*) FROM pg_namespace WHERE nspname = '"+name+"'") == "1"
}

// cutOff ends a target's connection the way the end of its process would, and waits until the server has noticed.
func cutOff(t *testing.T) {
	t.Helper()
	const control = "FROM pg_stat_activity WHERE application_name = 'carpool-bench/control'"
	administer(t, "SELECT pg_terminate_backend(pid) "+control)
	deadline := time.Now().Add(20 * time.Second)
	for administer(t, "SELECT count(*) "+control) != "0" {
		if time.Now().After(deadline) {
			t.Fatal("the control connection doesn't end")
		}
	}
}

func TestLifeOfASchema(t *testing.T) {
	d := own(t)
	if schemaExists(t, d.Schema()) {
		t.Error("the schema is there before its creation was asked for")
	}
	plan := strings.Join(d.Plan(), "\n")
	for _, part := range []string{d.Schema(), "shop", "reader", "drop it at the end", "Open at most"} {
		if !strings.Contains(plan, part) {
			t.Errorf("the plan doesn't mention %q:\n%s", part, plan)
		}
	}
	if strings.Contains(plan, "hunter2") {
		t.Error("the plan tells the password")
	}
	if notes := create(t, d); notes != nil {
		t.Errorf("got notes %q", notes)
	}
	if err := d.Setup(t.Context(), []string{"CREATE TABLE " + d.Schema() + ".t (a int)", "VACUUM " + d.Schema() + ".t"}); err != nil {
		t.Error(err)
	}
	if err := d.Setup(t.Context(), []string{"CREATE TABLE nonsense"}); err == nil || !strings.Contains(err.Error(), "syntax error") {
		t.Errorf("got %v", err)
	}
	comment := administer(t, "SELECT obj_description('"+d.Schema()+"'::regnamespace)")
	if !strings.HasPrefix(comment, "carpool bench: made 20") || !strings.Contains(comment, "by role reader") {
		t.Errorf("got comment %q", comment)
	}
	if _, err := d.Create(t.Context()); err == nil {
		t.Error("it was made twice")
	}
	for range 2 {
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if schemaExists(t, d.Schema()) {
		t.Error("the schema is left")
	}
}

func TestCloseWorksAfterTheEndOfTheContext(t *testing.T) {
	d := own(t)
	create(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Setup(ctx, []string{"SELECT pg_sleep(60)"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err) // and pgx has given the connection up
	}
	if err := d.Close(ctx); err != nil || schemaExists(t, d.Schema()) {
		t.Errorf("got %v; the schema is left: %t", err, schemaExists(t, d.Schema()))
	}
}

func TestCloseWorksAfterTheLossOfTheConnection(t *testing.T) {
	d := own(t)
	create(t, d)
	cutOff(t)
	if err := d.Close(t.Context()); err != nil || schemaExists(t, d.Schema()) {
		t.Errorf("got %v; the schema is left: %t", err, schemaExists(t, d.Schema()))
	}
}

func TestTheNextRunDropsWhatACrashLeft(t *testing.T) {
	crashed := own(t)
	create(t, crashed)
	cutOff(t)
	next := own(t)
	if !schemaExists(t, crashed.Schema()) {
		t.Fatal("looking at the server has dropped something")
	}
	notes := create(t, next)
	if len(notes) != 1 || !strings.Contains(notes[0], "Dropped the schema "+crashed.Schema()) {
		t.Errorf("got notes %q", notes)
	}
	if schemaExists(t, crashed.Schema()) || !schemaExists(t, next.Schema()) {
		t.Error("the wrong schema was dropped")
	}
}

func TestNothingElseIsDropped(t *testing.T) {
	live := own(t)
	create(t, live)
	yesterday := time.Now().UTC().Add(-25 * time.Hour).Format(time.RFC3339)
	now := time.Now().UTC().Format(time.RFC3339)
	foreign := map[string]string{ // comments by name
		"carpool_bench_00000001":  "",
		"carpool_bench_00000002":  "my own",
		"carpool_bench_000000033": "carpool bench: made " + yesterday, // not our pattern
		"bench":                   "carpool bench: made " + yesterday,
		"carpool_bench_00000004":  "carpool bench through a pooler: made " + now,
	}
	const old, others = "carpool_bench_00000005", "carpool_bench_00000006"
	comments := map[string]string{old: "carpool bench through a pooler: made " + yesterday, others: "carpool bench: made " + yesterday}
	for name, comment := range foreign {
		comments[name] = comment
	}
	for name, comment := range comments {
		administer(t, "CREATE SCHEMA "+name+" AUTHORIZATION reader; COMMENT ON SCHEMA "+name+" IS '"+comment+"'")
		t.Cleanup(func() { administer(t, "DROP SCHEMA IF EXISTS "+name) })
	}
	administer(t, "ALTER SCHEMA "+others+" OWNER TO boss")
	next := own(t)
	if notes := create(t, next); len(notes) != 1 || !strings.Contains(notes[0], old) {
		t.Errorf("got notes %q", notes)
	}
	for name, comment := range foreign {
		if !schemaExists(t, name) {
			t.Errorf("%s with the comment %q was dropped", name, comment)
		}
	}
	if !schemaExists(t, others) {
		t.Error("another role's schema was dropped")
	}
	if !schemaExists(t, live.Schema()) {
		t.Error("the schema of a benchmark that is at work was dropped")
	}
	if schemaExists(t, old) {
		t.Error("a schema that was left behind a day ago is still there")
	}
}

// TestCloseDoesNotHang: somebody looks at the tables and doesn't stop.
func TestCloseDoesNotHang(t *testing.T) {
	d := own(t)
	create(t, d)
	if err := d.Setup(t.Context(), []string{"CREATE TABLE " + d.Schema() + ".t (a int)"}); err != nil {
		t.Fatal(err)
	}
	looker, err := pgconn.Connect(t.Context(), postgres.URL("boss", "shop"))
	if err != nil {
		t.Fatal(err)
	}
	defer looker.Close(context.Background())
	if _, err := looker.Exec(t.Context(), "BEGIN; SELECT * FROM "+d.Schema()+".t").ReadAll(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := d.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "DROP SCHEMA "+d.Schema()+" CASCADE") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("closing took %s", took)
	}
	if _, err := looker.Exec(t.Context(), "COMMIT").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if notes := create(t, own(t)); len(notes) != 1 || !strings.Contains(notes[0], d.Schema()) {
		t.Errorf("got notes %q", notes)
	}
}

// TestTimeoutsOfTheRoleDoNotCountForTheOwner has a role whose statements end before most of ours do. They are many, so that
// no machine is too fast.
func TestTimeoutsOfTheRoleDoNotCountForTheOwner(t *testing.T) {
	administer(t, "GRANT CREATE ON DATABASE shop TO reader")
	administer(t, "ALTER ROLE reader SET statement_timeout = '1ms'")
	t.Cleanup(func() { administer(t, "ALTER ROLE reader RESET statement_timeout") })
	for range 10 {
		d := own(t)
		create(t, d)
		if err := d.Setup(t.Context(), []string{"SELECT pg_sleep(0.01)"}); err != nil {
			t.Error(err)
		}
		count(t, d, "x")
		cutOff(t)
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestScriptMakesNothing: a role that may only read will do.
func TestScriptMakesNothing(t *testing.T) {
	crashed := own(t)
	create(t, crashed)
	cutOff(t)
	administer(t, "REVOKE CREATE ON DATABASE shop FROM reader")
	administer(t, "ALTER ROLE reader SET default_transaction_read_only = on")
	t.Cleanup(func() { administer(t, "ALTER ROLE reader RESET default_transaction_read_only") })
	const schemas = "SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace"
	before := administer(t, schemas)
	d, err := target.Own(t.Context(), postgres.URL("reader", "shop"), target.Options{Script: true})
	if err != nil {
		t.Fatal(err)
	}
	plan := strings.Join(d.Plan(), "\n")
	if d.Schema() != "" || strings.Contains(plan, "schema") || strings.Contains(plan, "Nothing else") || !strings.Contains(plan, "What it changes stays") {
		t.Errorf("schema %q, plan:\n%s", d.Schema(), plan)
	}
	if notes := create(t, d); notes != nil {
		t.Errorf("got notes %q", notes)
	}
	if err := errors.Join(d.Setup(t.Context(), nil), d.Close(t.Context())); err != nil {
		t.Error(err)
	}
	if after := administer(t, schemas); after != before {
		t.Errorf("the schemas were %s and are %s", before, after)
	}
}

func TestOwnRefusesInOneSentence(t *testing.T) {
	administer(t, "REVOKE CREATE ON DATABASE shop FROM reader")
	url := postgres.URL("reader", "shop")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGPASSFILE", t.TempDir()+"/absent")
	for name, row := range map[string]struct{ url, want string }{
		"nobody listens":    {strings.Replace(url, postgres.Address(), closed.Addr().String(), 1), "no server can be reached at " + closed.Addr().String() + ": connection refused"},
		"unknown host":      {strings.Replace(url, "127.0.0.1", "host.invalid", 1), "there is no host called host.invalid"},
		"wrong password":    {strings.Replace(url, "hunter2", "hunter3", 1), "refuses the password of the role reader"},
		"no password":       {strings.Replace(url, ":hunter2", "", 1), "wants a password for the role reader, and none was given"},
		"unknown database":  {strings.Replace(url, "/shop", "/shed", 1), "there is no database shed on the server at " + postgres.Address()},
		"unknown role":      {postgres.URL("nobody", "shop"), `role "nobody" does not exist`},
		"refused by rule":   {postgres.URL("limited", "shop"), "pg_hba.conf"},
		"no TLS":            {strings.Replace(url, "disable", "require", 1), "offers no TLS, which sslmode=require demands"},
		"no right":          {url, "GRANT CREATE ON DATABASE shop TO reader"},
		"no right, quoting": {postgres.URL("odd role", "shop"), `GRANT CREATE ON DATABASE shop TO "odd role"`},
		"no URL":            {"host=localhost", "the database URL can't be used: expected postgres://"},
	} {
		d, err := target.Own(t.Context(), row.url, target.Options{})
		if err == nil {
			_ = d.Close(t.Context())
			t.Errorf("%s: no error", name)
			continue
		}
		if !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if left := administer(t, "SELECT count(*) FROM pg_stat_activity WHERE usename IN ('reader', 'odd role')"); left != "0" {
		t.Errorf("%s connections are left", left)
	}
}

func TestOwnRefusesAReadOnlyServer(t *testing.T) {
	administer(t, "ALTER ROLE reader SET default_transaction_read_only = on")
	t.Cleanup(func() { administer(t, "ALTER ROLE reader RESET default_transaction_read_only") })
	if _, err := target.Own(t.Context(), postgres.URL("reader", "shop"), target.Options{}); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("got %v", err)
	}
}

func TestOwnGivesUpOnAServerThatIsSilent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	url := "postgres://u@" + listener.Addr().String() + "/d?sslmode=disable"
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("interrupted"))
	defer cancel()
	if _, err := target.Own(ctx, url, target.Options{}); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("got %v", err)
	}
}

func TestLimitsAreTheServersOwn(t *testing.T) {
	d := own(t)
	l := d.Limits()
	if l.Max != 100 || l.Reserved != 3 || l.InUse < 1 || l.Free != 97-l.InUse-1 || l.Allowed != l.Free/2 || !strings.Contains(l.Bound, "max_connections is 100") {
		t.Errorf("got %+v", l)
	}
	for _, row := range []struct{ set, reset, want string }{
		{"ALTER ROLE reader CONNECTION LIMIT 8", "ALTER ROLE reader CONNECTION LIMIT -1", "the role reader may have 8 connections and has 2"},
		{"ALTER DATABASE shop CONNECTION LIMIT 9", "ALTER DATABASE shop CONNECTION LIMIT -1", "the database shop may have 9 connections and has"},
	} {
		administer(t, row.set)
		limited := own(t).Limits()
		administer(t, row.reset)
		if !strings.Contains(limited.Bound, row.want) || limited.Free < 1 || limited.Free > 6 {
			t.Errorf("%s: got %+v", row.set, limited)
		}
		cutOff(t) // so that this one doesn't count for the next
		own(t)
	}
	administer(t, "ALTER ROLE reader CONNECTION LIMIT 2")
	defer administer(t, "ALTER ROLE reader CONNECTION LIMIT -1")
	if _, err := target.Own(t.Context(), postgres.URL("reader", "shop"), target.Options{}); err == nil || !strings.Contains(err.Error(), "connections to spare") {
		t.Errorf("got %v", err)
	}
}

func TestTheWholeShareCanBeOpened(t *testing.T) {
	administer(t, "GRANT CREATE ON DATABASE shop TO reader")
	d, err := target.Own(t.Context(), postgres.URL("reader", "shop"), target.Options{Share: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(context.Background())
	watch, err := d.Watch(t.Context(), "all", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Limits().Allowed {
		conn, err := pgconn.Connect(t.Context(), d.URL("all"))
		if err != nil {
			t.Fatalf("connection %d of %+v: %v", i+1, d.Limits(), err)
		}
		defer conn.Close(context.Background())
	}
	if n := peak(t, watch); n != d.Limits().Allowed {
		t.Errorf("%d connections of %d", n, d.Limits().Allowed)
	}
	if conn, err := pgconn.Connect(t.Context(), d.URL("all")); err == nil {
		// The watch has gone, so one more may fit.
		defer conn.Close(context.Background())
	}
	if _, err := target.Own(t.Context(), postgres.URL("reader", "shop"), target.Options{}); err == nil || !strings.Contains(err.Error(), "no free connection") {
		t.Errorf("a full server: got %v", err)
	}
}

// count watches for a moment and returns the highest number.
func count(t *testing.T, d *target.Target, label string) int {
	t.Helper()
	watch, err := d.Watch(t.Context(), label, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return peak(t, watch)
}

func peak(t *testing.T, watch *target.Watch) int {
	t.Helper()
	samples, err := watch.Stop()
	if err != nil {
		t.Fatal(err)
	}
	highest := 0
	for _, sample := range samples {
		highest = max(highest, sample.Connections)
	}
	return highest
}

func TestWatchCountsTheLabelsConnections(t *testing.T) {
	d := own(t)
	connect := func(label string) *pgconn.PgConn {
		url := d.URL(label)
		if label == "" {
			url = postgres.URL("reader", "shop")
		}
		conn, err := pgconn.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	pooled := connect("earlier") // as a pooler's idle server, kept from another strategy
	connect("")                  // the reader's application
	connect("mine")
	if n := count(t, d, "mine"); n != 1 {
		t.Errorf("%d connections at the beginning", n)
	}
	watch, err := d.Watch(t.Context(), "mine", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	connect("mine")
	connect("other")
	connect("") // somebody who is logging in, for all that can be seen
	if _, err := pooled.Exec(t.Context(), "SET application_name = '"+target.ApplicationName("mine")+"'").ReadAll(); err != nil {
		t.Fatal(err)
	}
	// The interval is far off: these samples are of the beginning and of the end.
	samples, err := watch.Stop()
	if err != nil || len(samples) != 2 || samples[0].Connections != 1 || samples[1].Connections != 4 {
		t.Errorf("got %v, %v", samples, err)
	}
}

func TestWatchTakesSamplesAtIntervals(t *testing.T) {
	d := own(t)
	watch, err := d.Watch(t.Context(), "x", time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		administer(t, "SELECT pg_sleep(0.001)")
	}
	samples, err := watch.Stop()
	if err != nil || len(samples) < 5 || !slices.IsSortedFunc(samples, func(a, b target.Sample) int { return int(a.At - b.At) }) {
		t.Errorf("got %v, %v", samples, err)
	}
	if again, err := watch.Stop(); err != nil || len(again) != len(samples) {
		t.Errorf("stopped again: got %v, %v", again, err)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	d := own(t)
	ctx, cancel := context.WithCancel(t.Context())
	watch, err := d.Watch(ctx, "x", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if samples, err := watch.Stop(); err != nil || len(samples) != 1 {
		t.Errorf("got %v, %v", samples, err)
	}
}

func TestWatchTellsOfItsEnd(t *testing.T) {
	d := own(t)
	watch, err := d.Watch(t.Context(), "x", time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	cutOff(t)
	samples, err := watch.Stop()
	if len(samples) == 0 || err == nil {
		t.Errorf("got %d samples, %v", len(samples), err)
	}
}

func TestSettings(t *testing.T) {
	settings, err := own(t).Settings(t.Context())
	if err != nil || settings["fsync"] != "off" || settings["max_connections"] != "100" || settings["shared_buffers"] != "64MB" {
		t.Errorf("got %v, %v", settings, err)
	}
}

func TestCPUOfAServerOnThisMachine(t *testing.T) {
	d := own(t)
	before, err := d.CPU()
	if runtime.GOOS != "linux" {
		if !errors.Is(err, procfs.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	const work = "SELECT count(*) FROM generate_series(1, 1000000)" // takes far more than the 20 ms that are looked for
	for name, do := range map[string]func(){
		"a backend that stays": func() {
			if err := d.Setup(t.Context(), []string{work}); err != nil {
				t.Fatal(err)
			}
		},
		"a backend that ends": func() { administer(t, work) },
	} {
		do()
		deadline := time.Now().Add(20 * time.Second) // the postmaster has to notice the end
		after := before
		for after < before+20*time.Millisecond {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s of CPU time", name, after-before)
			}
			if after, err = d.CPU(); err != nil {
				t.Fatal(err)
			}
		}
		before = after
	}
}

func TestPrivate(t *testing.T) {
	for _, tls := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %t", tls), func(t *testing.T) {
			d, err := target.Private(t.Context(), target.Options{Connections: 10, TLS: tls})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.Close(context.Background()); err != nil {
					t.Error(err)
				}
				if _, err := pgconn.Connect(context.Background(), d.URL("x")); err == nil {
					t.Error("the private Postgres is still there")
				}
			}()
			if !d.Private() || d.Pooled() || d.Warnings() != nil || !strings.Contains(d.Plan()[0], "private Postgres "+d.Version()) {
				t.Errorf("got plan %q, warnings %q", d.Plan(), d.Warnings())
			}
			if l := d.Limits(); l.Allowed < 10 {
				t.Errorf("got %+v", l)
			}
			create(t, d)
			if err := d.Setup(t.Context(), []string{"CREATE TABLE " + d.Schema() + ".t (a int)"}); err != nil {
				t.Error(err)
			}
			socket, ok := d.UnixServer()
			if !ok {
				t.Error("no Unix socket")
			}
			for url, encrypted := range map[string]string{
				d.URL("x"): map[bool]string{false: "f", true: "t"}[tls], socket.URL(target.ApplicationName("x")): "f",
			} {
				conn, err := pgconn.Connect(t.Context(), url)
				if err != nil {
					t.Fatal(err)
				}
				const sql = `SELECT ssl, application_name FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE pid = pg_backend_pid()`
				result := conn.ExecParams(t.Context(), sql, nil, nil, nil, nil).Read()
				if result.Err != nil || string(result.Rows[0][0]) != encrypted || string(result.Rows[0][1]) != "carpool-bench/x" {
					t.Errorf("got %q, %v", result.Rows, result.Err)
				}
				if err := conn.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if used, err := d.CPU(); runtime.GOOS == "linux" && (err != nil || used == 0) {
				t.Errorf("CPU time: got %s, %v", used, err)
			}
			intruder := d.Server()
			intruder.User, intruder.Database = "postgres", "postgres"
			if _, err := pgconn.Connect(t.Context(), intruder.URL("")); err == nil {
				t.Error("anybody on this machine can be its superuser")
			}
		})
	}
}
