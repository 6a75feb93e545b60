package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"carpool/config"
	"carpool/proxy"

	"github.com/spf13/cobra"
)

func checkCommand(p *program) *cobra.Command {
	s := &source{}
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Print what a configuration amounts to, or everything that is wrong with it.",
		Long: `Print what a configuration amounts to, with the environment and the flags over the file, and with stars for
passwords. If anything is wrong with it, or with a file that it names, print all of that instead, with file and line,
and end with status 1. A file that isn't there, or can't be read, is a warning: it may be elsewhere that the
configuration is for.`,
		Args: atMostOneFile,
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := p.load(s, args)
			if err != nil {
				return err
			}
			for _, warning := range c.Warnings() {
				fmt.Fprintln(p.stderr, "warning:", warning)
			}
			if err := p.checkFiles(c); err != nil {
				return err
			}
			return c.WriteRedacted(p.stdout)
		},
	}
	s.addFlags(cmd.Flags())
	for _, name := range []string{"daemon", "reboot", "quiet"} { // accepted, so that a command line can be checked as it is
		cmd.Flags().Lookup(name).Hidden = true
	}
	return cmd
}

// checkFiles is an error if carpool wouldn't start with the files that a
// configuration names. Those that can't be opened are warned of.
func (p *program) checkFiles(c *config.Config) error {
	var problems config.Problems
	for _, problem := range proxy.Check(c, slog.New(slog.DiscardHandler)) {
		if errors.Is(problem, fs.ErrNotExist) || errors.Is(problem, fs.ErrPermission) {
			fmt.Fprintln(p.stderr, "warning:", problem)
		} else {
			problems = append(problems, config.Problem{Message: problem.Error()})
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// atMostOneFile is cobra's check of arguments for commands that take a
// configuration file.
func atMostOneFile(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("one configuration file is enough, %d were given", len(args))}
	}
	return nil
}
