package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"carpool/bench/experiment"
	"carpool/bench/report"
	"carpool/bench/target"
	"carpool/bench/worker"
	"carpool/bench/workload"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// benchmark is what `carpool bench` was asked for.
type benchmark struct {
	program *program
	plan    experiment.Plan

	url       string // a database URL, or the name of the environment variable that holds one
	private   bool
	workload  string
	file      string // of a script
	protocol  string
	sslmode   string
	unix      bool
	rivals    []string
	sweeps    []string
	pgbouncer string
	format    string
	out       string
}

func benchCommand(p *program) *cobra.Command {
	b := &benchmark{program: p}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what pooling is worth: on a Postgres made for it, or on your own.",
		Long: `Run the same calls with each way to come by a connection: connect for every call, one connection for everything, a pool
inside each process, and through carpool and pgbouncer; and tell in one table what each costs.

Without --url and DATABASE_URL this runs on a private Postgres in a temporary directory. On your own server it works in a
schema that it creates and drops, uses at most a share of the free connections, and says so first.`,
		Example: `  carpool bench                                  everything, on a Postgres made for it
  DATABASE_URL=postgres://... carpool bench      on your own server
  carpool bench --workload tpcb --clients 64 --processes 8 --out results
  carpool bench --delay 2ms                      as if the database were on another host
  carpool bench --rate 2000                      at a fixed rate, whatever the answers do
  carpool bench compare before.json after.json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.complete(cmd.Flags()); err != nil {
				return err
			}
			return p.interruptible(b.run)
		},
	}
	b.addFlags(cmd.Flags())
	cmd.AddCommand(benchCompareCommand(p))
	return cmd
}

// The flags' values without being given.
const (
	defaultClients   = 32
	defaultProcesses = 4
	defaultPoolSize  = 8
	defaultRounds    = 5
	defaultDuration  = time.Second
	defaultShare     = 0.5
	defaultIdle      = 10_000
	defaultBusy      = 100 // clients that call beside the idle ones
)

var defaultSweeps = []string{"pool=1,2,4,8,16,32,64", "clients=1,4,16,64"}

func (b *benchmark) addFlags(f *pflag.FlagSet) {
	p := &b.plan
	f.StringVar(&b.url, "url", "", "the database: the `name` of the environment variable that holds its URL, or the URL (default DATABASE_URL, if set)")
	f.BoolVar(&b.private, "private", false, "use a private Postgres even though DATABASE_URL is set")
	f.Float64Var(&p.Share, "share", defaultShare, "`part` of your server's free connections that may be used")
	f.StringVar(&b.workload, "workload", "books", "what a call does: "+workloadNames())
	f.StringVar(&b.file, "file", "", "a script in pgbench's syntax instead of a workload; it works on your own tables")
	f.IntVar(&p.Scale, "scale", 1, "size of the tables of tpcb, in 100,000 accounts")
	f.StringSliceVar(&p.Strategies, "strategies", nil, "only these: "+strings.Join(experiment.Names(), ", "))
	f.StringArrayVar(&b.rivals, "rival", nil, "another pooler that runs already: `name=url`; may be repeated")
	f.StringVar(&b.pgbouncer, "pgbouncer", "", "`path` of pgbouncer (default: looked for)")
	f.StringVar(&b.protocol, "protocol", string(worker.Simple), "how statements are sent: simple, extended or prepared")
	f.IntVar(&p.Clients, "clients", defaultClients, "`number` of clients that call at the same time")
	f.IntVar(&p.Processes, "processes", defaultProcesses, "`number` of processes that they are spread over")
	f.IntVar(&p.PoolSize, "pool-size", defaultPoolSize, "`number` of server connections of a pooler, and of each process' own pool")
	f.IntVar(&p.Rounds, "rounds", defaultRounds, "`number` of rounds; each strategy has one turn in each")
	f.DurationVar(&p.Duration, "duration", defaultDuration, "how long a turn lasts")
	f.Int64Var(&p.Calls, "calls", 0, "`number` of calls after which a turn ends instead")
	f.DurationVar(&p.ThinkTime, "think-time", 0, "pause of a client between its calls")
	f.Float64Var(&p.Rate, "rate", 0, "calls a second that begin whether or not earlier ones are done; latency counts from when they should have begun")
	f.IntVar(&p.IdleClients, "idle-clients", defaultIdle, "`number` of idle connections, for the workload idle")
	f.DurationVar(&p.Delay, "delay", 0, "added to each round trip to the database, as if it were far away")
	f.StringVar(&b.sslmode, "sslmode", "", "disable, require, verify-ca or verify-full (default: what the URL says; disable for a private Postgres)")
	f.BoolVar(&b.unix, "unix", false, "connect over Unix sockets")
	f.Uint64Var(&p.Seed, "seed", 1, "`number` that decides all that is random")
	f.StringArrayVar(&b.sweeps, "sweep", nil, "also try other sizes: pool=1,2,4, clients=1,10,100, or none; may be repeated (default "+strings.Join(defaultSweeps, " and ")+")")
	f.StringVar(&b.format, "format", "table", "what is printed: "+strings.Join(benchFormatNames(), ", "))
	f.StringVar(&b.out, "out", "", "`directory` for the report in every format, with its plots")
}

func workloadNames() string {
	var names []string
	for _, w := range workload.All() {
		names = append(names, w.Name)
	}
	return strings.Join(names, ", ")
}

// complete makes the plan of the flags and checks it.
func (b *benchmark) complete(f *pflag.FlagSet) error {
	p := &b.plan
	if !slices.Contains(benchFormatNames(), b.format) {
		return usageError{fmt.Errorf("there is no format %q: %s are known", b.format, strings.Join(benchFormatNames(), ", "))}
	}
	if err := b.chooseWorkload(f); err != nil {
		return err
	}
	if err := b.chooseDatabase(); err != nil {
		return err
	}
	if p.Calls > 0 && !f.Changed("duration") {
		p.Duration = 0
	}
	if p.Processes > p.Clients && !f.Changed("processes") {
		p.Processes = max(1, p.Clients)
	}
	p.FitClients = !f.Changed("clients") && !f.Changed("processes") && !f.Changed("pool-size")
	for _, text := range b.rivals {
		name, url, _ := strings.Cut(text, "=")
		p.Rivals = append(p.Rivals, experiment.Rival{Name: name, URL: url})
	}
	if err := b.chooseSweeps(); err != nil {
		return err
	}
	p.CommandLine = b.commandLine(f)
	if err := p.Check(); err != nil {
		return usageError{err}
	}
	return nil
}

func (b *benchmark) chooseWorkload(f *pflag.FlagSet) error {
	p := &b.plan
	var err error
	switch {
	case b.file != "" && f.Changed("workload"):
		return usageError{errors.New("--file and --workload exclude each other")}
	case b.file != "":
		text, readErr := os.ReadFile(b.file)
		if readErr != nil {
			return fmt.Errorf("reading the script: %w", readErr)
		}
		p.Script = string(text)
		p.Workload, err = workload.Script(b.file, p.Script)
	default:
		p.Workload, err = workload.Find(b.workload)
	}
	if err != nil {
		return usageError{err}
	}
	p.Protocol = worker.Protocol(b.protocol)
	if !slices.Contains([]worker.Protocol{worker.Simple, worker.Extended, worker.Prepared}, p.Protocol) {
		return usageError{fmt.Errorf("there is no protocol %q: simple, extended and prepared are known", b.protocol)}
	}
	switch p.Workload.Shape {
	case workload.Idle:
		if !f.Changed("clients") {
			p.Clients = defaultBusy
		}
	default:
		if f.Changed("idle-clients") {
			return usageError{errors.New("--idle-clients is for --workload idle")}
		}
		p.IdleClients = 0
	}
	return nil
}

func (b *benchmark) chooseDatabase() error {
	p := &b.plan
	from := defaultURLVariable
	switch {
	case b.private && b.url != "":
		return usageError{errors.New("--private and --url exclude each other")}
	case b.private:
	case strings.Contains(b.url, "://"):
		p.URL, from = b.url, "--url"
	case b.url != "" && !isVariable(b.url):
		return usageError{errors.New("--url is a postgres:// URL or the name of an environment variable that holds one; what was given is neither")}
	case b.url != "":
		if p.URL, from = b.program.variable(b.url), b.url; p.URL == "" {
			return usageError{fmt.Errorf("--url: the environment variable %s isn't set", b.url)}
		}
	default:
		p.URL = b.program.variable(defaultURLVariable)
	}
	if p.URL != "" {
		if _, err := target.ParseServer(p.URL); err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
	}
	p.SSLMode = b.sslmode
	p.Unix = b.unix
	if p.URL != "" {
		p.Binaries = b.program.variable(binariesVariable) // pgbench may be all that is there
		return nil
	}
	var err error
	p.Binaries, err = b.program.postgresPrograms()
	return err
}

// isVariable tells whether a text can be the name of an environment variable. What can't may be a URL with a mistake in it, and
// isn't repeated.
func isVariable(text string) bool {
	for i, c := range []byte(text) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return text != ""
}

// chooseSweeps reads --sweep.
func (b *benchmark) chooseSweeps() error {
	sweeps := b.sweeps
	if len(sweeps) == 0 && b.plan.Workload.Shape == workload.Calls {
		sweeps = defaultSweeps
	}
	if slices.Equal(sweeps, []string{"none"}) {
		return nil
	}
	for _, text := range sweeps {
		setting, list, ok := strings.Cut(text, "=")
		var values []int
		for word := range strings.SplitSeq(list, ",") {
			value, err := strconv.Atoi(strings.TrimSpace(word))
			ok = ok && err == nil
			values = append(values, value)
		}
		switch {
		case ok && setting == "pool":
			b.plan.SweepPool = values
		case ok && setting == "clients":
			b.plan.SweepClients = values
		default:
			return usageError{fmt.Errorf("--sweep is pool=1,2,4 or clients=1,10,100 or none, not %q", text)}
		}
	}
	return nil
}

// commandLine is what was typed, for the report, without the URLs that may hold a password.
func (b *benchmark) commandLine(f *pflag.FlagSet) string {
	words := []string{"carpool", "bench"}
	f.Visit(func(flag *pflag.Flag) {
		value := flag.Value.String()
		switch {
		case flag.Name == "rival", flag.Name == "url" && !isVariable(value):
			value = "..."
		case flag.Value.Type() == "stringSlice", flag.Value.Type() == "stringArray":
			value = strings.Trim(value, "[]")
		}
		words = append(words, "--"+flag.Name+"="+value)
	})
	return strings.Join(words, " ")
}

func (b *benchmark) run(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("looking for carpool itself: %w", err)
	}
	if b.out != "" {
		if err := os.MkdirAll(b.out, 0o755); err != nil {
			return fmt.Errorf("making the directory for the report: %w", err)
		}
	}
	display := newBenchDisplay(b.program.stderr)
	result, runErr := experiment.Run(ctx, b.plan, experiment.Tools{
		Worker:     []string{self, benchWorkerName},
		NullServer: []string{self, benchNullName},
		Carpool:    []string{self, "serve"},
		PgBouncer:  b.pgbouncer,
		Version:    strings.TrimPrefix(version(), "carpool "),
		Commit:     commit,
		Note:       display.note,
		Progress:   display.show,
	})
	display.finish()
	if len(result.Strategies) == 0 {
		if b.out != "" {
			_ = os.Remove(b.out) // if it is empty, which it is if it was made for this
		}
		return runErr
	}
	return errors.Join(b.tell(result), runErr)
}

// tell prints the report, and keeps it in the directory if there is one.
func (b *benchmark) tell(result report.Report) error {
	if err := printReport(b.program.stdout, result, b.format); err != nil {
		return err
	}
	if b.out == "" {
		return nil
	}
	files, err := keepReport(b.out, result)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.program.stderr, "\n%d files are in %s: report.html has the pictures, report.json all that was measured.\n", files, b.out)
	return nil
}
