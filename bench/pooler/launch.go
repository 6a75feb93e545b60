package pooler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/procfs"
	"carpool/bench/target"
	"carpool/config"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	startPatience = 15 * time.Second // until a pooler has answered a query
	stopPatience  = 2 * time.Second  // until it is killed
	portAttempts  = 3
	// longestLog bounds what of a pooler's log goes into an error.
	longestLog = 2000
	lastLines  = 3 // of the log of one that crashed
)

// Running is a pooler that runs. Whoever launched it ends it. Its methods may be called from any goroutine.
type Running struct {
	Product  Product
	Settings Settings

	place     place
	scratch   *pgserver.Scratch // whose path is the place's
	inherited []*os.File        // that the process has besides the standard ones; the first is the scratch's, the rest secrets
	process   *pgserver.Process
	port      int
	password  string // of clients; empty: none
	endOnce   sync.Once
	endErr    error

	mu     sync.Mutex // guards what follows
	ending bool       // End was called: that the process ends is as it should be
	crash  error      // of the process before that; nil: none
}

// Launch starts a product and returns when it has answered a query. For root it runs as the unprivileged user that the private
// Postgres runs as, since PgBouncer refuses root. When it doesn't start the error has the end of its log, and nothing is left.
func Launch(ctx context.Context, product Product, settings Settings) (*Running, error) {
	if len(product.command) == 0 {
		return nil, errors.New("no product to launch")
	}
	if err := settings.check(); err != nil {
		return nil, err
	}
	procfs.RaiseFileLimit() // as many as we may have; a pooler says itself when they don't suffice
	var r *Running
	var err error
	for range portAttempts {
		if r, err = launch(ctx, product, settings); err == nil || !strings.Contains(err.Error(), "ddress already in use") {
			break // else somebody took the port before the pooler did
		}
	}
	return r, err
}

func launch(ctx context.Context, product Product, settings Settings) (*Running, error) {
	r := &Running{Product: product, Settings: settings}
	err := r.start(ctx)
	if err == nil {
		err = r.awaitAnswer(ctx)
	}
	if err == nil && r.place.configuration == r.place.configurationFile() {
		err = os.Remove(r.place.configuration)
	}
	if err != nil {
		err = fmt.Errorf("starting %s: %w%s", product.Name, err, r.lastLog())
		return nil, errors.Join(err, r.End())
	}
	return r, nil
}

// start makes the directory and all that is in it, and starts the process.
func (r *Running) start(ctx context.Context) error {
	var err error
	if r.place.owner, err = pgserver.Unprivileged(); err != nil {
		return err
	}
	if r.scratch, err = pgserver.MakeScratch(r.Settings.Dir, "carpool-"+r.Product.Name+"-", r.place.owner); err != nil {
		return err
	}
	r.place.dir, r.inherited = r.scratch.Path, []*os.File{r.scratch.Lock()}
	defer r.closeSecrets()
	if r.port, err = pgserver.FreePort(); err != nil {
		return err
	}
	program, err := r.program()
	if err != nil {
		return err
	}
	if err := r.writeFiles(); err != nil {
		return err
	}
	log, err := os.OpenFile(r.place.log(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("making its log: %w", err)
	}
	defer log.Close()
	arguments := r.Product.command[1:len(r.Product.command):len(r.Product.command)]
	command := exec.Command(program, append(arguments, r.place.configuration)...)
	command.Dir = r.place.dir
	command.Env = environment(r.place.dir)
	command.Stdout, command.Stderr = log, log
	command.ExtraFiles = r.inherited
	command.SysProcAttr = r.place.owner.ProcAttr(syscall.SIGKILL)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	r.process, err = pgserver.Launch(command)
	return err
}

// environment is that of a program that is to be told everything by its configuration file.
func environment(home string) []string {
	var kept []string
	for _, entry := range pgserver.Environment(home) {
		if !strings.HasPrefix(entry, config.EnvPrefix) && !strings.HasPrefix(entry, "DATABASE_URL=") {
			kept = append(kept, entry)
		}
	}
	return kept
}

// awaitAnswer waits until the pooler listens, and has one query answered: a pooler that can't log in to its server is found
// out here.
func (r *Running) awaitAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, errors.New("it doesn't answer after "+startPatience.String()))
	defer cancel()
	network, address := "tcp", r.Address()
	if r.Settings.Unix { // that clients can come by TCP doesn't say that they can come this way yet
		network, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", r.Server().Host, r.port)
	}
	for {
		var dialer net.Dialer
		if conn, err := dialer.DialContext(ctx, network, address); err == nil {
			_ = conn.Close() // it was a knock at the door
			break
		}
		select {
		case <-r.process.Done():
			return fmt.Errorf("it ended (%v)", r.process.Exit())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	conn, err := pgconn.Connect(ctx, r.URL(""))
	if err != nil {
		return r.unanswered(ctx, err)
	}
	_, err = conn.Exec(ctx, "SELECT 1").ReadAll()
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return r.unanswered(ctx, err)
	}
	return nil
}

// unanswered is why the first query got no answer.
func (r *Running) unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return errors.New(refused.Message)
	}
	return err
}

// lastLog is the end of the pooler's log, as the end of a sentence.
func (r *Running) lastLog() string {
	if r.place.dir == "" {
		return ""
	}
	text, err := os.ReadFile(r.place.log())
	if err != nil || len(text) == 0 {
		return ""
	}
	return "; its log says:\n" + strings.TrimSpace(string(text[max(0, len(text)-longestLog):]))
}

// Address is host:port, where the pooler listens on TCP, also with Settings.Unix.
func (r *Running) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)) }

// Port is the port of Address, and part of the Unix socket's name.
func (r *Running) Port() int { return r.port }

// Server is how clients log in to the pooler.
func (r *Running) Server() target.Server {
	s := target.Server{
		Host: "127.0.0.1", Port: r.port, User: r.Settings.Server.User, Password: r.password, Database: r.Settings.Server.Database,
		SSLMode: config.SSLDisable,
	}
	switch {
	case r.Settings.Unix:
		s.Host = r.place.dir
	case r.Settings.TLS:
		s.SSLMode, s.SSLRootCert = config.SSLVerifyFull, r.place.authority()
	}
	return s
}

// URL is where clients connect, with the throw-away password. The label is what their server connections are known by; see
// target.ApplicationName. No label is no application_name.
func (r *Running) URL(label string) string {
	if label == "" {
		return r.Server().URL("")
	}
	return r.Server().URL(target.ApplicationName(label))
}

// PID is the pooler's process.
func (r *Running) PID() int { return r.process.PID() }

// CPU is the time that the pooler has used. It is procfs.ErrUnsupported on systems other than Linux.
func (r *Running) CPU() (time.Duration, error) { return procfs.CPU(r.process.PID()) }

// Memory is what the pooler holds. It is procfs.ErrUnsupported on systems other than Linux.
func (r *Running) Memory() (procfs.Memory, error) { return procfs.ReadMemory(r.process.PID()) }

// Ended is closed when the pooler's process has ended, which before End means that it crashed.
func (r *Running) Ended() <-chan struct{} { return r.process.Done() }

// Err is a sentence about a pooler whose process has ended by itself, with the end of its log; nil while it runs, and when it
// was End that ended it. It may be asked after End, too.
func (r *Running) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil || r.ending || r.crash != nil {
		return r.crash
	}
	select {
	case <-r.process.Done():
	default:
		return nil
	}
	exit := "exit status 0"
	if err := r.process.Exit(); err != nil {
		exit = err.Error()
	}
	r.crash = fmt.Errorf("%s ended during the round (%s)%s", r.Product.Name, exit, r.lastWords())
	return r.crash
}

// lastWords is the last lines of the pooler's log, as the end of a sentence of one line.
func (r *Running) lastWords() string {
	text, err := os.ReadFile(r.place.log())
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	words := strings.Join(lines[max(0, len(lines)-lastLines):], " / ")
	if words == "" {
		return ""
	}
	return "; its log ends: " + words[max(0, len(words)-longestLog):]
}

// End stops the pooler and removes its directory. It blocks until that is done, at most a few seconds; calling it again
// returns the same error.
func (r *Running) End() error {
	r.endOnce.Do(func() {
		_ = r.Err() // notes a crash, as long as there is a log
		r.mu.Lock()
		r.ending = true
		r.mu.Unlock()
		if r.process != nil {
			r.process.End(stopPatience, syscall.SIGTERM)
		}
		if r.scratch == nil {
			return
		}
		if err := r.scratch.Remove(); err != nil {
			r.endErr = fmt.Errorf("cleaning up after %s: %w", r.Product.Name, err)
		}
	})
	return r.endErr
}
