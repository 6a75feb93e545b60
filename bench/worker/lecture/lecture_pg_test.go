package lecture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/bench/worker"
	"carpool/bench/workload"
)

// password is one that needs escapes in a URL, and that no message may show.
const password = "s3cret/%@:"

var postgres *pgserver.Server

// find is Find, once for all tests.
var find = sync.OnceValues(func() (Python, error) { return Find(context.Background()) })

func TestMain(m *testing.M) {
	options := pgserver.Options{
		MaxConnections: 20,
		Roles:          []pgserver.Role{{Name: "reader", Password: password}},
		HBA:            []string{"host all reader 127.0.0.1/32 scram-sha-256"},
	}
	os.Exit(pgtest.Main(m, options, func(s *pgserver.Server) { postgres = s }))
}

// python is one with all that the program can use.
func python(t *testing.T) Python {
	t.Helper()
	found, err := find()
	if err != nil {
		t.Fatal(err)
	}
	if found.SQLAlchemy == "" {
		t.Fatalf("%s has psycopg2 but no SQLAlchemy: install Debian's python3-sqlalchemy, or sqlalchemy with pip", found.Path)
	}
	return found
}

// books fills the table of books in a schema of the test's own.
func books(t *testing.T, schema string) worker.Place {
	t.Helper()
	place := worker.Place{Schema: schema, Scale: 1}
	made, err := workload.Find("books")
	if err != nil {
		t.Fatal(err)
	}
	sql := append([]string{"DROP SCHEMA IF EXISTS " + schema + " CASCADE", "CREATE SCHEMA " + schema}, made.Tables(workload.Place(place))...)
	sql = append(sql, "GRANT USAGE ON SCHEMA "+schema+" TO reader", "GRANT SELECT ON ALL TABLES IN SCHEMA "+schema+" TO reader")
	for _, command := range sql {
		if err := postgres.Exec(t.Context(), "", command); err != nil {
			t.Fatal(err)
		}
	}
	return place
}

// line is any line that a worker writes.
type line struct {
	Ready    *struct{ Connected, Idle int }
	Progress *struct{ Calls, Errors int64 }
	Result   *worker.Result
	Failed   string
}

// process is a running program, as its parent sees it.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	stderr bytes.Buffer
	ended  func() error
}

func begin(t *testing.T, job worker.Job) *process {
	t.Helper()
	command, err := python(t).Command(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(command[0], command[1:]...)}
	p.cmd.Env = pgserver.Environment(t.TempDir())
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewScanner(stdout)
	p.stdout.Buffer(nil, 4<<20)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.ended = sync.OnceValue(p.cmd.Wait)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.ended()
		if strings.Contains(p.stderr.String(), "Traceback") {
			t.Errorf("it stumbled: %s", p.stderr.String())
		}
	})
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	p.write(string(text))
	return p
}

func (p *process) write(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, text+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// read is the next line, the zero one at the end.
func (p *process) read() line {
	p.t.Helper()
	var l line
	if p.stdout.Scan() {
		if strings.Contains(p.stdout.Text(), password) {
			p.t.Errorf("the password is in %s", p.stdout.Text())
		}
		decoder := json.NewDecoder(bytes.NewReader(p.stdout.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&l); err != nil {
			p.t.Fatalf("%s: %v", p.stdout.Text(), err)
		}
	}
	return l
}

// run takes a job from its start to its result.
func run(t *testing.T, job worker.Job) (worker.Result, int) {
	t.Helper()
	p := begin(t, job)
	ready := p.read()
	if ready.Ready == nil {
		t.Fatalf("not ready: %+v", ready)
	}
	p.write("go")
	return p.result(), ready.Ready.Connected
}

// result reads up to the result and the end.
func (p *process) result() worker.Result {
	p.t.Helper()
	var progress int64
	for {
		l := p.read()
		switch {
		case l.Progress != nil:
			if l.Progress.Calls < progress {
				p.t.Errorf("%d calls after %d", l.Progress.Calls, progress)
			}
			progress = l.Progress.Calls
		case l.Result != nil:
			if err := p.ended(); err != nil {
				p.t.Error(err)
			}
			if l.Result.Calls < progress {
				p.t.Errorf("%d calls in the end after %d", l.Result.Calls, progress)
			}
			return *l.Result
		default:
			p.t.Fatalf("no result: %+v", l)
		}
	}
}

// job is one of 300 ms.
func job(technique worker.Technique, place worker.Place) worker.Job {
	return worker.Job{
		Technique: technique, URL: postgres.URL("reader", ""), Protocol: worker.Simple, Workload: "books", Place: place,
		Clients: 8, FirstClient: 8, PoolSize: 3, Duration: 300 * time.Millisecond, Seed: 1,
	}
}

func checkLatencies(t *testing.T, r worker.Result) {
	t.Helper()
	var counted int64
	for _, pair := range r.Latency {
		counted += pair[1]
		if pair[0] <= 0 || pair[0] > int64(time.Minute) {
			t.Errorf("a call of %d ns", pair[0])
		}
	}
	ordered := slices.IsSortedFunc(r.Latency, func(a, b [2]int64) int { return int(a[0] - b[0]) })
	if counted != r.Calls || !ordered {
		t.Errorf("latencies of %d calls, of which there were %d; in order: %t", counted, r.Calls, ordered)
	}
}

func TestEveryTechnique(t *testing.T) {
	place := books(t, "techniques")
	for _, row := range []struct {
		technique worker.Technique
		connected int
	}{
		{worker.Connect, 0},
		{worker.Global, 1},
		{worker.GlobalUnsafe, 1},
		{worker.DriverPool, 3},
		{SQLAlchemyPool, 3},
	} {
		for _, name := range []string{"books", "select1"} {
			t.Run(string(row.technique)+" "+name, func(t *testing.T) {
				job := job(row.technique, place)
				job.Workload = name
				r, connected := run(t, job)
				if connected != row.connected {
					t.Errorf("%d connections were ready, want %d", connected, row.connected)
				}
				if r.Calls == 0 || r.Elapsed < job.Duration || r.Elapsed > 5*time.Second || r.CPU <= 0 || r.CPU > time.Minute {
					t.Errorf("%d calls in %v, CPU time %v", r.Calls, r.Elapsed, r.CPU)
				}
				checkLatencies(t, r)
				if r.WrongAnswers > 0 || r.ProtocolErrors > 0 || len(r.Errors) > 0 || r.FirstError != "" {
					t.Errorf("what went wrong: %+v", r)
				}
				// psycopg2 keeps the answers apart even there; the transactions are what mixes.
				if mixes := row.technique == worker.GlobalUnsafe; mixes != (r.MixedTransactions > 0) || mixes != (len(r.Examples) > 0) {
					t.Errorf("%d mixed transactions, examples %q", r.MixedTransactions, r.Examples)
				}
				for _, example := range r.Examples {
					var thread int // counted from 1, where clients are from 0
					if _, err := fmt.Sscanf(example, "thread %d ", &thread); err != nil || thread <= job.FirstClient || thread > job.FirstClient+job.Clients {
						t.Errorf("whose is %q?", example)
					}
				}
			})
		}
	}
}

func TestCallsAndThinkTime(t *testing.T) {
	place := books(t, "counted")
	counted := job(worker.DriverPool, place)
	counted.Duration, counted.Calls, counted.PoolSize = 0, 501, 0
	if r, connected := run(t, counted); r.Calls != 501 || connected != counted.Clients || len(r.Errors) > 0 {
		t.Errorf("%d calls on %d connections, errors %v", r.Calls, connected, r.Errors)
	}
	thoughtful := job(worker.DriverPool, place)
	thoughtful.ThinkTime = 100 * time.Millisecond
	// Each client begins at most one call in each tenth of a second.
	if r, _ := run(t, thoughtful); r.Calls == 0 || r.Calls > 3*8 {
		t.Errorf("%d calls with a pause after each", r.Calls)
	}
}

func TestURLsOfEveryKind(t *testing.T) {
	place := books(t, "places")
	socket := strings.TrimSuffix(postgres.SocketPath(), fmt.Sprintf("/.s.PGSQL.%d", postgres.Port()))
	unix := fmt.Sprintf("postgres://postgres@/postgres?host=%s&port=%d", strings.ReplaceAll(socket, "/", "%2F"), postgres.Port())
	for _, url := range []string{unix, strings.Replace(unix, "postgres:", "postgresql:", 1), strings.Replace(postgres.URL("reader", ""), "postgres:", "postgresql:", 1)} {
		for _, technique := range []worker.Technique{worker.Global, SQLAlchemyPool} {
			there := job(technique, place)
			there.URL, there.Duration, there.Calls = url, 0, 50
			if r, _ := run(t, there); r.Calls != 50 {
				t.Errorf("%s: %d calls, %s", technique, r.Calls, r.FirstError)
			}
		}
	}
}

func TestErrorsAreCountedAndSurvived(t *testing.T) {
	place := books(t, "outage")
	for _, technique := range []worker.Technique{worker.Connect, worker.Global, worker.GlobalUnsafe, worker.DriverPool, SQLAlchemyPool} {
		t.Run(string(technique), func(t *testing.T) {
			disturbed := job(technique, place)
			disturbed.Duration = time.Hour
			p := begin(t, disturbed)
			if l := p.read(); l.Ready == nil {
				t.Fatalf("not ready: %+v", l)
			}
			p.write("go")
			// until waits for a progress and returns its calls.
			until := func(what string, enough func(calls, errors int64) bool) int64 {
				for {
					l := p.read()
					if l.Progress == nil {
						t.Fatalf("waiting for %s: %+v", what, l)
					}
					if enough(l.Progress.Calls, l.Progress.Errors) {
						return l.Progress.Calls
					}
				}
			}
			change := func(sql string) {
				if err := postgres.Exec(t.Context(), "", sql); err != nil {
					t.Fatal(err)
				}
			}
			until("calls", func(calls, _ int64) bool { return calls > 0 })
			change("ALTER TABLE outage.books RENAME TO elsewhere")
			var failed int64
			before := until("errors", func(_, errors int64) bool {
				failed = errors
				return errors > 0
			})
			change("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'")
			until("more errors", func(_, errors int64) bool { return errors > failed })
			change("ALTER TABLE outage.elsewhere RENAME TO books")
			until("more calls", func(calls, _ int64) bool { return calls > before })
			p.write("stop")
			r := p.result()
			checkLatencies(t, r)
			if r.Errors["42P01"] == 0 || r.FirstError == "" {
				t.Errorf("errors %v, the first: %s", r.Errors, r.FirstError)
			}
		})
	}
}

func TestTooManyConnectionsHaveTheirCode(t *testing.T) {
	crowd := job(worker.Connect, books(t, "crowd"))
	crowd.Clients = 60 // of a server that has 20
	if r, _ := run(t, crowd); r.Errors["53300"] == 0 || r.Calls == 0 {
		t.Errorf("%d calls, errors %v, the first: %s", r.Calls, r.Errors, r.FirstError)
	}
}

func TestGroupRunsTheProgram(t *testing.T) {
	command, err := python(t).Command(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	all := job(worker.GlobalUnsafe, books(t, "together"))
	all.FirstClient = 0
	group := worker.Group{Command: command, Environ: pgserver.Environment(t.TempDir())}
	var reported worker.Progress
	r, err := group.Run(t.Context(), worker.Split(all, 2), nil, func(p worker.Progress) { reported = p })
	if err != nil {
		t.Fatal(err)
	}
	if r.Calls == 0 || reported.Calls == 0 || r.MixedTransactions == 0 || len(r.Examples) == 0 || len(r.Errors) > 0 {
		t.Errorf("%d calls, %d reported, %d mixed, examples %q, errors %v",
			r.Calls, reported.Calls, r.MixedTransactions, r.Examples, r.Errors)
	}
	checkLatencies(t, r)
	all.Rate = 5
	if _, err := group.Run(t.Context(), worker.Split(all, 2), nil, nil); err == nil || !strings.Contains(err.Error(), Check(all).Error()) {
		t.Errorf("a job that can't be done: %v", err)
	}
}

func TestStopAndEndOfParent(t *testing.T) {
	endless := job(worker.Global, books(t, "endless"))
	endless.Duration = time.Hour
	p := begin(t, endless)
	if l := p.read(); l.Ready == nil {
		t.Fatalf("not ready: %+v", l)
	}
	p.write("go")
	for l := p.read(); l.Progress == nil || l.Progress.Calls == 0; l = p.read() {
		if l == (line{}) {
			t.Fatal("it has ended before it was stopped")
		}
	}
	p.write("stop")
	if r := p.result(); r.Calls == 0 {
		t.Errorf("%+v", r)
	}
	for _, when := range []string{"before the job's start", "while it runs"} {
		p := begin(t, endless)
		if l := p.read(); l.Ready == nil {
			t.Fatalf("not ready: %+v", l)
		}
		if when == "while it runs" {
			p.write("go")
			p.read()
		}
		if err := p.stdin.Close(); err != nil {
			t.Fatal(err)
		}
		for p.read() != (line{}) { // to the end of its output
		}
		if err := p.ended(); err == nil {
			t.Errorf("%s: a worker without a parent ends well", when)
		}
	}
}

func TestWhatCantBeDoneIsSaid(t *testing.T) {
	place := books(t, "refused")
	for _, row := range []struct {
		change func(*worker.Job)
		want   string
	}{
		{func(j *worker.Job) { j.Technique = worker.Kept }, "doesn't know the technique kept"},
		{func(j *worker.Job) { j.Script = "SELECT 1;" }, "can't run scripts"},
		{func(j *worker.Job) { j.Workload = "tpcb" }, "the workloads books and select1, not tpcb"},
		{func(j *worker.Job) { j.Place.Schema = "a; DROP TABLE b" }, "a name that needs quotes"},
		{func(j *worker.Job) { j.Protocol = worker.Prepared }, "the simple protocol only, not the prepared one"},
		{func(j *worker.Job) { j.Rate = 10 }, "at a given rate"},
		{func(j *worker.Job) { j.IdleClients = 1 }, "no idle connections"},
		{func(j *worker.Job) { j.Clients = 0 }, "at least one client"},
		{func(j *worker.Job) { j.Duration = 0 }, "a duration or a number of calls"},
	} {
		job := job(worker.Global, place)
		row.change(&job)
		err := Check(job)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%v, want %q", err, row.want)
			continue
		}
		if l := begin(t, job).read(); l.Failed != err.Error() {
			t.Errorf("the program says %q, Check %q", l.Failed, err)
		}
	}
	if err := Check(job(worker.Global, place)); err != nil {
		t.Error(err)
	}
}

func TestStartThatFailsIsSaid(t *testing.T) {
	place := books(t, "unready")
	right := postgres.URL("reader", "")
	for name, row := range map[string]struct{ url, schema, want string }{
		"wrong password":   {strings.Replace(right, "reader:", "reader:x", 1), place.Schema, "password authentication failed"},
		"nobody there":     {"postgres://u:" + "pw@127.0.0.1:1/db", place.Schema, "onnection refused"},
		"broken URL":       {"postgres://u:half%zz@h/d", place.Schema, "the URL of the database can't be read"},
		"no table":         {right, "nowhere", "does not exist"},
		"no such database": {strings.Replace(right, "/postgres", "/nowhere", 1), place.Schema, "does not exist"},
	} {
		for _, technique := range []worker.Technique{worker.Connect, worker.Global, worker.DriverPool, SQLAlchemyPool} {
			job := job(technique, place)
			job.URL, job.Place.Schema = row.url, row.schema
			p := begin(t, job)
			l := p.read()
			if !strings.Contains(l.Failed, row.want) || strings.Contains(l.Failed, "half") || strings.Contains(l.Failed, "\n") {
				t.Errorf("%s, %s: %q, want %q", name, technique, l.Failed, row.want)
			}
			if err := p.ended(); err == nil {
				t.Errorf("%s, %s: it ended well", name, technique)
			}
		}
	}
}
