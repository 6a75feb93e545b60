// Package pgtest gives tests their private Postgres. A test that needs one fails, and never skips, on a machine where none
// can be started; the message says what to install.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"carpool/bench/pgserver"
)

// Main runs the tests of a package with one Postgres shared by all of them, which use is told before the first. It returns
// the status for os.Exit:
//
//	func TestMain(m *testing.M) {
//		os.Exit(pgtest.Main(m, pgserver.Options{}, func(s *pgserver.Server) { postgres = s }))
//	}
func Main(m *testing.M, options pgserver.Options, use func(*pgserver.Server)) int {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	server, err := pgserver.Start(ctx, options)
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests need a Postgres:", err)
		return 1
	}
	use(server)
	ended := make(chan int, 1)
	go func() { ended <- m.Run() }()
	status := 1
	select {
	case status = <-ended:
	case <-ctx.Done(): // interrupted: clean up, and leave the tests where they are
	}
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// Start gives one test a Postgres of its own, for tests that restart or break it. It is stopped when the test ends; when the
// test has failed, the end of its log is added to the test's output.
func Start(t testing.TB, options pgserver.Options) *pgserver.Server {
	t.Helper()
	server, err := pgserver.Start(context.Background(), options)
	if err != nil {
		t.Fatal("this test needs a Postgres: ", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log := server.Log()
			t.Log("the end of Postgres' log:\n" + log[max(0, len(log)-4000):])
		}
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}
