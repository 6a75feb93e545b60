package main

import (
	"context"
	"fmt"
	"os"

	"carpool/bench/compare"
	"carpool/bench/worker"

	"github.com/spf13/cobra"
)

// compareCommand is for whoever works on carpool, so it isn't shown in the help.
func compareCommand(p *program) *cobra.Command {
	var o compare.Options
	var pgbouncer string
	var protocols []string
	cmd := &cobra.Command{
		Use:    "compare",
		Short:  "Measure carpool beside PgBouncer on this machine.",
		Hidden: true,
		Args:   noArguments,
		RunE: func(*cobra.Command, []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("looking for carpool itself: %w", err)
			}
			o.Carpool = []string{self, "serve"}
			if pgbouncer != "" {
				o.PgBouncer = []string{pgbouncer}
			}
			for _, name := range protocols {
				o.Protocols = append(o.Protocols, worker.Protocol(name))
			}
			o.Out, o.Progress = p.stdout, p.stderr
			return p.interruptible(func(ctx context.Context) error { return compare.Run(ctx, o) })
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Quick, "quick", false, "a first look in about a minute, no numbers to publish")
	f.StringSliceVar(&o.Scenarios, "scenarios", nil, "only these: transactions, connect, idle, bulk, state (`names`)")
	f.IntVar(&o.Rounds, "rounds", 0, "rounds, of which the medians count")
	f.DurationVar(&o.RunTime, "time", 0, "length of each run")
	f.StringSliceVar(&protocols, "protocols", nil, "only these: simple, extended, prepared (`names`)")
	f.IntSliceVar(&o.Clients, "clients", nil, "`numbers` of clients")
	f.IntVar(&o.IdleClients, "idle-clients", 0, "clients for the scenario idle")
	f.StringVar(&pgbouncer, "pgbouncer", "", "`path` of the pgbouncer to compare with")
	return cmd
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("carpool %s takes no arguments, only flags", cmd.Name())}
	}
	return nil
}
