package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"carpool/bench/report"
)

// benchPatience is what a whole benchmark may take, on a machine that runs other tests as well.
const benchPatience = 2 * time.Minute

// noProcesses checks that nothing runs whose command line has a word in it: a program, or the directory of its files.
func noProcesses(t *testing.T, words ...string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 && runtime.GOOS == "linux" {
		t.Fatalf("no process is seen: %v", err)
	}
	for _, word := range words {
		eventually(t, "no process of "+word+" is left", func() bool {
			return !slices.ContainsFunc(files, func(name string) bool {
				line, err := os.ReadFile(name)
				return err == nil && bytes.Contains(line, []byte(word))
			})
		})
	}
}

// benchURL is the test's own Postgres as a reader's would be, with a role that may make a schema.
func benchURL(t *testing.T) string {
	t.Helper()
	if err := postgres.Exec(t.Context(), "app", "GRANT CREATE ON DATABASE app TO app"); err != nil {
		t.Fatal(err)
	}
	return postgres.URL("app", "app")
}

// schemas are those in the reader's database that a benchmark could have made.
func schemas(t *testing.T) string {
	t.Helper()
	list, err := postgres.Value(t.Context(), "app", "SELECT coalesce(string_agg(nspname, ' '), '') FROM pg_namespace WHERE nspname LIKE 'carpool%'")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// nothingLeftOnServer checks that the reader's server is as it was: no schema, and soon no connection.
func nothingLeftOnServer(t *testing.T) {
	t.Helper()
	if left := schemas(t); left != "" {
		t.Errorf("left behind: the schemas %s", left)
	}
	const sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND application_name LIKE 'carpool%'"
	eventually(t, "no connection of the benchmark's is left", func() bool {
		n, err := postgres.Value(t.Context(), "", sql)
		return err == nil && n == "0"
	})
}

func decodeReport(t *testing.T, text string) report.Report {
	t.Helper()
	r, err := report.ReadJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("the report can't be read: %v\n%s", err, text)
	}
	return r
}

// row is the report of one strategy, which must have run.
func row(t *testing.T, r report.Report, name string) report.Strategy {
	t.Helper()
	at := slices.IndexFunc(r.Strategies, func(s report.Strategy) bool { return s.Name == name })
	if at < 0 || r.Strategies[at].Skipped != "" || r.Strategies[at].Summary == nil {
		t.Fatalf("%s didn't run: %+v", name, r.Strategies)
	}
	return r.Strategies[at]
}

// The lecture's order and factors, on the private Postgres; the file formats of --out.
func TestBench(t *testing.T) {
	dir, out := demoDir(t), t.TempDir()
	p := start(t, []string{"TMPDIR=" + dir}, "bench", "--clients", "8", "--processes", "1", "--pool-size", "4", "--rounds", "2", "--duration", "500ms",
		"--strategies", "none,global,global-unsafe,driver-pool,direct,carpool-connect,carpool,carpool-session,pgbouncer,python",
		"--sweep", "pool=1,4", "--sweep", "clients=1,8", "--format", "json", "--out", out)
	p.await("A private Postgres")
	pid := postmaster(t, dir)
	if status := p.waitFor(benchPatience); status != 0 {
		t.Fatalf("status %d: %s", status, p.stderr)
	}
	nothingLeft(t, dir, pid)
	r := decodeReport(t, p.stdout.String())
	perSecond := func(name string) float64 { return row(t, r, name).Summary.CallsPerSecond.Median }
	if got := perSecond("driver-pool") / perSecond("none"); got < 15 {
		t.Errorf("a driver's pool makes only %.1f times the calls of connecting each time, want 15", got)
	}
	if got := perSecond("carpool-connect") / perSecond("none"); got < 5 {
		t.Errorf("connecting to carpool each time makes only %.1f times the calls, want 5", got)
	}
	for _, s := range r.Strategies {
		told := row(t, r, s.Name).Summary
		wrong := told.WrongCount() + told.ErrorCount()
		if s.Name == "global-unsafe" {
			if wrong == 0 || len(s.Rounds[0].Examples) < 3 {
				t.Errorf("nothing went wrong without a lock: %+v", told)
			}
		} else if !strings.HasSuffix(s.Name, "-unsafe") && wrong != 0 {
			t.Errorf("%s: %d wrong answers, errors %v, first %q", s.Name, told.WrongCount(), told.Errors, s.Rounds[0].FirstError)
		}
		if told.ServerConnections == nil || *told.ServerConnections < 1 || told.ServerCPU == nil || told.ClientCPU == nil {
			t.Errorf("%s: something wasn't measured: %+v", s.Name, told)
		}
		if through := strings.Contains(s.Name, "carpool") || s.Name == "pgbouncer"; through != (told.PoolerBytes != nil) {
			t.Errorf("%s: memory of a pooler: %v", s.Name, told.PoolerBytes)
		}
	}
	for name, most := range map[string]int{"carpool": 4, "carpool-connect": 4, "pgbouncer": 4, "driver-pool": 4, "global": 1, "direct": 8} {
		if got := *row(t, r, name).Summary.ServerConnections; got > most {
			t.Errorf("%s used %d server connections, want at most %d", name, got, most)
		}
	}
	if r.Overhead == nil || r.Overhead.PerCallSeconds() > 10e-6 {
		t.Errorf("the harness costs too much: %+v", r.Overhead)
	}
	if len(r.Sweeps) != 2 || len(r.Sweeps[0].Points) != 2 || len(r.Sweeps[0].Points[0].Strategies[0].Rounds) != 2 {
		t.Errorf("sweeps: %+v", r.Sweeps)
	}
	if e := r.Environment; e.Postgres == "" || e.Cores == 0 || !e.Private || e.Poolers["pgbouncer"] == "" || e.ServerSettings["fsync"] == "" {
		t.Errorf("environment: %+v", e)
	}
	filesOf(t, out, r)
}

// filesOf looks into what --out has written.
func filesOf(t *testing.T, dir string, r report.Report) {
	t.Helper()
	for name, want := range map[string]string{
		"report.txt": "connect for every call", "report.csv": "driver-pool,", "report.md": "| ", "report.html": "<svg", "report.bench": "strategy=none",
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s has no %q: %v", name, want, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if kept := decodeReport(t, string(text)); !kept.Made.Equal(r.Made) {
		t.Error("report.json is another report")
	}
	for _, pattern := range []string{"*.svg", "*.png"} {
		if pictures, _ := filepath.Glob(filepath.Join(dir, pattern)); len(pictures) < 4 {
			t.Errorf("only %d pictures %s", len(pictures), pattern)
		}
	}
}

// On the reader's own server a benchmark says what it will do, and leaves nothing behind.
func TestBenchOnOwnServer(t *testing.T) {
	url := benchURL(t)
	p := start(t, []string{"DATABASE_URL=" + url}, "bench", "--rounds", "1", "--duration", "200ms", "--sweep", "none",
		"--strategies", "none,direct,carpool", "--workload", "transaction")
	p.await("Create the schema carpool_bench_")
	if status := p.waitFor(benchPatience); status != 0 {
		t.Fatalf("status %d", status)
	}
	nothingLeftOnServer(t)
	said := p.stderr.String()
	for _, want := range []string{"Use the database app at 127.0.0.1", "drop it at the end", "Open at most"} {
		if !strings.Contains(said, want) {
			t.Errorf("it doesn't say %q first: %s", want, said)
		}
	}
	if all := said + p.stdout.String(); strings.Contains(all, "secret") {
		t.Error("the password is told")
	}
	if !regexp.MustCompile(`connect for every call`).MatchString(p.stdout.String()) {
		t.Errorf("no table: %s", p.stdout)
	}
}

// Ctrl-C at any moment leaves nothing behind: no schema, no connection, no process.
func TestBenchInterrupted(t *testing.T) {
	url := benchURL(t)
	for _, when := range []string{"Create the schema", "round 1, none", "round 1, carpool", "round 1, pgbouncer", "round 1, python-psycopg2-pool"} {
		t.Run(when, func(t *testing.T) {
			strategy := strings.TrimPrefix(when, "round 1, ")
			if strategy == when {
				strategy = "direct"
			}
			dir := demoDir(t)
			p := start(t, []string{"DATABASE_URL=" + url, "TMPDIR=" + dir}, "bench", "--rounds", "1", "--duration", "20s", "--sweep", "none", "--strategies", strategy)
			p.await(when)
			p.signal(syscall.SIGINT)
			if status := p.wait(); status != exitCanceled {
				t.Errorf("status %d, want %d: %s", status, exitCanceled, p.stderr)
			}
			nothingLeftOnServer(t)
			noProcesses(t, binary, dir)
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("left behind: %v %v", entries, err)
			}
		})
	}
}

// What a benchmark that was killed has left behind, the next one cleans up, and says so; of its processes none is left.
func TestBenchKilled(t *testing.T) {
	url := benchURL(t)
	p := start(t, []string{"DATABASE_URL=" + url}, "bench", "--rounds", "1", "--duration", "20s", "--sweep", "none", "--strategies", "direct")
	p.await("round 1, direct")
	p.signal(syscall.SIGKILL)
	p.wait()
	left := schemas(t)
	if left == "" {
		t.Fatal("nothing was left behind: there is nothing to test")
	}
	// Its processes end by themselves, and then the server has let go of its lock.
	const sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"
	eventually(t, "no connection of the killed benchmark is left", func() bool {
		n, err := postgres.Value(t.Context(), "", sql)
		return err == nil && n == "0"
	})
	next := start(t, []string{"DATABASE_URL=" + url}, "bench", "--rounds", "1", "--duration", "100ms", "--sweep", "none", "--strategies", "direct")
	if status := next.waitFor(benchPatience); status != 0 {
		t.Errorf("status %d", status)
	}
	if !strings.Contains(next.stderr.String(), left) {
		t.Errorf("it doesn't say that it dropped %s: %s", left, next.stderr)
	}
	nothingLeftOnServer(t)
}

// Whatever is wrong is told in one sentence, and nothing is left running.
func TestBenchBadInput(t *testing.T) {
	url := benchURL(t)
	if err := postgres.Exec(t.Context(), "", "CREATE ROLE narrow LOGIN PASSWORD 'secret'"); err != nil {
		t.Fatal(err)
	}
	at := func(user, password, address, database string) string {
		return fmt.Sprintf("DATABASE_URL=postgres://%s:%s@%s/%s?sslmode=disable", user, password, address, database)
	}
	ours := postgres.Address()
	missing := write(t, t.TempDir(), "script.sql", "SELECT * FROM nowhere;\n")
	for _, test := range []struct {
		name    string
		environ []string
		args    []string
		status  int
		want    string
	}{
		{"unreachable", []string{at("app", "secret", "127.0.0.1:1", "app")}, nil, 1, "127.0.0.1:1"},
		{"no such database", []string{at("app", "secret", ours, "nowhere")}, nil, 1, "nowhere"},
		{"no right", []string{at("narrow", "secret", ours, "app")}, nil, 1, "GRANT CREATE ON DATABASE app TO narrow"},
		{"not a URL", []string{"DATABASE_URL=mysql://app:secret@host/app"}, nil, 1, "DATABASE_URL"},
		{"empty variable", nil, []string{"--url", "OTHER_URL"}, 2, "OTHER_URL isn't set"},
		{"neither URL nor variable", nil, []string{"--url", "host=127.0.0.1 password=secret dbname=app"}, 2, "is neither"},
		{"URL with a mistake", nil, []string{"--url", "postgres:/app:secret@host/app"}, 2, "is neither"},
		{"rival", nil, []string{"--rival", "x=notaurl"}, 2, "--rival x"},
		{"not a number", nil, []string{"--rate", "nan"}, 2, "--rate"},
		{"missing table", []string{"DATABASE_URL=" + url}, []string{"--file", missing}, 1, "no call succeeded"},
		{"rate", []string{"DATABASE_URL=" + url}, []string{"--rate", "50000000"}, 1, "--rate 50000000 can't be reached"},
		{"no clients", nil, []string{"--clients", "0"}, 2, "--clients must be at least 1"},
		{"strategy", nil, []string{"--strategies", "nune"}, 2, `no strategy is called "nune"`},
		{"workload", nil, []string{"--workload", "boks"}, 2, "books"},
		{"format", nil, []string{"--format", "xml"}, 2, "json"},
		{"sweep", nil, []string{"--sweep", "pool=a"}, 2, "--sweep"},
		{"script", nil, []string{"--file", "/nowhere.sql"}, 1, "/nowhere.sql"},
		{"flag", nil, []string{"--cleints", "3"}, 2, "--clients"},
		{"no Postgres", []string{"CARPOOL_PGBIN=/nowhere"}, nil, 1, "CARPOOL_PGBIN"},
		{"out", nil, []string{"--out", "/proc/nowhere"}, 1, "/proc/nowhere"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := start(t, test.environ, append([]string{"bench", "--strategies", "direct", "--duration", "100ms", "--rounds", "1", "--sweep", "none"}, test.args...)...)
			status := p.wait()
			said := p.stderr.String()
			if status != test.status || !strings.Contains(said, test.want) {
				t.Errorf("status %d, want %d; it says %q, want %q", status, test.status, said, test.want)
			}
			if strings.Contains(said, "secret") || strings.Contains(said, "goroutine") {
				t.Errorf("it says %q", said)
			}
			noProcesses(t, binary)
		})
	}
	nothingLeftOnServer(t)
}

// A limit on descriptors that can't be raised is told before anything is started.
func TestBenchWithoutDescriptors(t *testing.T) {
	p := startCommand(t, nil, "/bin/sh", "-c", `ulimit -n 300; exec "$0" bench --private --clients 2000 --strategies direct --sweep none`, binary)
	if status := p.wait(); status != 1 || !strings.Contains(p.stderr.String(), "ulimit -n") {
		t.Errorf("status %d: %s", status, p.stderr)
	}
}

// A rate that the database can't keep up with is told as such, and in an open loop latency shows it.
func TestBenchAtRate(t *testing.T) {
	url := benchURL(t)
	p := start(t, []string{"DATABASE_URL=" + url}, "bench", "--rounds", "1", "--duration", "1s", "--sweep", "none", "--rate", "500",
		"--strategies", "direct", "--clients", "4", "--processes", "2", "--format", "json")
	if status := p.waitFor(benchPatience); status != 0 {
		t.Fatalf("status %d: %s", status, p.stderr)
	}
	if got := row(t, decodeReport(t, p.stdout.String()), "direct").Summary.CallsPerSecond.Median; got < 400 || got > 600 {
		t.Errorf("%.0f calls a second at a rate of 500", got)
	}
	p = start(t, []string{"DATABASE_URL=" + url}, "bench", "--rounds", "1", "--duration", "1s", "--sweep", "none", "--rate", "1000",
		"--strategies", "none", "--clients", "4", "--processes", "2", "--delay", "50ms") // 20 calls a second, however fast the machine
	if status := p.waitFor(benchPatience); status != 1 || !strings.Contains(p.stderr.String(), "--rate 1000 was reached by no strategy") {
		t.Errorf("status %d: %s", status, p.stderr)
	}
	nothingLeftOnServer(t)
}

// Every workload runs through what it can run through, and the answers are right.
func TestBenchWorkloads(t *testing.T) {
	script := write(t, t.TempDir(), "script.sql", "\\set n random(1, 3)\nSELECT :n;\n")
	url := benchURL(t)
	for _, args := range [][]string{
		{"--workload", "select1"},
		{"--workload", "tpcb"},
		{"--workload", "read-heavy"},
		{"--workload", "large"},
		{"--workload", "copy"},
		{"--workload", "prepared"},
		{"--workload", "storm"},
		{"--workload", "idle", "--clients", "4", "--idle-clients", "60"},
		{"--file", script},
	} {
		t.Run(args[1], func(t *testing.T) {
			p := start(t, []string{"DATABASE_URL=" + url}, append([]string{
				"bench", "--rounds", "1", "--duration", "300ms", "--sweep", "none", "--format", "json", "--pool-size", "4", "--share", "0.9",
				"--strategies", "none,direct,driver-pool,carpool-connect,carpool", "--clients", "6", "--processes", "2",
			}, args...)...)
			if status := p.waitFor(benchPatience); status != 0 {
				t.Fatalf("status %d: %s", status, p.stderr)
			}
			ran := 0
			for _, s := range decodeReport(t, p.stdout.String()).Strategies {
				if s.Summary == nil {
					t.Logf("%s: %s", s.Name, s.Skipped)
					continue
				}
				ran++
				if s.Summary.Calls == 0 || s.Summary.WrongCount()+s.Summary.ErrorCount() > 0 {
					t.Errorf("%s: %d calls, %d wrong, errors %v: %s", s.Name, s.Summary.Calls, s.Summary.WrongCount(), s.Summary.Errors, s.Rounds[0].FirstError)
				}
			}
			if ran < 4 {
				t.Errorf("only %d strategies ran", ran)
			}
		})
	}
	nothingLeftOnServer(t)
}

func TestBenchCompare(t *testing.T) {
	dir := t.TempDir()
	var names []string
	for i := range 2 {
		p := start(t, nil, "bench", "--private", "--rounds", "4", "--duration", "100ms", "--sweep", "none", "--strategies", "direct,carpool",
			"--format", "json", "--seed", fmt.Sprint(i))
		if status := p.waitFor(benchPatience); status != 0 {
			t.Fatalf("status %d: %s", status, p.stderr)
		}
		if !json.Valid([]byte(p.stdout.String())) {
			t.Fatal("it isn't JSON")
		}
		names = append(names, write(t, dir, fmt.Sprintf("%d.json", i), p.stdout.String()))
	}
	status, out, problems := runHere(nil, "bench", "compare", names[0], names[1])
	if status != 0 || !strings.Contains(out, "carpool") || !strings.Contains(out, "geomean") || !strings.Contains(out, "latency, 99 %") {
		t.Errorf("status %d: %s %s", status, out, problems)
	}
	// What two runs show depends on what else the machine does; one run is like itself.
	status, out, problems = runHere(nil, "bench", "compare", names[0], names[0])
	if status != 0 || !strings.Contains(out, "The rounds show") {
		t.Errorf("status %d: %s %s", status, out, problems)
	}
	status, _, problems = runHere(nil, "bench", "compare", names[0])
	if status != exitUsage || !strings.Contains(problems, "takes two reports") {
		t.Errorf("status %d: %s", status, problems)
	}
	whole, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(whole), `"schema": 1,`, `"schema": 99,`, 1)
	status, _, problems = runHere(nil, "bench", "compare", names[0], write(t, dir, "bad.json", newer))
	if status != 1 || !strings.Contains(problems, "bad.json") || !strings.Contains(problems, "99") {
		t.Errorf("status %d: %s", status, problems)
	}
}
