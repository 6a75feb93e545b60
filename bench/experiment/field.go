package experiment

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"

	"carpool/bench/delay"
	"carpool/bench/pgserver"
	"carpool/bench/pooler"
	"carpool/bench/target"
	"carpool/bench/worker/lecture"
	"carpool/config"

	"github.com/jackc/pgx/v5/pgconn"
)

// field is where the trials run: the database, the delay before it, and what can be launched on this machine.
type field struct {
	database *target.Target
	server   target.Server // how clients and poolers reach the database: perhaps by the delay, perhaps by a socket
	delay    *delay.Proxy  // nil: none
	unix     bool
	tls      bool // clients use TLS to poolers as well

	carpool, pgbouncer pooler.Product
	noPgBouncer        error // why there is none
	python             lecture.Python
	pythonCommand      []string
	noPython           error  // why there is none
	dir                string // temporary, for the lecture's program
}

// openField starts or looks at the database, makes its tables, and finds out what there is to compare with. The plan is
// fitted to the database if it permits that.
func openField(ctx context.Context, plan *Plan, tools Tools) (*field, error) {
	f := &field{}
	for _, step := range []func() error{
		func() error { return f.findPoolers(ctx, tools) },
		func() error { return f.findPython(ctx, *plan) },
		func() error { return f.openDatabase(ctx, plan, tools) },
		func() error { return f.chooseWay(ctx, *plan) },
		func() error { return f.openDelay(ctx, *plan) },
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

func (f *field) findPoolers(ctx context.Context, tools Tools) error {
	var err error
	if f.carpool, err = pooler.Carpool(ctx, tools.Carpool); err != nil {
		return err
	}
	var command []string
	if tools.PgBouncer != "" {
		command = []string{tools.PgBouncer}
	}
	f.pgbouncer, f.noPgBouncer = pooler.PgBouncer(ctx, command)
	if tools.PgBouncer != "" {
		return f.noPgBouncer // it was asked for by name
	}
	return nil
}

// findPython looks for what the lecture's program needs, if it is to run, and writes the program down.
func (f *field) findPython(ctx context.Context, plan Plan) error {
	if !slices.ContainsFunc(plan.strategies(), func(s strategy) bool { return s.python }) {
		return nil
	}
	if f.python, f.noPython = lecture.Find(ctx); f.noPython != nil {
		return nil
	}
	var err error
	if f.dir, err = os.MkdirTemp("", "carpool-bench-"); err != nil {
		return fmt.Errorf("making a directory for the lecture's program: %w", err)
	}
	f.pythonCommand, err = f.python.Command(f.dir)
	return err
}

func (f *field) openDatabase(ctx context.Context, plan *Plan, tools Tools) error {
	var err error
	if plan.URL == "" {
		tools.Note("Starting a private Postgres in a temporary directory.")
		f.database, err = target.Private(ctx, target.Options{
			Binaries: pgserver.Binaries{Dir: plan.Binaries}, Connections: plan.connections(), TLS: plan.SSLMode != "" && plan.SSLMode != "disable",
		})
	} else {
		var server target.Server
		if server, err = plan.server(); err != nil {
			return err
		}
		f.database, err = target.Own(ctx, server.URL(""), target.Options{Share: plan.Share, Script: plan.Script != ""})
	}
	if err != nil {
		return err
	}
	if plan.FitClients && !f.database.Private() {
		plan.fit(f.database.Limits().Allowed, tools.Note)
	}
	for _, sentence := range f.database.Plan() {
		tools.Note(sentence)
	}
	notes, err := f.database.Create(ctx)
	for _, sentence := range notes {
		tools.Note(sentence)
	}
	if err != nil {
		return err
	}
	return f.database.Setup(ctx, plan.Workload.Tables(plan.place(f.database.Schema())))
}

// chooseWay decides how the database is reached: by its socket if that is wanted. Whether TLS is used is found out now, where
// the URL leaves it open, so that all strategies do the same and the report says what was done. Clients reach poolers by the
// same kind of transport.
func (f *field) chooseWay(ctx context.Context, plan Plan) error {
	f.server = f.database.Server()
	if plan.Unix {
		server, ok := f.database.UnixServer()
		if !ok {
			return errors.New("--unix: the database's URL names a host, not the directory of a Unix socket")
		}
		f.server = server
	}
	network, _ := f.server.Address()
	f.unix = network == "unix"
	if f.server.SSLMode == config.SSLAllow || f.server.SSLMode == config.SSLPrefer {
		conn, err := pgconn.Connect(ctx, f.server.URL(target.ApplicationName("control")))
		if err != nil {
			return fmt.Errorf("finding out whether the server uses TLS: %w", err)
		}
		f.server.SSLMode = config.SSLDisable
		if _, encrypted := conn.Conn().(*tls.Conn); encrypted {
			f.server.SSLMode = config.SSLRequire
		}
		_ = conn.Close(ctx) // nothing hangs on a polite goodbye
	}
	f.tls = f.server.SSLMode != config.SSLDisable
	return nil
}

// openDelay puts the delay before the database.
func (f *field) openDelay(ctx context.Context, plan Plan) error {
	if plan.Delay == 0 {
		return nil
	}
	network, address := f.server.Address()
	var err error
	if f.delay, err = delay.Start(ctx, network, address, plan.Delay); err != nil {
		return fmt.Errorf("starting the delay: %w", err)
	}
	f.server, err = f.server.At(f.delay.Address())
	return err
}

// close leaves nothing running and nothing behind.
func (f *field) close() error {
	var errs []error
	if f.delay != nil {
		errs = append(errs, f.delay.Close())
	}
	if f.database != nil {
		errs = append(errs, f.database.Close(context.Background()))
	}
	if f.dir != "" {
		errs = append(errs, os.RemoveAll(f.dir))
	}
	return errors.Join(errs...)
}

// entrance is where the clients of one trial connect.
type entrance struct {
	url    string
	pooler *pooler.Running // launched for this trial; nil: none
}

// entrance launches what a strategy needs. The label tells the server connections of this trial from others.
func (f *field) entrance(ctx context.Context, s strategy, z size, idle int, label string) (entrance, error) {
	product := f.carpool
	switch s.via {
	case straight:
		return entrance{url: f.server.URL(target.ApplicationName(label))}, nil
	case rival:
		server, err := target.ParseServer(s.url)
		if err != nil {
			return entrance{}, fmt.Errorf("--rival %s: %w", s.name, err)
		}
		return entrance{url: server.URL(target.ApplicationName(label))}, nil
	case pgbouncer:
		product = f.pgbouncer
	}
	settings := pooler.Settings{
		Mode: pooler.Mode(s.mode), PoolSize: z.pool, MaxClients: z.clients + idle + spareClients, Server: f.server, TLS: f.tls, Unix: f.unix,
	}
	if settings.Mode == pooler.Session {
		settings.PoolSize = max(z.pool, z.clients+idle) // a client holds its server for as long as it is there
	}
	running, err := pooler.Launch(ctx, product, settings)
	if err != nil {
		return entrance{}, err
	}
	return entrance{url: running.URL(label), pooler: running}, nil
}

// spareClients are connections that a pooler takes beyond the clients': of those that have left and aren't gone yet.
const spareClients = 100

func (e entrance) end() error {
	if e.pooler == nil {
		return nil
	}
	return e.pooler.End()
}

// lost is an error when the pooler has ended by itself.
func (e entrance) lost() error {
	if e.pooler == nil {
		return nil
	}
	return e.pooler.Err()
}

// workerCommand is the program that plays the clients of a strategy.
func (f *field) workerCommand(s strategy, tools Tools) []string {
	if s.python {
		return f.pythonCommand
	}
	return slices.Clone(tools.Worker)
}
