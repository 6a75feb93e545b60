package worker

import (
	"context"
	"fmt"
	"os"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

var postgres *pgserver.Server

// childVariable makes the test binary a worker process.
const childVariable = "CARPOOL_TEST_WORKER"

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "serve":
		if err := Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "":
		os.Exit(pgtest.Main(m, pgserver.Options{MaxConnections: 120}, func(s *pgserver.Server) { postgres = s }))
	}
}
