package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"carpool/bench"
	"carpool/bench/pgserver"
	"carpool/bench/pooler"
	"carpool/bench/procfs"
	"carpool/bench/target"
	"carpool/bench/worker"
)

// Options says what Run compares and for how long. Carpool and Out must be set; zero values stand for the defaults.
type Options struct {
	Carpool     []string          // the command line to which the name of a configuration file is added, such as {"./carpool", "serve"}
	PgBouncer   []string          // the same; zero: the pgbouncer of this machine
	Scenarios   []string          // which, by the names in the package's documentation; zero: all
	Quick       bool              // smaller defaults: a first look in about a minute, no numbers to publish
	Rounds      int               // 5
	RunTime     time.Duration     // of each pgbench; 5 s
	Clients     []int             // 32 and 100
	Protocols   []worker.Protocol // of the scenarios transactions and state; simple, extended and prepared
	IdleClients int               // 10,000, or what the limit of open files permits
	BulkSize    int               // in MB; 1024
	Scale       int               // of pgbench's tables, in 100,000 rows; 10
	Settle      time.Duration     // that an idle pooler gets to give back memory; 5 s
	Out         io.Writer         // the tables
	Progress    io.Writer         // a line for each measurement; nil: none
}

// The names of the scenarios.
const (
	scenarioTransactions = "transactions"
	scenarioConnect      = "connect"
	scenarioIdle         = "idle"
	scenarioBulk         = "bulk"
	scenarioState        = "state"
)

var scenarios = [...]string{scenarioTransactions, scenarioConnect, scenarioIdle, scenarioBulk, scenarioState}

var protocols = [...]worker.Protocol{worker.Simple, worker.Extended, worker.Prepared}

const (
	poolSize      = 20
	maxClients    = 20_000
	serverReserve = 60 // Postgres connections beyond those of the pools
)

func (o Options) withDefaults() (Options, error) {
	if runtime.GOOS != "linux" {
		return o, errors.New("a comparison reads CPU time and memory from /proc, which only Linux has")
	}
	if len(o.Carpool) == 0 || o.Out == nil {
		return o, errors.New("a comparison needs carpool's command line and a writer for its tables")
	}
	for _, name := range o.Scenarios {
		if !slices.Contains(scenarios[:], name) {
			return o, fmt.Errorf("no scenario is called %q: %s are known", name, strings.Join(scenarios[:], ", "))
		}
	}
	for _, protocol := range o.Protocols {
		if !slices.Contains(protocols[:], protocol) {
			return o, fmt.Errorf("no protocol is called %q: simple, extended and prepared are known", protocol)
		}
	}
	if len(o.Scenarios) == 0 {
		o.Scenarios = scenarios[:]
	}
	full := Options{Rounds: 5, RunTime: 5 * time.Second, Clients: []int{32, 100}, IdleClients: 10_000, BulkSize: 1024, Scale: 10, Settle: 5 * time.Second}
	if o.Quick {
		full = Options{Rounds: 1, RunTime: 2 * time.Second, Clients: []int{32}, IdleClients: 1000, BulkSize: 128, Scale: 1, Settle: 2 * time.Second}
	}
	o.Rounds = orDefault(o.Rounds, full.Rounds)
	o.IdleClients = orDefault(o.IdleClients, full.IdleClients)
	o.BulkSize = orDefault(o.BulkSize, full.BulkSize)
	o.Scale = orDefault(o.Scale, full.Scale)
	o.RunTime = orDefault(o.RunTime, full.RunTime)
	o.Settle = orDefault(o.Settle, full.Settle)
	if len(o.Clients) == 0 {
		o.Clients = full.Clients
	}
	if len(o.Protocols) == 0 {
		o.Protocols = protocols[:]
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o, nil
}

func orDefault[N int | time.Duration](n, fallback N) N {
	if n <= 0 {
		return fallback
	}
	return n
}

// Run measures and prints. It blocks for minutes (rounds x cells x two poolers x run time); when ctx ends it stops what it
// has started and returns the cause.
func Run(ctx context.Context, options Options) error {
	o, err := options.withDefaults()
	if err != nil {
		return err
	}
	y, err := newYard(ctx, o)
	if err != nil {
		return stopped(ctx, err)
	}
	defer y.close()
	for _, scenario := range []struct {
		name string
		run  func(context.Context) error
	}{
		{scenarioTransactions, y.compareTransactions},
		{scenarioConnect, y.compareConnects},
		{scenarioIdle, y.compareIdle},
		{scenarioBulk, y.compareBulk},
		{scenarioState, y.compareState},
	} {
		if !slices.Contains(o.Scenarios, scenario.name) {
			continue
		}
		if err := scenario.run(ctx); err != nil {
			return stopped(ctx, fmt.Errorf("comparing %s: %w", scenario.name, err))
		}
	}
	return nil
}

// stopped is err, or why ctx ended: what a killed pgbench says then is of no interest.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("the comparison was stopped: %w", context.Cause(ctx))
	}
	return err
}

// yard is where the poolers run: the private Postgres and a directory for configuration files and logs.
type yard struct {
	Options
	postgres  *pgserver.Server
	dir       string
	pgbench   string
	carpool   pooler.Product
	pgbouncer pooler.Product
}

func newYard(ctx context.Context, o Options) (*yard, error) {
	y := &yard{Options: o}
	var err error
	if y.carpool, err = pooler.Carpool(ctx, o.Carpool); err != nil {
		return nil, err
	}
	if y.pgbouncer, err = pooler.PgBouncer(ctx, o.PgBouncer); err != nil {
		return nil, err
	}
	fmt.Fprintf(o.Progress, "starting a private Postgres and filling its tables (scale %d)\n", o.Scale)
	y.postgres, err = pgserver.Start(ctx, pgserver.Options{
		MaxConnections: 2*poolSize + 2*max(poolSize, slices.Max(o.Clients)) + serverReserve,
		Settings:       map[string]string{"shared_buffers": "512MB", "autovacuum": "off", "max_wal_size": "2GB"},
	})
	if err != nil {
		return nil, err
	}
	if err := y.prepare(ctx); err != nil {
		y.close()
		return nil, err
	}
	return y, nil
}

func (y *yard) prepare(ctx context.Context) error {
	var err error
	if y.pgbench, err = findPgbench(y.postgres.Binaries()); err != nil {
		return err
	}
	if y.dir, err = os.MkdirTemp(y.postgres.Dir(), "poolers-"); err != nil {
		return fmt.Errorf("making a directory for the poolers: %w", err)
	}
	if err := y.postgres.Owner().Give(y.dir); err != nil {
		return err
	}
	if err := bench.Prepare(ctx, y.postgres.URL("", ""), "tpcb", y.Scale); err != nil {
		return err
	}
	y.describe(ctx)
	return nil
}

// close stops Postgres and removes the directory. The poolers have been stopped by whoever launched them.
func (y *yard) close() {
	if err := y.postgres.Stop(); err != nil {
		fmt.Fprintln(y.Progress, err)
	}
}

// describe prints the conditions of the measurements.
func (y *yard) describe(ctx context.Context) {
	version, err := y.postgres.Value(ctx, "", "SHOW server_version")
	if err != nil {
		version = "of unknown version"
	}
	fmt.Fprintf(y.Out, "%s beside %s, before Postgres %s; %s.\n", y.carpool.Version, y.pgbouncer.Version, version, procfs.Describe())
	fmt.Fprintf(y.Out, "Loopback TCP, transaction mode, %d servers, trust. Medians of %d rounds, taken in turns.\n", poolSize, y.Rounds)
}

// transactionMode is how a pooler is launched for most scenarios.
func (y *yard) transactionMode() pooler.Settings { return y.settings(pooler.Transaction, poolSize) }

func (y *yard) settings(mode pooler.Mode, size int) pooler.Settings {
	server := target.Server{Host: y.postgres.Host(), Port: y.postgres.Port(), User: "postgres", Database: "postgres"}
	return pooler.Settings{Mode: mode, PoolSize: size, MaxClients: maxClients, Server: server, Dir: y.dir, Trust: true}
}

// end stops a pooler. What it leaves behind goes with the yard's directory.
func (y *yard) end(running *pooler.Running) {
	if err := running.End(); err != nil {
		fmt.Fprintln(y.Progress, err)
	}
}
