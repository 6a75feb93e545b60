package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"carpool/cmd/sidecar"
	"carpool/cmd/supervise"
	"carpool/config"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// execOptions are what the command line of `carpool exec` says.
type execOptions struct {
	sidecar.Options

	listen      string
	share       string
	noPool      bool
	explain     bool
	drain       time.Duration
	urlFile     string
	urlCommand  string
	urlInterval time.Duration
}

// commandEnded is how `carpool exec` ends when there is nothing more to be said: with the status of its command.
type commandEnded struct{ status int }

func (e commandEnded) Error() string {
	return fmt.Sprintf("the command ended with status %d", e.status)
}

const (
	// defaultDrain leaves some of the 30 seconds that platforms give from TERM to KILL.
	defaultDrain       = 25 * time.Second
	defaultURLInterval = 30 * time.Second
	urlFileInterval    = time.Second
)

func execCommand(p *program) *cobra.Command {
	o := &execOptions{}
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command behind a pooler of its own.",
		Long: `Run a command behind a pooler of its own: COMMAND gets a DATABASE_URL that leads to carpool, which shares a few server
connections among all its processes. Signals, exit status, standard streams and terminal are as without carpool.

  web: carpool exec -- gunicorn app:app`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if name := emptyFlag(cmd.Flags()); name != "" {
				return fmt.Errorf("--%s is empty", name)
			}
			o.ListenAddress, o.ListenPort = splitListen(o.listen)
			if inner, ok := strings.CutPrefix(o.ListenAddress, "["); ok { // an IPv6 address without a port
				o.ListenAddress = strings.TrimSuffix(inner, "]")
			}
			return p.exec(o, args)
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if _, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			return err // the line is understood, a value in it is wrong
		}
		return explainFlag(cmd, err)
	})
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows the command's name is the command's
	f.StringArrayVar(&o.URLs, "url", nil, "`name` of an environment variable that holds a database URL; may be repeated (default DATABASE_URL)")
	f.StringVar(&o.Mode, "mode", "", "`mode` that says when a server is given back: transaction (default) or session")
	f.StringVar(&o.PoolSize, "pool-size", "", "`number` of server connections for each URL (default 1, and 1 in reserve)")
	f.StringVar(&o.share, "share", "", "instead, a `share` of the connections that the server allows, such as 1/8, for each URL")
	f.StringVar(&o.listen, "listen", "", "`address` to listen on (default 127.0.0.1 and a free port)")
	f.StringVar(&o.UnixDir, "unix", "", "`directory` for a Unix socket to listen on instead")
	f.DurationVar(&o.drain, "drain", defaultDrain, "how long what the command leaves behind may go on")
	f.StringVar(&o.urlFile, "url-file", "", "`file` with the URL for the first variable; a new one in it is taken over at once")
	f.StringVar(&o.urlCommand, "url-command", "", "shell `command` that prints the URL for the first variable; run again from time to time")
	f.DurationVar(&o.urlInterval, "url-interval", defaultURLInterval, "how often --url-command is run")
	f.StringVar(&o.Metrics, "metrics", "", "`address` for the HTTP server with /metrics, such as :9187 (default none)")
	f.StringVar(&o.LogLevel, "log-level", "", "`level` of what is logged: debug, info, warn or error")
	f.StringArrayVar(&o.Set, "set", nil, "set anything that a configuration file can: `name=value`; may be repeated")
	f.BoolVar(&o.KeepDirect, "keep-direct", false, "give the command the original URL too, as DATABASE_URL_DIRECT")
	f.StringArrayVar(&o.Keep, "keep", nil, "`name` of an environment variable to leave as it is, even with the real password in it; may be repeated")
	f.BoolVar(&o.noPool, "no-pool", false, "start the command as if carpool weren't there")
	f.BoolVar(&o.explain, "explain", false, "print what would be done, without passwords, and start nothing but --url-command")
	return cmd
}

// emptyFlag returns the name of a flag that was given with nothing for a value, as a variable does that isn't set; "" if there is
// none.
func emptyFlag(flags *pflag.FlagSet) string {
	name := ""
	flags.Visit(func(f *pflag.Flag) {
		if f.Value.String() == "" {
			name = f.Name
		}
	})
	return name
}

// witnessName is what `carpool exec` runs its witness as.
const witnessName = "exec-witness"

// witnessCommand is what a child of `carpool exec` runs that tells signals to everybody from signals to carpool alone.
func witnessCommand() *cobra.Command {
	return &cobra.Command{
		Use: witnessName, Hidden: true, Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			releaseProgram()
			return supervise.Witness()
		},
	}
}

// check is what is wrong with the options as such.
func (o *execOptions) check(args []string) error {
	switch {
	case len(args) == 0 && !o.explain:
		return errors.New("nothing to run: carpool exec -- COMMAND")
	case o.share != "" && o.PoolSize != "":
		return errors.New("--share and --pool-size exclude each other")
	case o.urlFile != "" && o.urlCommand != "":
		return errors.New("--url-file and --url-command exclude each other")
	}
	return nil
}

// checkValues is what is wrong with the options' values.
func (o *execOptions) checkValues() error {
	if o.drain <= 0 || o.urlInterval <= 0 {
		return errors.New("--drain and --url-interval must be greater than 0")
	}
	if o.share != "" {
		if _, err := sidecar.ParseShare(o.share); err != nil {
			return fmt.Errorf("--share: %w", err)
		}
	}
	return nil
}

// exec runs a command line to its end. The error is nearly always a commandEnded.
func (p *program) exec(o *execOptions, args []string) error {
	if err := o.check(args); err != nil {
		return usageError{err}
	}
	err := p.runExec(o, args)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		// Who reads them sees the command's output too.
		for _, problem := range problems {
			fmt.Fprintf(p.stderr, "carpool: %s\n", problem)
		}
		return commandEnded{exitFailure}
	}
	return err
}

func (p *program) runExec(o *execOptions, args []string) error {
	if err := o.checkValues(); err != nil {
		return err
	}
	if o.noPool {
		return p.become(args)
	}
	plan, err := sidecar.NewPlan(p.environ, o.Options)
	if err != nil {
		return err
	}
	if !plan.Enabled {
		if o.explain {
			fmt.Fprintln(p.stdout, "The command would be started as if carpool weren't there, as the environment says.")
			return nil
		}
		return p.become(args)
	}
	e := &execution{program: p, options: o, plan: plan, command: args}
	return e.run()
}

// become puts a command in the place of this process. It returns only if that isn't possible.
func (p *program) become(args []string) error {
	restoreSignals(p.ignored)
	return p.notStarted(supervise.Exec(supervise.Command{Args: args, Environ: p.environ}))
}

// notStarted says why the command hasn't started, and returns what to end with.
func (p *program) notStarted(err error) error {
	problem, ok := errors.AsType[*supervise.StartError](err)
	if !ok {
		return err
	}
	fmt.Fprintf(p.stderr, "carpool: %v\n", err)
	return commandEnded{problem.Status}
}
