package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"carpool/bench/pgserver"
)

// product is a pooler that can be launched.
type product struct {
	name     string
	version  string   // with the name
	command  []string // the configuration file comes last
	prepared bool     // named statements work in transaction mode
}

// newProduct asks a program for its version, which for both ends in a number: "PgBouncer 1.18.0".
func newProduct(ctx context.Context, name string, command []string) (product, error) {
	out, err := exec.CommandContext(ctx, command[0], "--version").Output()
	if err != nil {
		return product{}, fmt.Errorf("asking %s for its version: %w", name, err)
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return product{name: name, version: version, command: command, prepared: keepsPrepared(version)}, nil
}

// keepsPrepared tells whether a pooler keeps named statements in transaction mode: all do but PgBouncer before 1.21.
func keepsPrepared(version string) bool {
	number, isPgBouncer := strings.CutPrefix(version, "PgBouncer ")
	if !isPgBouncer {
		return true
	}
	var major, minor int
	if _, err := fmt.Sscanf(number, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 1 || major == 1 && minor >= 21
}

func findPgBouncer() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	for _, path := range []string{"/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer"} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no pgbouncer to compare with: install the package pgbouncer")
}

// pooler is a product that runs. Whoever launched it ends it.
type pooler struct {
	product
	process *pgserver.Process
	port    int
}

// settings are what differs between launches.
type settings struct {
	mode     string // "transaction" or "session"
	poolSize int
}

var transactionMode = settings{mode: "transaction", poolSize: poolSize}

// launch starts a product as Postgres' own unprivileged user and waits until it takes connections.
func (y *yard) launch(ctx context.Context, p product, s settings) (*pooler, error) {
	dir, err := os.MkdirTemp(y.dir, p.name+"-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for %s: %w", p.name, err)
	}
	port, err := pgserver.FreePort()
	if err != nil {
		return nil, err
	}
	program, err := y.reachable(p, dir)
	if err != nil {
		return nil, err
	}
	configuration := filepath.Join(dir, "pooler.ini")
	userList := filepath.Join(dir, "userlist.txt")
	logPath := filepath.Join(dir, "log")
	if err := errors.Join(
		os.WriteFile(configuration, []byte(y.configuration(p, s, port, userList)), 0o600),
		os.WriteFile(userList, []byte("\"postgres\" \"\"\n"), 0o600),
	); err != nil {
		return nil, fmt.Errorf("configuring %s: %w", p.name, err)
	}
	log, err := os.Create(logPath)
	if err != nil {
		return nil, fmt.Errorf("making the log of %s: %w", p.name, err)
	}
	defer log.Close()
	for _, path := range []string{dir, configuration, userList} {
		if err := y.postgres.Owner().Give(path); err != nil {
			return nil, err
		}
	}
	command := exec.Command(program, append(p.command[1:len(p.command):len(p.command)], configuration)...)
	command.Dir = dir
	command.Env = pgserver.Environment(dir)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = y.postgres.Owner().ProcAttr(syscall.SIGKILL)
	process, err := pgserver.Launch(command)
	if err != nil {
		return nil, err
	}
	running := &pooler{product: p, process: process, port: port}
	if err := running.awaitListening(ctx); err != nil {
		running.end()
		text, readErr := os.ReadFile(logPath)
		return nil, errors.Join(fmt.Errorf("starting %s: %w; its log says:\n%s", p.name, err, text), readErr)
	}
	return running, nil
}

// reachable is the program's name for the unprivileged user: a copy when the program lies where we may look but it may not.
func (y *yard) reachable(p product, dir string) (string, error) {
	path, err := exec.LookPath(p.command[0])
	if err != nil {
		return "", fmt.Errorf("looking for %s: %w", p.name, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", fmt.Errorf("looking for %s: %w", p.name, err)
	}
	if y.postgres.Owner().Reaches(filepath.Dir(path)) {
		return path, nil
	}
	source, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("copying %s: %w", p.name, err)
	}
	defer source.Close()
	copied := filepath.Join(dir, p.name)
	target, err := os.OpenFile(copied, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return "", fmt.Errorf("copying %s: %w", p.name, err)
	}
	_, err = io.Copy(target, source)
	if err := errors.Join(err, target.Close()); err != nil {
		return "", fmt.Errorf("copying %s: %w", p.name, err)
	}
	return copied, y.postgres.Owner().Give(copied)
}

// configuration is the same file for both, as far as both know the settings.
func (y *yard) configuration(p product, s settings, port int, userList string) string {
	lines := []string{
		"[databases]",
		fmt.Sprintf("postgres = host=%s port=%d dbname=postgres", y.postgres.Host(), y.postgres.Port()),
		"[pgbouncer]",
		"listen_addr = 127.0.0.1",
		fmt.Sprintf("listen_port = %d", port),
		"unix_socket_dir =",
		"auth_type = trust",
		"auth_file = " + userList,
		"pool_mode = " + s.mode,
		fmt.Sprintf("default_pool_size = %d", s.poolSize),
		fmt.Sprintf("max_client_conn = %d", maxClients),
		"log_connections = 0",
		"log_disconnections = 0",
		"ignore_startup_parameters = extra_float_digits",
	}
	if p.prepared {
		lines = append(lines, "max_prepared_statements = 200")
	}
	return strings.Join(lines, "\n") + "\n"
}

func (p *pooler) awaitListening(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("it doesn't listen after ten seconds"))
	defer cancel()
	for {
		var dialer net.Dialer
		if conn, err := dialer.DialContext(ctx, "tcp", p.address()); err == nil {
			return conn.Close()
		}
		select {
		case <-p.process.Done():
			return fmt.Errorf("it ended (%v)", p.process.Exit())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *pooler) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

func (p *pooler) url() string {
	return "postgres://postgres@" + p.address() + "/postgres?sslmode=disable"
}

func (p *pooler) end() { p.process.End(2*time.Second, syscall.SIGTERM) }
