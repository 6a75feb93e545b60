package faults

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

var (
	full     = flag.Bool("full", false, "break everything at length, as make faults does")
	update   = flag.Bool("update", false, "write the figures in docs/reliability.md anew")
	postgres *pgserver.Server // for tests that don't break it
	binary   string           // carpool itself
)

// patience bounds everything that a test waits for: what takes longer hangs.
const patience = 40 * time.Second

// role is whom carpool's servers are logged in as, and nobody else is.
const role = "app"

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "carpool-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "carpool")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "./cmd/carpool")
	build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building carpool: %v\n%s", err, out)
		return 1
	}
	status := pgtest.Main(m, serverOptions(100), func(s *pgserver.Server) { postgres = s })
	if status == 0 && *update {
		if err := writeFigures(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return status
}

func serverOptions(connections int) pgserver.Options {
	return pgserver.Options{
		MaxConnections: connections, Roles: []pgserver.Role{{Name: role}}, Databases: []string{role},
		// What is acknowledged has to outlive the server's processes, though not the machine.
		Settings: map[string]string{"synchronous_commit": "on"},
	}
}

// eventually waits until something holds that nobody announces.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		<-ticker.C
	}
}

// either is short in the tests and long in make faults.
func either(short, long int) int {
	if *full {
		return long
	}
	return short
}
