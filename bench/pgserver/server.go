package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options says what kind of Postgres Start makes. The zero value is good: trust for everybody, no TLS, Postgres' own
// number of connections.
type Options struct {
	Binaries       Binaries          // zero: Find
	MaxConnections int               // zero: Postgres' default, 100
	TLS            bool              // serve TLS with a certificate for localhost and 127.0.0.1 from a fresh Authority
	Roles          []Role            // created in order, besides the superuser "postgres"
	Databases      []string          // created, besides "postgres"
	HBA            []string          // lines of pg_hba.conf that come before the trust for everybody
	Settings       map[string]string // lines of postgresql.conf that override the ones set here; values unquoted
}

// Role is a user of the private Postgres.
type Role struct {
	Name       string
	Password   string     // empty: none
	Encryption Encryption // how the password is stored
	Superuser  bool
}

// Encryption is the form in which Postgres stores a password. The zero value is SCRAM.
type Encryption int

// The forms of stored passwords. For a cleartext login store the password either way and use the method "password" in HBA.
const (
	SCRAM Encryption = iota
	MD5
)

// String is the value of password_encryption that makes this form.
func (e Encryption) String() string {
	if e == MD5 {
		return "md5"
	}
	return "scram-sha-256"
}

// Shutdown is a way to stop the postmaster.
type Shutdown int

// The ways to stop a postmaster, by Postgres' own names, and Crash: SIGKILL.
const (
	Fast      Shutdown = iota // disconnect everybody, roll back, write a checkpoint
	Smart                     // wait for clients to leave
	Immediate                 // no checkpoint; recovery at the next start
	Crash                     // kill the postmaster; its children notice and exit
)

func (m Shutdown) signal() syscall.Signal {
	switch m {
	case Smart:
		return syscall.SIGTERM
	case Immediate:
		return syscall.SIGQUIT
	case Crash:
		return syscall.SIGKILL
	default:
		return syscall.SIGINT
	}
}

// Server is a private Postgres. Its methods may be called from any goroutine.
type Server struct {
	// immutable after Start
	binaries  Binaries
	owner     *Owner
	scratch   *Scratch
	dir       string // the scratch's
	data      string
	port      int
	tls       bool
	authority *Authority
	passwords map[string]string
	stopOnce  sync.Once
	stopErr   error

	mu         sync.Mutex  // guards what follows, and is held while the postmaster comes up or goes down
	release    func() bool // forgets the end of Start's context; nil when Start fails
	postmaster *Process    // nil when down
	stopped    bool
}

const (
	startPatience = 30 * time.Second // until a started postmaster takes connections; recovery included
	stopPatience  = 5 * time.Second  // for each shutdown mode that Stop tries
	portAttempts  = 5
)

// Start makes and starts a Postgres and returns when it takes connections and its roles and databases exist, normally in
// one to two seconds. The server stops when ctx ends. The caller owns it and should Stop it.
func Start(ctx context.Context, options Options) (*Server, error) {
	s := &Server{tls: options.TLS, passwords: make(map[string]string)}
	for _, role := range options.Roles {
		s.passwords[role.Name] = role.Password
	}
	var err error
	if s.binaries = options.Binaries; s.binaries.Dir == "" {
		if s.binaries, err = Find(); err != nil {
			return nil, err
		}
	}
	if s.owner, err = Unprivileged(); err != nil {
		return nil, err
	}
	if err := s.makeDir(); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, options); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release = context.AfterFunc(ctx, func() { _ = s.Stop() })
	return s, nil
}

func (s *Server) prepare(ctx context.Context, options Options) error {
	if err := s.initdb(ctx, options); err != nil {
		return err
	}
	var err error
	for range portAttempts {
		if s.port, err = FreePort(); err != nil {
			return err
		}
		// Between freePort and the postmaster's own bind somebody else may take the port.
		if err = s.Up(ctx); err == nil || !strings.Contains(s.Log(), "ddress already in use") {
			break
		}
	}
	if err != nil {
		return err
	}
	return s.populate(ctx, options)
}

// Binaries is where this server's programs are; pgbench and psql usually lie beside them.
func (s *Server) Binaries() Binaries { return s.binaries }

// Owner is the system user that Postgres runs as, nil when that is us.
func (s *Server) Owner() *Owner { return s.owner }

// Dir is the server's directory: socket, log, certificates, and the cluster in "data". It is removed by Stop.
func (s *Server) Dir() string { return s.dir }

// Host is the address that Postgres listens on, and the address part of URL.
func (s *Server) Host() string { return "127.0.0.1" }

// Port is the TCP port; it is part of the Unix socket's name too. It stays the same over restarts.
func (s *Server) Port() int { return s.port }

// Address is host:port for net.Dial.
func (s *Server) Address() string { return net.JoinHostPort(s.Host(), strconv.Itoa(s.port)) }

// SocketPath is the file name of the Unix socket. libpq wants its directory, Dir, as the host.
func (s *Server) SocketPath() string {
	return filepath.Join(s.dir, ".s.PGSQL."+strconv.Itoa(s.port))
}

// Authority has signed the server's certificate and can issue more. It is nil without Options.TLS.
func (s *Server) Authority() *Authority { return s.authority }

// URL is a connection URL for TCP, with the role's password if it has one. sslmode is disable, or verify-full with
// Options.TLS. Empty names stand for "postgres".
func (s *Server) URL(user, database string) string {
	u := url.URL{Scheme: "postgres", Host: s.Address(), Path: "/" + orSuperuser(database), User: url.User(orSuperuser(user))}
	if password := s.passwords[user]; password != "" {
		u.User = url.UserPassword(orSuperuser(user), password)
	}
	query := url.Values{"sslmode": {"disable"}}
	if s.tls {
		query = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {s.authority.File}}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// ConnString is the same as URL in libpq's keyword=value form.
func (s *Server) ConnString(user, database string) string {
	words := []string{
		"host=" + s.Host(), "port=" + strconv.Itoa(s.port),
		"user=" + quoteConnValue(orSuperuser(user)), "dbname=" + quoteConnValue(orSuperuser(database)),
	}
	if password := s.passwords[user]; password != "" {
		words = append(words, "password="+quoteConnValue(password))
	}
	if s.tls {
		words = append(words, "sslmode=verify-full", "sslrootcert="+quoteConnValue(s.authority.File))
	} else {
		words = append(words, "sslmode=disable")
	}
	return strings.Join(words, " ")
}

// Log is everything that Postgres has logged so far, "" when there is no log (any more).
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logPath())
	if err != nil {
		return ""
	}
	return string(text)
}

// Stop shuts Postgres down, with more force after some seconds each, and removes its directory. It blocks until that is
// done; calling it again returns the same error.
func (s *Server) Stop() error {
	s.stopOnce.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.release != nil {
			s.release()
		}
		s.stopped = true
		if s.postmaster != nil {
			// A paused postmaster can't act on a signal.
			_ = s.postmaster.Signal(syscall.SIGCONT)
			s.postmaster.End(stopPatience, syscall.SIGINT, syscall.SIGQUIT)
			s.postmaster = nil
		}
		if err := s.scratch.Remove(); err != nil {
			s.stopErr = fmt.Errorf("removing the private Postgres: %w", err)
		}
	})
	return s.stopErr
}

func orSuperuser(name string) string {
	if name == "" {
		return superuser
	}
	return name
}

// quoteConnValue quotes a value of libpq's keyword=value form.
func quoteConnValue(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}
