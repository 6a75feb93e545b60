package pooler

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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
)

// Running is a pooler that runs. Whoever launched it ends it. Its methods may be called from any goroutine.
type Running struct {
	Product  Product
	Settings Settings

	place    place
	process  *pgserver.Process
	port     int
	password string // of clients; empty: none
	endOnce  sync.Once
	endErr   error
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
	if err == nil {
		err = os.Remove(r.place.configuration())
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
	if r.place.dir, err = makeDir(r.Settings.Dir, r.Product.Name, r.place.owner); err != nil {
		return err
	}
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
	command := exec.Command(program, append(arguments, r.place.configuration())...)
	command.Dir = r.place.dir
	command.Env = environment(r.place.dir)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = r.place.owner.ProcAttr(syscall.SIGKILL)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	r.process, err = pgserver.Launch(command)
	return err
}

// makeDir makes a directory where its owner can reach it.
func makeDir(parent, name string, owner *pgserver.Owner) (string, error) {
	if parent == "" {
		if parent = os.TempDir(); !owner.Reaches(parent) {
			parent = "/tmp" // TMPDIR is a place of root's own; every system has one for all
		}
	}
	dir, err := os.MkdirTemp(parent, "carpool-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("making a directory: %w", err)
	}
	if err := owner.Give(dir); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// program is the program's name for the unprivileged user: a copy when it lies where we may look but that user may not.
func (r *Running) program() (string, error) {
	path, err := exec.LookPath(r.Product.command[0])
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	if r.place.owner.Reaches(filepath.Dir(path)) {
		return path, nil
	}
	copied := filepath.Join(r.place.dir, r.Product.Name)
	return copied, r.copyFile(path, copied, 0o700)
}

// copyFile makes a copy that belongs to the pooler's user.
func (r *Running) copyFile(from, to string, mode os.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err := errors.Join(err, target.Close()); err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	return r.place.owner.Give(to)
}

// writeFiles writes the configuration, the file of users, and certificates.
func (r *Running) writeFiles() error {
	if !r.Settings.Trust {
		r.password = rand.Text()
	}
	settings := r.Settings // as the pooler's user sees it
	for name, file := range map[string]*string{
		"server-ca.crt": &settings.Server.SSLRootCert, "client.crt": &settings.Server.SSLCert, "client.key": &settings.Server.SSLKey,
	} {
		if *file == "" || *file == "system" {
			continue
		}
		copied := filepath.Join(r.place.dir, name)
		if err := r.copyFile(*file, copied, 0o600); err != nil {
			return err
		}
		*file = copied
	}
	if r.Settings.TLS {
		if err := r.certify(); err != nil {
			return err
		}
	}
	lines := settings.lines(r.place, r.port, r.Product.KeepsPrepared())
	user := quoteUser(settings.Server.User) + " " + quoteUser(r.password)
	for _, file := range []struct{ path, text string }{
		{r.place.configuration(), strings.Join(lines, "\n") + "\n"},
		{r.place.users(), user + "\n"},
	} {
		if err := os.WriteFile(file.path, []byte(file.text), 0o600); err != nil {
			return err
		}
		if err := r.place.owner.Give(file.path); err != nil {
			return err
		}
	}
	return nil
}

// certify makes a certificate for this pooler alone.
func (r *Running) certify() error {
	authority, err := pgserver.NewAuthority(r.place.dir)
	if err != nil {
		return err
	}
	pair, err := authority.Issue(certificate, "localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	return errors.Join(r.place.owner.Give(pair.Cert), r.place.owner.Give(pair.Key))
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
	for {
		var dialer net.Dialer
		if conn, err := dialer.DialContext(ctx, "tcp", r.Address()); err == nil {
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

// Console is the URL of the admin console. It talks the simple protocol only.
func (r *Running) Console() string {
	s := r.Server()
	s.Database = "pgbouncer"
	return s.URL("")
}

// PID is the pooler's process.
func (r *Running) PID() int { return r.process.PID() }

// CPU is the time that the pooler has used. It is procfs.ErrUnsupported on systems other than Linux.
func (r *Running) CPU() (time.Duration, error) { return procfs.CPU(r.process.PID()) }

// Memory is what the pooler holds. It is procfs.ErrUnsupported on systems other than Linux.
func (r *Running) Memory() (procfs.Memory, error) { return procfs.ReadMemory(r.process.PID()) }

// Ended is closed when the pooler's process has ended, which before End means that it crashed.
func (r *Running) Ended() <-chan struct{} { return r.process.Done() }

// End stops the pooler and removes its directory. It blocks until that is done, at most a few seconds; calling it again
// returns the same error.
func (r *Running) End() error {
	r.endOnce.Do(func() {
		if r.process != nil {
			r.process.End(stopPatience, syscall.SIGTERM)
		}
		if r.place.dir == "" {
			return
		}
		if err := os.RemoveAll(r.place.dir); err != nil {
			r.endErr = fmt.Errorf("removing the directory of %s: %w", r.Product.Name, err)
		}
	})
	return r.endErr
}
