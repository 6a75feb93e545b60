package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"carpool/config"

	"github.com/spf13/cobra"
)

// program is what a process has from its surroundings.
type program struct {
	args    []string // without the program's name
	environ []string // as os.Environ has it
	signals <-chan os.Signal
	ignored []os.Signal // that were ignored when the process began
	stdout  io.Writer   // results
	stderr  io.Writer   // problems, progress, the log
}

// variable returns an environment variable, "" if it isn't set.
func (p *program) variable(name string) string {
	value, _ := p.lookup(name)
	return value
}

// lookup returns an environment variable, and whether it is set at all.
func (p *program) lookup(name string) (value string, set bool) {
	for _, entry := range p.environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value, set = v, true
		}
	}
	return value, set
}

// The statuses that carpool ends with.
const (
	exitOK       = 0
	exitFailure  = 1   // it didn't work, or the configuration is wrong
	exitUsage    = 2   // the command line isn't understood
	exitCanceled = 130 // stopped by Ctrl-C before it was done
)

// usageError is a command line that isn't understood.
type usageError struct{ error }

// errCanceled ends a command that a signal stopped before it was done.
var errCanceled = errors.New("stopped before it was done")

// run does what the command line asks for and returns the status to end with.
// Problems are printed to stderr, one a line.
func run(p *program) int {
	root := newRoot(p)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return exitOK
	}
	if ended, ok := errors.AsType[commandEnded](err); ok {
		return ended.status
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, problem := range problems {
			fmt.Fprintln(p.stderr, problem)
		}
		return exitFailure
	}
	fmt.Fprintf(p.stderr, "carpool: %v\n", err)
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintln(p.stderr, "carpool --help shows what there is.")
		return exitUsage
	}
	if errors.Is(err, errCanceled) {
		return exitCanceled
	}
	return exitFailure
}

func newRoot(p *program) *cobra.Command {
	s := &source{}
	root := &cobra.Command{
		Use:   "carpool [FILE]",
		Short: "A Postgres connection pooler: many clients share a few server connections.",
		Long: `carpool is a Postgres connection pooler: many clients share a few server connections.

  carpool serve carpool.ini           with a configuration file
  DATABASE_URL=... carpool serve      without one
  carpool pgbouncer.ini               as PgBouncer is started`,
		Args:              cobra.ArbitraryArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	showVersion := root.Flags().BoolP("version", "V", false, "print the version")
	s.addFlags(root.Flags())
	root.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case *showVersion:
			_, err := fmt.Fprintln(p.stdout, version())
			return err
		case len(args) == 0 && cmd.Flags().NFlag() == 0:
			return cmd.Help()
		case len(args) > 1:
			return usageError{fmt.Errorf("one configuration file is enough, %d were given", len(args))}
		case len(args) == 1 && !looksLikeFile(args[0]):
			return unknownCommand(cmd, args[0])
		}
		return p.serveFrom(s, args)
	}
	root.AddCommand(
		serveCommand(p), execCommand(p), checkCommand(p), benchCommand(p), demoCommand(p), healthcheckCommand(p),
		compareCommand(p), benchWorkerCommand(p), benchNullCommand(p), witnessCommand(),
	)
	root.SetArgs(p.args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(explainFlag)
	return root
}

// looksLikeFile tells a configuration file from a misspelt command.
func looksLikeFile(name string) bool {
	if strings.ContainsAny(name, "./") {
		return true
	}
	_, err := os.Stat(name)
	return err == nil
}

func unknownCommand(root *cobra.Command, name string) error {
	var names []string
	for _, c := range root.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return usageError{fmt.Errorf("there is neither a command nor a file called %q%s", name, didYouMean("", name, names))}
}
