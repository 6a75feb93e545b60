package experiment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/target"
	"carpool/bench/worker"
)

// pgbenchTechnique is Postgres' own load generator making the same calls, each client on a kept connection: what the numbers
// of this harness can be checked against. It runs only when it is asked for.
const pgbenchTechnique worker.Technique = "pgbench"

// pgbenchObstacle says why pgbench can't play the clients, "" if it can.
func (e *experiment) pgbenchObstacle() string {
	switch {
	case e.plan.Script == "" && e.plan.Workload.Name != "select1":
		return "pgbench plays select1 and scripts only"
	case e.plan.Rate > 0 || e.plan.ThinkTime > 0 || e.plan.Duration == 0:
		return "pgbench plays a closed loop without think time, for a duration"
	}
	if _, err := e.findPgbench(); err != nil {
		return err.Error()
	}
	return ""
}

func (e *experiment) findPgbench() (string, error) {
	if path, err := exec.LookPath("pgbench"); err == nil {
		return path, nil
	}
	binaries := pgserver.Binaries{Dir: e.plan.Binaries}
	if binaries.Dir == "" {
		var err error
		if binaries, err = pgserver.Find(); err != nil {
			return "", errors.New("there is no pgbench on this machine")
		}
	}
	path := binaries.Path("pgbench")
	if _, err := os.Stat(path); err != nil {
		return "", errors.New("there is no pgbench on this machine")
	}
	return path, nil
}

// pgbench lets pgbench play the clients of a trial. It knows whole seconds only.
func (e *experiment) pgbench(ctx context.Context, z size, label string, start func()) (worker.Result, error) {
	path, err := e.findPgbench()
	if err != nil {
		return worker.Result{}, err
	}
	dir, err := os.MkdirTemp("", "carpool-bench-")
	if err != nil {
		return worker.Result{}, fmt.Errorf("making a directory for pgbench's script: %w", err)
	}
	defer os.RemoveAll(dir)
	script := filepath.Join(dir, "script.sql")
	text := e.plan.Script
	if text == "" {
		text = "SELECT 1;\n"
	}
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		return worker.Result{}, fmt.Errorf("writing pgbench's script: %w", err)
	}
	server := e.field.server
	password := server.Password
	server.Password = "" // the command line is for everybody to see
	cmd := exec.CommandContext(ctx, path, "--no-vacuum", "--protocol="+string(e.plan.protocol()), "--file="+script,
		"--client="+strconv.Itoa(z.clients), "--jobs="+strconv.Itoa(min(z.clients, z.processes*runtime.NumCPU())), // as many threads as ours have
		"--time="+strconv.Itoa(int(math.Ceil(e.plan.Duration.Seconds()))), server.URL(target.ApplicationName(label)))
	cmd.Env = append(os.Environ(), "PGPASSWORD="+password)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	start()
	out, err := cmd.Output()
	if err != nil {
		first, _, _ := bytes.Cut(bytes.TrimSpace(problems.Bytes()), []byte("\n")) // the others are the other clients'
		return worker.Result{}, fmt.Errorf("pgbench failed (%w): %s", err, first)
	}
	return parsePgbench(string(out), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
}

var (
	pgbenchCount = regexp.MustCompile(`(?m)^number of transactions actually processed: (\d+)`)
	pgbenchRate  = regexp.MustCompile(`(?m)^tps = ([0-9.]+) \((?:without initial connection time|excluding connections establishing)\)`)
)

// parsePgbench reads what pgbench prints at its end. It tells no latencies but their mean.
func parsePgbench(out string, cpu time.Duration) (worker.Result, error) {
	count, rate := pgbenchCount.FindStringSubmatch(out), pgbenchRate.FindStringSubmatch(out)
	if count == nil || rate == nil {
		return worker.Result{}, fmt.Errorf("pgbench didn't say how many transactions it did: %q", out)
	}
	calls, err := strconv.ParseInt(count[1], 10, 64)
	if err != nil {
		return worker.Result{}, fmt.Errorf("reading pgbench's number of transactions: %w", err)
	}
	perSecond, err := strconv.ParseFloat(rate[1], 64)
	if err != nil || perSecond <= 0 {
		return worker.Result{}, fmt.Errorf("reading pgbench's transactions a second: %q", rate[1])
	}
	return worker.Result{Calls: calls, Elapsed: time.Duration(float64(calls) / perSecond * float64(time.Second)), CPU: cpu}, nil
}
