package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/bench/workload"
)

// postgres is shared by the tests of this package.
var postgres *pgserver.Server

// childVariable makes the test binary something else: a worker process that says its process id on standard error, a parent
// of two worker processes that does the job on its standard input, or a worker that dies.
const childVariable = "CARPOOL_TEST_WORKER"

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "serve":
		fmt.Fprintln(os.Stderr, os.Getpid())
		if Serve(context.Background(), os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
	case "parent":
		var job Job
		if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
			panic(err)
		}
		group := workers("serve")
		group.Stderr = os.Stderr
		_, err := group.Run(context.Background(), Split(job, 2), func() { fmt.Println("started") }, nil)
		fmt.Println(err)
	case "die":
		fmt.Fprintln(os.Stderr, "the first complaint\nthe last complaint")
		os.Exit(3)
	case "":
		os.Exit(pgtest.Main(m, pgserver.Options{
			MaxConnections: 120, Roles: []pgserver.Role{{Name: "reader", Password: "se'cret"}},
			HBA: []string{"host all reader 127.0.0.1/32 scram-sha-256"},
		}, func(s *pgserver.Server) { postgres = s }))
	}
}

// workers are processes of this test binary.
func workers(mode string) Group {
	return Group{Command: []string{os.Args[0]}, Environ: append(os.Environ(), childVariable+"="+mode)}
}

// tables makes the tables of a workload in a schema of the test's own.
func tables(t testing.TB, name string) (workload.Workload, Place) {
	t.Helper()
	work, err := workload.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	place := Place{Schema: "t_" + strings.ToLower(strings.Map(letters, t.Name())) + "_" + strconv.Itoa(len(t.Name())), Scale: 1}
	if err := postgres.Exec(t.Context(), "", "CREATE SCHEMA "+place.Schema); err != nil {
		t.Fatal(err)
	}
	for _, sql := range work.Tables(place.workload()) {
		if err := postgres.Exec(t.Context(), "", sql); err != nil {
			t.Fatal(err)
		}
	}
	return work, place
}

func letters(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return -1
}

// job is one of some clients on the shared Postgres.
func job(technique Technique, place Place, clients int) Job {
	return Job{
		Technique: technique, URL: postgres.URL("", ""), Protocol: Simple, Workload: "books", Place: place, Clients: clients, Seed: 1,
	}
}

// named is a job whose connections can be told from those of other tests.
func named(t testing.TB, j Job, name string) Job {
	t.Helper()
	u, err := url.Parse(j.URL)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("application_name", name)
	u.RawQuery = query.Encode()
	j.URL = u.String()
	return j
}

// clientsOf is how many clients of that name Postgres has.
func clientsOf(t testing.TB, name string) int {
	t.Helper()
	text, err := postgres.Value(t.Context(), "", "SELECT count(*) FROM pg_stat_activity WHERE application_name = '"+name+"'")
	if err != nil {
		t.Fatal(err)
	}
	count, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// shown is a result without the part that is too long to be shown.
func shown(r Result) Result {
	r.Latency = nil
	return r
}

// total is how many calls the pairs of a result stand for.
func total(pairs [][2]int64) int64 {
	sum := int64(0)
	for _, pair := range pairs {
		sum += pair[1]
	}
	return sum
}

// slower is how many calls took at least so many nanoseconds.
func slower(pairs [][2]int64, nanoseconds int64) int64 {
	sum := int64(0)
	for _, pair := range pairs {
		if pair[0] >= nanoseconds {
			sum += pair[1]
		}
	}
	return sum
}

// leavesNoGoroutine fails the test when it ends with more goroutines than it began with.
func leavesNoGoroutine(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}
