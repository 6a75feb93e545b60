package main

import (
	"context"
	"os"
	"runtime/debug"

	"carpool/bench/nullserver"
	"carpool/bench/worker"

	"github.com/spf13/cobra"
)

// The commands that `carpool bench` starts as processes of their own.
const (
	benchWorkerName = "bench-worker"
	benchNullName   = "bench-null"
)

// workerGCPercent lets a worker's heap of a few megabytes grow to some twenty before it is collected.
const workerGCPercent = 400

// benchWorkerCommand is one process of a benchmark's clients, told by its parent on stdin what to do.
func benchWorkerCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:    benchWorkerName,
		Short:  "Be one process of clients for carpool bench, which starts it.",
		Hidden: true,
		Args:   noArguments,
		RunE: func(*cobra.Command, []string) error {
			// What is measured is the connections, not this program's garbage collector.
			debug.SetGCPercent(workerGCPercent)
			return p.interruptible(func(ctx context.Context) error { return worker.Serve(ctx, os.Stdin, p.stdout) })
		},
	}
}

// benchNullCommand is the server that the harness measures itself against.
func benchNullCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:    benchNullName,
		Short:  "Be the server that only echoes for carpool bench, which starts it.",
		Hidden: true,
		Args:   noArguments,
		RunE: func(*cobra.Command, []string) error {
			return p.interruptible(func(ctx context.Context) error { return nullserver.Child(ctx, os.Stdin, p.stdout) })
		},
	}
}
