package drivers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// crowdSize is how many clients there are besides the driver.
	crowdSize = 6
	// crowdPause is how long each of them rests after an act, which leaves the machine to the drivers.
	crowdPause = 500 * time.Microsecond
	// crowdRounds is how often a client goes through its acts before it leaves, and another comes.
	crowdRounds = 3
	// crowdFaults is how many of a crowd's wrong answers a test shows.
	crowdFaults = 3
)

// line is one query of a client's, which is a transaction by itself unless it is in one, and the first value of its answer;
// an empty one is not looked at.
type line struct{ sql, want string }

// act is what a client does in one go: it makes some state, looks whether it is there, and takes it away. {n} is the
// client's number.
type act struct {
	name  string
	lines []line
}

// acts are such that somebody who runs into what they leave can't miss it.
var acts = []act{
	{"parameters", []line{
		{"SET search_path = nowhere", ""},
		{"SET TIME ZONE 'Asia/Tokyo'", ""},
		{"SET DateStyle = 'German'", ""},
		{"SET bytea_output = 'escape'", ""},
		{"SET extra_float_digits = -3", ""},
		{"SET statement_timeout = '8{n}s'", ""},
		{"SHOW search_path", "nowhere"},
		{"SHOW statement_timeout", "8{n}s"},
		{"SELECT to_char(timestamptz 'epoch', 'HH24')", "09"},
		{"RESET ALL", ""},
		{"SHOW search_path", "two"},
	}},
	{"read only", []line{
		{"SET default_transaction_read_only = on", ""},
		{"SET default_transaction_isolation = 'serializable'", ""},
		{"SHOW transaction_read_only", "on"},
		{"SET default_transaction_read_only = off", ""},
		{"SET default_transaction_isolation TO DEFAULT", ""},
		{"SHOW transaction_isolation", "read committed"},
	}},
	{"role", []line{
		{"SET ROLE " + reader, ""},
		{"SELECT current_user", reader},
		{"RESET ROLE", ""},
		{"SELECT current_user", user},
	}},
	{"rollback", []line{
		{"BEGIN", ""},
		{"SET application_name = 'lost'", ""},
		{"SELECT 1/(length(current_setting('application_name')) - 4)", "error"},
		{"ROLLBACK", ""},
		{"SHOW application_name", "crowd-{n}"},
	}},
	{"prepare", []line{
		{"PREPARE plan (int) AS SELECT $1 + {n}", ""},
		{"EXECUTE plan (10)", "1{n}"},
		{"EXECUTE plan (20)", "2{n}"},
		{"DEALLOCATE plan", ""},
	}},
	{"temporary table", []line{
		{"CREATE TEMPORARY TABLE books AS SELECT {n} AS n", ""},
		{"SELECT n FROM books", "{n}"},
		{"DROP TABLE pg_temp.books", ""},
	}},
	{"advisory lock", []line{
		{"SELECT pg_advisory_lock(9000 + {n})", ""},
		{
			"SELECT count(*) FROM pg_locks JOIN pg_database ON database = pg_database.oid " +
				"WHERE locktype = 'advisory' AND objid = 9000 + {n} AND datname = current_database()", "1",
		},
		{"SELECT pg_advisory_unlock(9000 + {n})", "t"},
	}},
	{"listen", []line{
		{"LISTEN crowd_{n}", ""},
		{"NOTIFY crowd_{n}, 'hello'", ""},
		{"SELECT 1", "1"},
		{"UNLISTEN crowd_{n}", ""},
	}},
	{"transaction", []line{
		{"BEGIN", ""},
		{"SET LOCAL search_path = one", ""},
		{"SELECT name FROM place", "one"},
		{"COMMIT", ""},
		{"SELECT name FROM place", "two"},
	}},
}

// crowd is clients that use the same pool as a driver under test.
type crowd struct {
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu     sync.Mutex // guards what follows
	rounds int        // acts that were done
	moves  int        // acts that ended on another server than the one before
	faults []error
}

// gather starts a crowd. It is at work until disperse.
func gather(address string) *crowd {
	ctx, cancel := context.WithCancel(context.Background())
	c := &crowd{cancel: cancel}
	for number := range crowdSize {
		c.all.Go(func() {
			for ctx.Err() == nil {
				if err := c.visit(ctx, address, number); err != nil && ctx.Err() == nil {
					c.fault(err)
				}
			}
		})
	}
	return c
}

// disperse ends the crowd and reports what went wrong with it.
func (c *crowd) disperse(t *testing.T) {
	c.cancel()
	c.all.Wait()
	t.Run("crowd", func(t *testing.T) {
		if c.moves == 0 {
			t.Errorf("nobody was given another server in %d acts", c.rounds)
		}
		for _, err := range c.faults[:min(crowdFaults, len(c.faults))] {
			t.Error(err)
		}
		if more := len(c.faults) - crowdFaults; more > 0 {
			t.Errorf("and %d more", more)
		}
	})
}

// done notes an act, and whether the server was another one than after the act before it.
func (c *crowd) done(moved bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rounds++
	if moved {
		c.moves++
	}
}

func (c *crowd) fault(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, err)
}

// visit is one connection of a client: some acts, and a statement that is prepared by the protocol's means all the while.
func (c *crowd) visit(ctx context.Context, address string, number int) error {
	// Own start-up parameters, and the name by which pgjdbc, pgx and others would know their statements as well as this one.
	parameters := url.Values{"application_name": {fmt.Sprintf("crowd-%d", number)}, "search_path": {"two"}}
	conn, err := pgconn.Connect(ctx, address+"?"+parameters.Encode())
	if err != nil {
		return fmt.Errorf("client %d of the crowd: %w", number, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	const statement = "S_1"
	if _, err := conn.Prepare(ctx, statement, fmt.Sprintf("SELECT name || '%d' || $1, pg_backend_pid() FROM place", number), nil); err != nil {
		return fmt.Errorf("client %d of the crowd prepares: %w", number, err)
	}
	server := ""
	for i := range crowdRounds * len(acts) {
		act := acts[(i+number)%len(acts)]
		if err := perform(ctx, conn, act, number); err != nil {
			return fmt.Errorf("client %d of the crowd, %s: %w", number, act.name, err)
		}
		result := conn.ExecPrepared(ctx, statement, [][]byte{[]byte("!")}, nil, nil).Read()
		if err := result.Err; err != nil {
			return fmt.Errorf("client %d of the crowd, its prepared statement after %s: %w", number, act.name, err)
		}
		if got, want := first(result), fmt.Sprintf("two%d!", number); got != want {
			return fmt.Errorf("client %d of the crowd, its prepared statement after %s: got %q, want %q", number, act.name, got, want)
		}
		c.done(string(result.Rows[0][1]) != server)
		server = string(result.Rows[0][1])
		select {
		case <-time.After(crowdPause):
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

func perform(ctx context.Context, conn *pgconn.PgConn, a act, number int) error {
	for _, l := range a.lines {
		sql, want := numbered(l.sql, number), numbered(l.want, number)
		results, err := conn.Exec(ctx, sql).ReadAll()
		var refused *pgconn.PgError
		switch {
		case errors.As(err, &refused) && want == "error":
			continue
		case err != nil:
			return fmt.Errorf("%s: %w", sql, err)
		case want == "":
			continue
		}
		if got := first(results[0]); got != want {
			return fmt.Errorf("%s: got %q, want %q", sql, got, want)
		}
	}
	return nil
}

// numbered puts a client's number in the places for it.
func numbered(text string, number int) string {
	return strings.ReplaceAll(text, "{n}", strconv.Itoa(number))
}

func first(result *pgconn.Result) string {
	if len(result.Rows) == 0 || len(result.Rows[0]) == 0 {
		return ""
	}
	return string(result.Rows[0][0])
}
