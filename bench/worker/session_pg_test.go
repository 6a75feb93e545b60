package worker

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"carpool/bench/workload"
)

// session opens a connection that is closed with the test.
func session(t testing.TB, url string, protocol Protocol) *connection {
	t.Helper()
	config, err := readURL(url)
	if err != nil {
		t.Fatal(err)
	}
	l := newLine(config, protocol)
	c, err := l.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.discard(c) })
	return c
}

// rowsText is rows as text: values apart by commas, rows by semicolons.
func rowsText(rows [][][]byte) string {
	var lines []string
	for _, row := range rows {
		var values []string
		for _, value := range row {
			if value == nil {
				values = append(values, "NULL")
				continue
			}
			values = append(values, string(value))
		}
		lines = append(lines, strings.Join(values, ","))
	}
	return strings.Join(lines, ";")
}

func TestDoReturnsWholeReplies(t *testing.T) {
	for _, protocol := range []Protocol{Simple, Extended, Prepared} {
		c := session(t, postgres.URL("", ""), protocol)
		for _, step := range []struct {
			name, sql string
			args      []string
			tag, rows string
			status    byte
			warnings  []string
			code      string
		}{
			{sql: "BEGIN", tag: "BEGIN", status: 'T'},
			{sql: "BEGIN", tag: "BEGIN", status: 'T', warnings: []string{"25001"}},
			{name: "two", sql: "SELECT n, NULL, $1::text FROM generate_series(1, 2) n", args: []string{"it's"}, tag: "SELECT 2", rows: "1,NULL,it's;2,NULL,it's", status: 'T'},
			{name: "two", sql: "SELECT n, NULL, $1::text FROM generate_series(1, 2) n", args: []string{""}, tag: "SELECT 2", rows: "1,NULL,;2,NULL,", status: 'T'},
			{name: "none", sql: "SELECT 1 WHERE false", tag: "SELECT 0", status: 'T'},
			{name: "wrong", sql: "SELECT 1 / $1::int", args: []string{"0"}, status: 'E', code: "22012"},
			{name: "none", sql: "SELECT 1 WHERE false", status: 'E', code: "25P02"},
			{sql: "COMMIT", tag: "ROLLBACK", status: 'I'},
			{sql: "COMMIT", tag: "COMMIT", status: 'I', warnings: []string{"25P01"}},
			{name: "big", sql: "SELECT repeat('x', 100000), $1::int", args: []string{"7"}, tag: "SELECT 1", rows: strings.Repeat("x", 100_000) + ",7", status: 'I'},
			{sql: "", tag: "", status: 'I'},
		} {
			reply, err := c.Do(context.Background(), workload.Statement{Name: step.name, SQL: step.sql}, step.args...)
			var fromServer *pgconn.PgError
			if step.code != "" && (!errors.As(err, &fromServer) || fromServer.Code != step.code) || step.code == "" && err != nil {
				t.Errorf("%s: %s: got error %v, want %s", protocol, step.sql, err, step.code)
			}
			if reply.Tag != step.tag || rowsText(reply.Rows) != step.rows || reply.Status != step.status || !slices.Equal(reply.Warnings, step.warnings) {
				t.Errorf("%s: %s: got %q %.100q %c %q", protocol, step.sql, reply.Tag, rowsText(reply.Rows), reply.Status, reply.Warnings)
			}
		}
	}
}

func TestCopyBothWays(t *testing.T) {
	c := session(t, postgres.URL("", ""), Simple)
	ctx := context.Background()
	if _, err := c.Do(ctx, workload.Statement{SQL: "CREATE TEMP TABLE copied (n int, t text)"}); err != nil {
		t.Fatal(err)
	}
	data := strings.Repeat("1\tone\n", 50_000)
	reply, err := c.CopyIn(ctx, "COPY copied FROM STDIN", strings.NewReader(data))
	if err != nil || reply.Tag != "COPY 50000" || reply.Status != 'I' {
		t.Errorf("in: %+v, %v", reply, err)
	}
	var out bytes.Buffer
	reply, err = c.CopyOut(ctx, "COPY copied TO STDOUT", &out)
	if err != nil || reply.Tag != "COPY 50000" || out.String() != data {
		t.Errorf("out: %+v, %v, %d bytes", reply, err, out.Len())
	}
	if _, err = c.CopyIn(ctx, "COPY copied FROM STDIN", strings.NewReader("x\ty\n")); errorKey(err) != "22P02" || !c.clean(err) {
		t.Errorf("wrong data: %v", err)
	}
}

func TestCleanLeavesNoTransaction(t *testing.T) {
	c := session(t, postgres.URL("", ""), Simple)
	ctx := context.Background()
	_, _ = c.Do(ctx, workload.Statement{SQL: "BEGIN"})
	_, err := c.Do(ctx, workload.Statement{SQL: "SELECT 1/0"})
	if !c.clean(err) || c.pg.TxStatus() != 'I' {
		t.Errorf("after %v the status is %c", err, c.pg.TxStatus())
	}
	if c.clean(&workload.WrongAnswer{}) {
		t.Error("a connection that gave a wrong answer was kept")
	}
	_, err = c.Do(ctx, workload.Statement{SQL: "SELECT pg_terminate_backend(pg_backend_pid())"})
	if c.clean(err) {
		t.Errorf("a closed connection was kept after %v", err)
	}
}

// The values arrive as they are, whatever the settings that decide how a literal is read.
func TestLiteralsSurviveEverySetting(t *testing.T) {
	values := []string{
		"", "plain", "978-0-13-110362-7", "it's", `back\slash`, `\'; DROP TABLE books; --`, `'`, `''`, `\`, `\\`, "line\nbreak\ttab\r",
		"$1 $2", "$$", "/* comment", "-- comment", "Ünïcödé", "表", "ソ'", "😀", "\u00bf'", "\x01\x7f", "E'", `\u0041`, "100%", "?",
	}
	for _, setting := range []string{
		"SET standard_conforming_strings = on", "SET standard_conforming_strings = off", "SET backslash_quote = on",
		"SET client_encoding = 'UTF8'", "SET client_encoding = 'SJIS'", "SET client_encoding = 'GBK'", "SET client_encoding = 'BIG5'",
		"SET client_encoding = 'SQL_ASCII'", "SET escape_string_warning = off",
	} {
		c := session(t, postgres.URL("", ""), Simple)
		if _, err := c.Do(t.Context(), workload.Statement{SQL: setting}); err != nil {
			t.Fatal(err)
		}
		for _, value := range values {
			// Bytes, so that the answer doesn't depend on the client's encoding.
			reply, err := c.Do(t.Context(), workload.Statement{
				Name: "x", SQL: "SELECT encode(convert_to($1, 'UTF8'), 'escape') = encode(convert_to($2, 'UTF8'), 'escape'), octet_length($1::text), 'still here'",
			}, value, value)
			if err != nil || len(reply.Warnings) > 0 {
				t.Errorf("%s, %q: %v %q", setting, value, err, reply.Warnings)
				continue
			}
			if want := "t," + itoa(len(value)) + ",still here"; rowsText(reply.Rows) != want {
				t.Errorf("%s, %q: got %s, want %s", setting, value, rowsText(reply.Rows), want)
			}
			if c.pg.ParameterStatus("client_encoding") != "UTF8" {
				continue
			}
			reply, err = c.Do(t.Context(), workload.Statement{Name: "x", SQL: "SELECT $1::text"}, value)
			if err != nil || rowsText(reply.Rows) != value {
				t.Errorf("%s: %q came back as %q, %v", setting, value, rowsText(reply.Rows), err)
			}
		}
	}
}
