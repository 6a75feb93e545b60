package target

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	schemaPrefix = "carpool_bench_"
	// A schema is ours when its comment begins with one of these; the second says that no lock protects it.
	commentPrefix       = "carpool bench: "
	pooledCommentPrefix = "carpool bench through a pooler: "

	// lockPatience is how long dropping waits for somebody who looks at the tables.
	lockPatience = "3s"
	dropAttempts = 3
)

func newSchemaName() string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return schemaPrefix + hex.EncodeToString(random[:])
}

// newComment says who made a schema and when, for whoever finds it.
func newComment(role string, pooled bool) string {
	prefix := commentPrefix
	if pooled {
		prefix = pooledCommentPrefix
	}
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	return fmt.Sprintf("%smade %s by role %s from %s, process %d; dropped at the end", prefix, time.Now().UTC().Format(time.RFC3339), role, host, os.Getpid())
}

// lockKey is the key of the advisory lock that says that a schema is in use.
func lockKey(schema string) string {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(schema)) // never fails
	return strconv.FormatInt(int64(hash.Sum64()), 10)
}

// Create drops what earlier benchmarks left behind in this database, and makes the schema. It returns sentences about what it
// has found, nil when there was nothing. With Options.Script it does nothing.
func (t *Target) Create(ctx context.Context) (notes []string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return nil, errors.New("the target is closed")
	case t.schema == "":
		return nil, nil
	case t.created:
		return nil, errors.New("the schema has been made already")
	}
	if !t.pooled {
		if notes, err = t.sweepLocked(ctx); err != nil {
			return notes, err
		}
		row, err := queryRow(ctx, t.owner, "SELECT pg_try_advisory_lock($1::int8)", lockKey(t.schema))
		if err != nil {
			return notes, explain(ctx, t.server, "taking a lock on", err)
		}
		if row[0] != "t" {
			return notes, fmt.Errorf("somebody holds the advisory lock %s, which stands for the schema %s: try again", lockKey(t.schema), t.schema)
		}
	}
	// The comment comes with the schema, and the lock was there before: never is there a schema of ours that isn't known as
	// ours, or one that somebody could take for left behind.
	sql := "BEGIN; CREATE SCHEMA " + t.schema + "; COMMENT ON SCHEMA " + t.schema + " IS " + quoteLiteral(t.comment) + "; COMMIT"
	t.created = true
	if _, err := t.owner.Exec(ctx, sql).ReadAll(); err != nil {
		var refused *pgconn.PgError
		if errors.As(err, &refused) && !t.owner.IsClosed() {
			t.created = false
			_, _ = t.owner.Exec(ctx, "ROLLBACK").ReadAll() // the refusal is what counts
		}
		return notes, explain(ctx, t.server, "creating a schema on", err)
	}
	return notes, nil
}

// sweepLocked drops schemas of ours whose lock is free. Failing at one is a note, not an error.
func (t *Target) sweepLocked(ctx context.Context) (notes []string, err error) {
	// A schema that was made through a pooler has no lock that could be relied on: after a day it counts as left behind.
	sql := `SELECT nspname, comment FROM (
			SELECT nspname, coalesce(obj_description(oid, 'pg_namespace'), '') AS comment FROM pg_namespace
			WHERE nspname ~ '^` + schemaPrefix + `[0-9a-f]{8}$' AND pg_has_role(nspowner, 'USAGE')) ours
		WHERE comment LIKE $1::text || '%' OR comment LIKE $2::text || '%' AND substring(comment FROM 'made ([0-9TZ:-]+)') COLLATE "C" < $3
		ORDER BY nspname`
	yesterday := time.Now().UTC().Add(-24 * time.Hour).Format(time.RFC3339)
	rows, err := query(ctx, t.owner, sql, commentPrefix, pooledCommentPrefix, yesterday)
	if err != nil {
		return nil, explain(ctx, t.server, "looking for schemas of earlier benchmarks on", err)
	}
	for _, row := range rows {
		schema, comment := row[0], row[1]
		free, err := queryRow(ctx, t.owner, "SELECT pg_try_advisory_lock($1::int8)", lockKey(schema))
		if err != nil {
			return notes, explain(ctx, t.server, "taking a lock on", err)
		}
		if free[0] != "t" {
			continue // another benchmark is at work
		}
		dropErr := dropSchema(ctx, t.owner, schema, comment)
		if _, err := query(ctx, t.owner, "SELECT pg_advisory_unlock($1::int8)", lockKey(schema)); err != nil {
			return notes, explain(ctx, t.server, "releasing a lock on", err)
		}
		if dropErr != nil {
			notes = append(notes, fmt.Sprintf("The schema %s, left behind by an earlier benchmark, couldn't be dropped: %s.",
				schema, sentence(t.server, "dropping it on", dropErr)))
			continue
		}
		notes = append(notes, fmt.Sprintf("Dropped the schema %s, left behind by an earlier benchmark that was cut off.", schema))
	}
	return notes, nil
}

// dropLocked drops our schema if it may be there, on a new connection if the owner's is broken.
func (t *Target) dropLocked(ctx context.Context) error {
	if !t.created {
		return nil
	}
	var err error
	for range dropAttempts {
		if t.owner.IsClosed() {
			fresh, connectErr := t.reconnect(ctx)
			if connectErr != nil {
				err = connectErr
				break
			}
			t.owner = fresh
		}
		if err = dropSchema(ctx, t.owner, t.schema, t.comment); err == nil {
			t.created = false
			return nil
		}
		err = explain(ctx, t.server, "dropping the schema on", err)
	}
	return fmt.Errorf("the schema %s is still there (%w); the next benchmark drops it, or you do: DROP SCHEMA %s CASCADE", t.schema, err, t.schema)
}

// dropSchema drops a schema if it still has the comment that tells that it is ours. It gives up when somebody holds a lock on
// its tables.
func dropSchema(ctx context.Context, conn *pgconn.PgConn, schema, comment string) error {
	const sql = "SELECT 1 FROM pg_namespace WHERE nspname = $1 AND obj_description(oid, 'pg_namespace') = $2"
	rows, err := query(ctx, conn, sql, schema, comment)
	if err != nil || len(rows) == 0 {
		return err
	}
	_, err = conn.Exec(ctx, "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '"+lockPatience+"'; SET LOCAL client_min_messages = error; DROP SCHEMA "+schema+" CASCADE; COMMIT").ReadAll()
	if err != nil && !conn.IsClosed() {
		_, rollbackErr := conn.Exec(ctx, "ROLLBACK").ReadAll()
		err = errors.Join(err, rollbackErr)
	}
	return err
}
