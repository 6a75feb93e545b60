// Command run shows an example app at work on this machine, behind carpool and on a Postgres made for it:
//
//	go run ./deploy/examples/run -carpool ./carpool flask-books
//
// It starts a private Postgres that takes as few connections as the smallest plans of a platform, runs the release line of
// the app's Procfile, then the web and worker lines as two dynos, and prints where the pages are. Ctrl-C stops everything as a
// platform would: SIGTERM to all processes, which have 30 seconds to end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"carpool/bench/pgserver"
	"carpool/deploy/procfile"
)

const (
	name = "books" // of the user and the database
	host = "127.0.0.1"
	// planConnections is how many connections the smallest plans have.
	planConnections = 20
	// grace is how long a platform waits after SIGTERM.
	grace = 30 * time.Second
)

// example is what the command line asks for.
type example struct {
	dir     string // of the app
	carpool string // directory of the binary
	python  string // directory of a Python that has the app's packages
	port    string
	workers int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

// run reads the command line and runs the example until ctx ends or a dyno has.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	binary := flags.String("carpool", "carpool", "the carpool `binary`")
	e := example{}
	flags.StringVar(&e.python, "python", "/usr/bin", "`directory` of a Python that has the packages of requirements.txt")
	flags.StringVar(&e.port, "port", "8000", "`port` of the web dyno; 0 is a free one")
	flags.IntVar(&e.workers, "workers", 4, "`number` of gunicorn's worker processes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	app := "flask-books"
	if flags.NArg() > 0 {
		app = flags.Arg(0)
	}
	for _, place := range []struct {
		to   *string
		from string
	}{{&e.dir, filepath.Join("deploy", "examples", app)}, {&e.carpool, filepath.Dir(*binary)}} {
		full, err := filepath.Abs(place.from)
		if err != nil {
			return err
		}
		*place.to = full
	}
	return e.run(ctx, out)
}

func (e *example) run(ctx context.Context, out io.Writer) (err error) {
	lines, err := e.lines()
	if err != nil {
		return err
	}
	port, err := e.freePort()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Starting a private Postgres that takes %d connections.\n", planConnections)
	postgres, err := pgserver.Start(context.WithoutCancel(ctx), pgserver.Options{
		MaxConnections: planConnections,
		Roles:          []pgserver.Role{{Name: name, Password: "penny"}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, postgres.Stop()) }()
	if err := postgres.Exec(ctx, "", "CREATE DATABASE "+name+" OWNER "+name); err != nil {
		return err
	}
	dynos := &dynos{lines: lines, out: out, place: procfile.Place{Dir: e.dir, Environ: []string{
		"PATH=" + e.carpool + ":" + e.python + ":/usr/bin:/bin",
		"DATABASE_URL=" + postgres.URL(name, name),
		"PORT=" + port,
		"GUNICORN_CMD_ARGS=--bind=" + net.JoinHostPort(host, port), // and not all addresses, as PORT alone would mean
		"WEB_CONCURRENCY=" + strconv.Itoa(e.workers),
		"PYTHONDONTWRITEBYTECODE=1",
	}}}
	defer func() { err = errors.Join(err, dynos.stop()) }()
	release, err := dynos.start("release")
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-release.AllEnded():
	}
	if status := release.Status(); status != 0 {
		return fmt.Errorf("the release ended with status %d, so nothing is started", status)
	}
	return dynos.serve(ctx, port)
}

// lines reads the app's Procfile.
func (e *example) lines() ([]procfile.Line, error) {
	file, err := os.Open(filepath.Join(e.dir, "Procfile"))
	if err != nil {
		return nil, fmt.Errorf("there is no such example: %w", err)
	}
	defer file.Close()
	return procfile.Parse(file)
}

// freePort is the port that was asked for, if nobody has it.
func (e *example) freePort() (string, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, e.port))
	if err != nil {
		return "", fmt.Errorf("%w: -port says another one", err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, errors.Join(err, listener.Close())
}
