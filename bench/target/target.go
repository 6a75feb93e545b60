package target

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"carpool/bench/pgserver"

	"github.com/jackc/pgx/v5/pgconn"
)

// Options says how a target is made. The zero value is good.
type Options struct {
	// For Private.
	Binaries    pgserver.Binaries // zero: looked for
	Connections int               // that clients and poolers together may open; 0: 200
	TLS         bool              // see Private

	// For Own.
	Share float64 // of the server's free connections that the benchmark may use, above 0 and up to 1; 0: a half
	// Script says that clients work on the reader's own tables: no schema is made, nothing is cleaned up, and a server or role
	// that may only read will do.
	Script bool
}

const defaultShare = 0.5

// Target is a database to measure. Its methods may be called from any goroutine, and wait for each other where they need the
// connection that owns the schema.
type Target struct {
	// immutable after Private or Own
	server     Server
	private    *pgserver.Server // nil for the reader's own server
	version    string
	limits     Limits
	schema     string // empty: none is made
	comment    string
	pooled     bool // what we connect to isn't Postgres itself
	postmaster int  // process id; 0 when it isn't on this machine, or can't be seen

	mu      sync.Mutex     // guards what follows, and is held during exchanges on owner
	owner   *pgconn.PgConn // holds the lock of the schema
	created bool           // the schema may be there
	closed  bool
}

const (
	// closePatience bounds what Close does, whatever became of the context of the run.
	closePatience = 15 * time.Second
	// oldestVersion has what we ask for, such as backend_type.
	oldestVersion = 100000

	queryCanceled = "57014" // SQLSTATE of a statement that has reached its timeout, among others
	mostAttempts  = 20
)

// Own connects to the reader's server and looks at it. It changes nothing. An error is one sentence that can be shown as it
// is. The caller owns the target and closes it.
func Own(ctx context.Context, databaseURL string, options Options) (*Target, error) {
	if options.Share == 0 {
		options.Share = defaultShare
	}
	if !(options.Share > 0 && options.Share <= 1) {
		return nil, fmt.Errorf("a share of %g of the free connections isn't above 0 and up to 1", options.Share)
	}
	server, err := ParseServer(databaseURL)
	if err != nil {
		return nil, err
	}
	return open(ctx, server, options)
}

// open connects to a server and looks at it.
func open(ctx context.Context, server Server, options Options) (*Target, error) {
	owner, err := connect(ctx, server)
	if err != nil {
		return nil, err
	}
	t := &Target{server: server, owner: owner}
	if !options.Script {
		t.schema = newSchemaName()
	}
	if err := t.examine(ctx, options.Share); err != nil {
		_ = owner.Close(context.WithoutCancel(ctx)) // what is wrong is known already
		return nil, err
	}
	return t, nil
}

// patient ends the timeouts that a role may have for other work; a %s says whether only for this transaction.
const patient = `SELECT set_config(name, '0', %s) FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout',
	'transaction_timeout', 'idle_session_timeout', 'idle_in_transaction_session_timeout')`

// examine asks the server what it is and what it permits. It only reads, in a transaction that no timeout of the role's cuts
// short. The owner's session is without them from then on, unless other clients of a pooler would come by it.
func (t *Target) examine(ctx context.Context, share float64) error {
	if err := insist(ctx, t.owner, "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"); err != nil {
		return explain(ctx, t.server, "preparing a connection to", err)
	}
	backend, err := t.identify(ctx)
	if err != nil {
		return err
	}
	if _, err := t.owner.Exec(ctx, fmt.Sprintf(patient, strconv.FormatBool(t.pooled))).ReadAll(); err != nil {
		return explain(ctx, t.server, "preparing a connection to", err)
	}
	if t.limits, err = t.readLimits(ctx, share); err != nil {
		return err
	}
	if _, err := t.owner.Exec(ctx, "COMMIT").ReadAll(); err != nil {
		return explain(ctx, t.server, "looking at", err)
	}
	t.postmaster = t.findPostmaster(backend)
	t.comment = newComment(t.server.User, t.pooled)
	return nil
}

// identify asks what the server is, and refuses one that won't do. It returns the backend's process id.
func (t *Target) identify(ctx context.Context) (backend string, err error) {
	const sql = `SELECT current_setting('server_version'), current_setting('server_version_num'), pg_backend_pid(),
		pg_is_in_recovery() OR current_setting('transaction_read_only')::bool,
		has_database_privilege(current_database(), 'CREATE')`
	row, err := queryRow(ctx, t.owner, sql)
	if err != nil {
		return "", explain(ctx, t.server, "looking at", err)
	}
	number, err := strconv.Atoi(row[1])
	if err != nil {
		return "", fmt.Errorf("the server at %s tells no version: %q", t.server.place(), row[1])
	}
	t.version, _, _ = strings.Cut(row[0], " ") // packagers add a parenthesis
	// A pooler invents the process id of its cancel keys.
	t.pooled = row[2] != strconv.FormatUint(uint64(t.owner.PID()), 10)
	switch {
	case number < oldestVersion:
		return "", fmt.Errorf("the server at %s is Postgres %s; the benchmark needs 10 or later", t.server.place(), t.version)
	case t.schema == "": // what the reader's tables need is the reader's affair
	case row[3] == "t":
		return "", fmt.Errorf("the server at %s is read-only (a standby, or default_transaction_read_only is on); the benchmark needs tables of its own", t.server.place())
	case row[4] != "t":
		return "", fmt.Errorf("the role %s has no right to create a schema in the database %s: GRANT CREATE ON DATABASE %s TO %s",
			t.server.User, t.server.Database, quoteIdentifier(t.server.Database), quoteIdentifier(t.server.User))
	}
	return row[2], nil
}

// insist runs what ends a role's timeouts, again when those were quicker: on a busy machine even this may take a millisecond.
// A timeout that comes to its very end cancels the statement behind it, for which there is one to spare.
func insist(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	for attempt := 1; ; attempt++ {
		_, err := conn.Exec(ctx, sql).ReadAll()
		if err == nil {
			_, err = conn.Exec(ctx, "SELECT").ReadAll()
		}
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != queryCanceled || attempt == mostAttempts {
			return err
		}
		if conn.TxStatus() != 'I' {
			_, _ = conn.Exec(ctx, "ROLLBACK").ReadAll() // should it fail, so will the next attempt
		}
	}
}

// reconnect opens another connection for control, without the role's timeouts where that is possible.
func (t *Target) reconnect(ctx context.Context) (*pgconn.PgConn, error) {
	conn, err := connect(ctx, t.server)
	if err != nil || t.pooled {
		return conn, err
	}
	if err = insist(ctx, conn, "SET statement_timeout = 0"); err == nil {
		_, err = conn.Exec(ctx, fmt.Sprintf(patient, "false")).ReadAll()
	}
	if err != nil {
		_ = conn.Close(context.WithoutCancel(ctx)) // what is wrong is known already
		return nil, explain(ctx, t.server, "preparing a connection to", err)
	}
	return conn, nil
}

// Plan is what Create and the benchmark are about to do, in sentences.
func (t *Target) Plan() []string {
	var plan []string
	if t.private != nil {
		plan = append(plan, fmt.Sprintf("A private Postgres %s has been started in a temporary directory; it is stopped and removed at the end.", t.version))
	} else {
		plan = append(plan, fmt.Sprintf("Use the database %s at %s as the role %s (Postgres %s).", t.server.Database, t.server.place(), t.server.User, t.version))
	}
	switch {
	case t.private != nil:
	case t.schema == "":
		plan = append(plan, "Run the script against the tables that it names there, with all clients at once, round after round. "+
			"What it changes stays changed: the benchmark makes nothing of its own, and undoes nothing.")
	default:
		plan = append(plan, fmt.Sprintf("Create the schema %s in it, work in that alone, and drop it at the end. Nothing else is touched.", t.schema))
		if !t.pooled {
			plan = append(plan, "Drop schemas that an earlier benchmark left behind when it was cut off.")
		}
	}
	return append(plan, fmt.Sprintf("Open at most %d server connections of the %d that are free: %s.", t.limits.Allowed, t.limits.Free, t.limits.Bound))
}

// Warnings are what makes this target's numbers doubtful, in sentences.
func (t *Target) Warnings() []string {
	if !t.pooled {
		return nil
	}
	return []string{fmt.Sprintf("What answers at %s isn't Postgres itself but a pooler or proxy before it: \"direct\" is measured through that, "+
		"and schemas left behind by earlier benchmarks aren't cleaned up through it.", t.server.place())}
}

// Private tells whether the Postgres was started for the benchmark.
func (t *Target) Private() bool { return t.private != nil }

// Pooled tells whether there is a pooler or proxy between us and Postgres already. One in session mode may not be noticed, and
// does no harm then: its clients have a server of their own.
func (t *Target) Pooled() bool { return t.pooled }

// Version is Postgres', such as "17.2".
func (t *Target) Version() string { return t.version }

// Schema is the name of the schema that is the benchmark's. It needs no quotes. With Options.Script it is empty.
func (t *Target) Schema() string { return t.schema }

// Limits is how many connections there are, as of the time when the target was made.
func (t *Target) Limits() Limits { return t.limits }

// Server is how to log in, for poolers and for clients that come by another address.
func (t *Target) Server() Server { return t.server }

// URL is where clients connect directly. Their server connections are known by the label; see ApplicationName.
func (t *Target) URL(label string) string { return t.server.URL(ApplicationName(label)) }

// UnixServer is the same server by its Unix socket, and whether there is one.
func (t *Target) UnixServer() (Server, bool) {
	s := t.server
	if t.private != nil {
		s.Host, s.SSLMode, s.SSLRootCert = t.private.Dir(), 0, ""
	}
	return s, s.isSocket()
}

// Setup runs a workload's SQL commands, one after another, each in a transaction of its own.
func (t *Target) Setup(ctx context.Context, commands []string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, sql := range commands {
		if _, err := t.owner.Exec(ctx, sql).ReadAll(); err != nil {
			return explain(ctx, t.server, "making the tables on", err)
		}
	}
	return nil
}

// Settings are those of the server that bear on numbers, in the form that SHOW has. One that the server doesn't know is missing.
func (t *Target) Settings(ctx context.Context) (map[string]string, error) {
	const sql = `SELECT name, current_setting(name) FROM pg_settings WHERE name IN ('autovacuum', 'fsync', 'full_page_writes', 'huge_pages',
		'io_method', 'jit', 'log_connections', 'log_min_duration_statement', 'max_connections', 'password_encryption', 'shared_buffers',
		'shared_preload_libraries', 'ssl', 'synchronous_commit', 'wal_level', 'work_mem')`
	t.mu.Lock()
	defer t.mu.Unlock()
	rows, err := query(ctx, t.owner, sql)
	if err != nil {
		return nil, explain(ctx, t.server, "reading the settings of", err)
	}
	settings := make(map[string]string, len(rows))
	for _, row := range rows {
		settings[row[0]] = row[1]
	}
	return settings, nil
}

// Close drops the schema and ends the private Postgres. It works also when ctx has ended, and takes at most a quarter of a
// minute. Calling it again does nothing. When the schema couldn't be dropped the error says how to do it by hand; the next
// benchmark would do it too.
func (t *Target) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), closePatience, errors.New("the server doesn't answer"))
	defer cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	if t.private != nil {
		_ = t.owner.Close(ctx) // everything goes with the server
		return t.private.Stop()
	}
	err := t.dropLocked(ctx)
	_ = t.owner.Close(ctx) // nothing hangs on a polite goodbye
	return err
}
