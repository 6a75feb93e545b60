package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"carpool/bench"
	"carpool/bench/pgserver"
	"carpool/bench/worker"
	"carpool/config"
	"carpool/proxy"
	"carpool/proxy/admin"

	"github.com/spf13/cobra"
)

// demo is what `carpool demo` was asked for.
type demo struct {
	program  *program
	clients  int
	poolSize int
	duration time.Duration
	keep     bool
}

// The demo's own user and databases.
const (
	demoName     = "demo" // of the user, and of the database behind carpool
	demoPassword = "demo"
	straightName = "straight" // of the database that carpool isn't before
	demoWorkload = "prepared" // a row by its key
)

// binariesVariable names the directory of Postgres's programs.
const binariesVariable = config.EnvPrefix + "PGBIN"

const (
	// spareConnections are for those who count the others.
	spareConnections = 10
	// maxDirect bounds what Postgres is asked to take without a pooler: each
	// client is a process there.
	maxDirect = 500
)

func demoCommand(p *program) *cobra.Command {
	d := &demo{program: p}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See many clients share a few server connections, on a Postgres made for it.",
		Long: `Start a private Postgres in a temporary directory and carpool in front of it, let clients work through carpool and then
straight on Postgres, and show both side by side. Everything is stopped and removed at the end.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if d.clients < 1 || d.poolSize < 1 || d.duration <= 0 {
				return usageError{errors.New("--clients, --pool-size and --duration must be greater than 0")}
			}
			return p.interruptible(d.run)
		},
	}
	f := cmd.Flags()
	f.IntVar(&d.clients, "clients", 200, "`number` of client connections")
	f.IntVar(&d.poolSize, "pool-size", 10, "`number` of server connections that they share")
	f.DurationVar(&d.duration, "duration", 10*time.Second, "how long each of the two loads lasts")
	f.BoolVar(&d.keep, "keep", false, "leave Postgres and carpool up until Ctrl-C")
	return cmd
}

// run does the whole demo. It returns when everything is stopped and removed.
func (d *demo) run(ctx context.Context) (err error) {
	out := d.program.stdout
	programs, err := d.program.postgresPrograms()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "Starting a private Postgres in a temporary directory.")
	postgres, err := pgserver.Start(ctx, pgserver.Options{
		Binaries:       pgserver.Binaries{Dir: programs},
		MaxConnections: min(d.clients, maxDirect) + d.poolSize + spareConnections,
		Roles:          []pgserver.Role{{Name: demoName, Password: demoPassword, Superuser: true}},
		Databases:      []string{demoName},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, postgres.Stop()) }()
	if err := bench.Prepare(ctx, postgres.URL(demoName, demoName), demoWorkload, 1); err != nil {
		return err
	}
	// A database of its own, so that each load counts only its own connections.
	if err := postgres.Exec(ctx, "", "CREATE DATABASE "+straightName+" TEMPLATE "+demoName); err != nil {
		return err
	}
	pooler, err := d.startPooler(postgres.URL(demoName, demoName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pooler.stop()) }()
	fmt.Fprintf(out, "carpool listens on %s and shares %d server connections among its clients.\n\n", pooler.address(), d.poolSize)
	if err := d.compare(ctx, pooler, postgres); err != nil {
		return err
	}
	if !d.keep {
		return nil
	}
	fmt.Fprintf(out, "\nTo look around, until Ctrl-C:\n\n  psql '%s'\n  psql '%s' -c 'SHOW POOLS'\n", pooler.url(demoName), pooler.url("carpool"))
	select {
	case <-ctx.Done(): // as it was meant to end
		return nil
	case err := <-pooler.ended:
		pooler.ended <- err
		return errors.New("carpool has ended by itself")
	}
}

// postgresPrograms is the directory of Postgres's programs that the environment
// names, "" if they are to be looked for.
func (p *program) postgresPrograms() (string, error) {
	dir := p.variable(binariesVariable)
	if dir == "" {
		return "", nil
	}
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return "", fmt.Errorf("%s: %w; it is the directory of initdb and postgres", binariesVariable, err)
	}
	return dir, nil
}

// compare puts the same load on carpool and on Postgres and prints what came
// of it.
func (d *demo) compare(ctx context.Context, pooler *demoPooler, postgres *pgserver.Server) error {
	load := bench.Load{Clients: d.clients, Duration: d.duration, Workload: demoWorkload, Protocol: worker.Prepared}
	through, straight := load, load
	through.URL, through.Direct, through.Console = pooler.url(demoName), postgres.URL(demoName, demoName), pooler.url("carpool")
	straight.URL = postgres.URL(demoName, straightName)
	straight.Direct = straight.URL
	summary := bench.Summary{
		Heading: fmt.Sprintf("The same load for %s each: %d clients, each reading one row after another.", d.duration, d.clients),
		Columns: []bench.Column{d.measure(ctx, "through carpool", through)},
	}
	if failed := summary.Columns[0].Failed; failed != nil {
		return fmt.Errorf("the load through carpool: %w", failed)
	}
	summary.Columns = append(summary.Columns, d.measure(ctx, "straight to Postgres", straight))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	fmt.Fprintln(d.program.stdout)
	if err := bench.WriteSummary(d.program.stdout, summary); err != nil {
		return err
	}
	fmt.Fprintf(d.program.stdout, "\nThe connection string was %s\n", pooler.url(demoName))
	return nil
}

func (d *demo) measure(ctx context.Context, title string, load bench.Load) bench.Column {
	display := bench.NewDisplay(d.program.stderr, title)
	load.Progress = display.Show
	result, err := bench.Run(ctx, load)
	display.Finish()
	return bench.Column{Title: title, Result: result, Failed: err}
}

// demoPooler is a carpool in this process.
type demoPooler struct {
	proxy *proxy.Proxy
	log   *logWriter
	ended chan error // gets one error when the proxy has ended
}

func (d *demo) startPooler(direct string) (*demoPooler, error) {
	c, err := config.DefaultForURL(direct)
	if err != nil {
		return nil, err
	}
	c.ListenPort = 0
	c.DefaultPoolSize = d.poolSize
	c.MaxClientConn = d.clients + spareConnections
	c.AdminUsers = []string{demoName}
	c.LogLevel = config.LogWarn
	if problems := c.Validate(); len(problems) > 0 {
		return nil, problems
	}
	pooler := &demoPooler{log: newLogWriter(d.program.stderr), ended: make(chan error, 1)}
	log := newLog(c, pooler.log)
	if pooler.proxy, err = proxy.New(proxy.Options{Config: c, Log: log}); err != nil {
		pooler.log.Close()
		return nil, err
	}
	pooler.proxy.SetConsole(admin.New(pooler.proxy, version()))
	go func() { pooler.ended <- pooler.proxy.Run() }()
	return pooler, nil
}

func (p *demoPooler) address() string { return p.proxy.Addresses()[0] }

// url is how a client gets to a database through carpool.
func (p *demoPooler) url(database string) string {
	u := url.URL{Scheme: "postgres", Host: p.address(), Path: "/" + database, User: url.UserPassword(demoName, demoPassword)}
	return u.String()
}

func (p *demoPooler) stop() error {
	p.proxy.Shutdown(proxy.Immediate)
	err := <-p.ended
	p.log.Close()
	return err
}
