package workload

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

var postgres *pgserver.Server

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgserver.Options{Roles: []pgserver.Role{{Name: "bench", Superuser: true}}},
		func(s *pgserver.Server) { postgres = s }))
}

// session is the plainest Session there can be: simple queries on one connection.
type session struct {
	conn     *pgconn.PgConn
	warnings []string
}

func connect(t testing.TB) *session {
	t.Helper()
	config, err := pgconn.ParseConfig(postgres.URL("bench", ""))
	if err != nil {
		t.Fatal(err)
	}
	s := new(session)
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
		if notice.Severity == "WARNING" {
			s.warnings = append(s.warnings, notice.Code)
		}
	}
	if s.conn, err = pgconn.ConnectConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close(context.Background()) })
	return s
}

func (s *session) Do(ctx context.Context, st Statement, args ...string) (Reply, error) {
	pairs := make([]string, 0, 2*len(args))
	for i, arg := range args {
		if !st.Bare {
			arg = "'" + strings.ReplaceAll(arg, "'", "''") + "'"
		}
		pairs = append(pairs, "$"+string(rune('1'+i)), arg)
	}
	results, err := s.conn.Exec(ctx, strings.NewReplacer(pairs...).Replace(st.SQL)).ReadAll()
	if err != nil || len(results) == 0 {
		return s.reply("", nil), err
	}
	last := results[len(results)-1]
	return s.reply(last.CommandTag.String(), last.Rows), nil
}

func (s *session) CopyOut(ctx context.Context, sql string, w io.Writer) (Reply, error) {
	tag, err := s.conn.CopyTo(ctx, w, sql)
	return s.reply(tag.String(), nil), err
}

func (s *session) CopyIn(ctx context.Context, sql string, r io.Reader) (Reply, error) {
	tag, err := s.conn.CopyFrom(ctx, r, sql)
	return s.reply(tag.String(), nil), err
}

func (s *session) reply(tag string, rows [][][]byte) Reply {
	r := Reply{Tag: tag, Rows: rows, Status: s.conn.TxStatus(), Warnings: slices.Clone(s.warnings)}
	s.warnings = s.warnings[:0]
	return r
}

// run sends SQL past the callers.
func (s *session) run(t testing.TB, sql string) Reply {
	t.Helper()
	reply, err := s.Do(t.Context(), Statement{SQL: sql})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return reply
}

// setUp makes the tables of a workload in a schema of the test's own.
func setUp(t testing.TB, w Workload, s *session, schema string) Place {
	t.Helper()
	place := Place{Schema: schema, Scale: 1}
	s.run(t, "CREATE SCHEMA IF NOT EXISTS "+schema)
	t.Cleanup(func() { _, _ = s.conn.Exec(context.Background(), "DROP SCHEMA IF EXISTS "+schema+" CASCADE").ReadAll() })
	if w.Tables != nil {
		for _, sql := range w.Tables(place) {
			s.run(t, sql)
		}
	}
	return place
}

// doctored is a Session on which something goes wrong.
type doctored struct {
	Session
	do      func(ctx context.Context, st Statement, args []string) (Reply, error)
	copyOut func(ctx context.Context, sql string, w io.Writer) (Reply, error)
}

func (d *doctored) Do(ctx context.Context, st Statement, args ...string) (Reply, error) {
	if d.do == nil {
		return d.Session.Do(ctx, st, args...)
	}
	return d.do(ctx, st, args)
}

func (d *doctored) CopyOut(ctx context.Context, sql string, w io.Writer) (Reply, error) {
	if d.copyOut == nil {
		return d.Session.CopyOut(ctx, sql, w)
	}
	return d.copyOut(ctx, sql, w)
}
