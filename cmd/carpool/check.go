package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func checkCommand(p *program) *cobra.Command {
	s := &source{}
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Print what a configuration amounts to, or everything that is wrong with it.",
		Long: `Print what a configuration amounts to, with the environment and the flags over the file, and with stars for
passwords. If anything is wrong with it, print all of that instead, with file and line, and end with status 1.`,
		Args: atMostOneFile,
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := p.load(s, args)
			if err != nil {
				return err
			}
			for _, warning := range c.Warnings() {
				fmt.Fprintln(p.stderr, "warning:", warning)
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

// atMostOneFile is cobra's check of arguments for commands that take a
// configuration file.
func atMostOneFile(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("one configuration file is enough, %d were given", len(args))}
	}
	return nil
}
