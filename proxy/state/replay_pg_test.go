package state

import (
	"context"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// TestOnPostgres runs the tests that need a server on one.
func TestOnPostgres(t *testing.T) {
	s := onServer{pgtest.Start(t, pgserver.Options{})}
	t.Run("ReplayedValuesAreOnlyValues", s.replayedValuesAreOnlyValues)
	t.Run("ReplayTakesTheServerToTheClient", s.replayTakesTheServerToTheClient)
	t.Run("ReplayIsAllOrNothing", s.replayIsAllOrNothing)
	t.Run("ReportedParametersAreKnown", s.reportedParametersAreKnown)
	t.Run("ParametersOfTheLoginAreNotReplayed", s.parametersOfTheLoginAreNotReplayed)
	t.Run("CleanApplicationNameAgreesWithPostgres", s.cleanApplicationNameAgreesWithPostgres)
}

// onServer has the tests that need a server as methods.
type onServer struct{ postgres *pgserver.Server }

// unicode is a database in UTF-8, which has conversions to every encoding of
// clients.
const unicode = "unicode"

func (s onServer) makeUnicode(t *testing.T) {
	t.Helper()
	const create = "CREATE DATABASE " + unicode + " TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
	if err := s.postgres.Exec(t.Context(), "", create); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.postgres.Exec(context.Background(), "", "DROP DATABASE "+unicode+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
}

func (s onServer) open(t *testing.T, database string, settings ...string) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(s.postgres.URL("", database))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(settings); n += 2 {
		config.RuntimeParams[settings[n]] = settings[n+1]
	}
	c, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// run executes SQL and returns the first column of the last row.
func run(t *testing.T, c *pgconn.PgConn, text string) (value string, err error) {
	t.Helper()
	results, err := c.Exec(t.Context(), text).ReadAll()
	if err != nil {
		return "", err
	}
	for _, r := range results {
		for _, row := range r.Rows {
			value = string(row[0])
		}
	}
	return value, nil
}

// must is run for what has to work.
func must(t *testing.T, c *pgconn.PgConn, text string) string {
	t.Helper()
	value, err := run(t, c, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

// Parameters are the way of a hostile value into a query that carpool itself
// sends (RELIABILITY: "SQL injection via application_name, client_encoding,
// timezone"; multi-byte encodings with a trailing 0x5c).
func (s onServer) replayedValuesAreOnlyValues(t *testing.T) {
	s.makeUnicode(t)
	ascii := []string{
		"", "plain", "it's", `\`, `\\`, `\'`, `'`, `''`, `'''`, `\''`, `'\`, "$$", "$1", `"`, "a;b", "-- x", "/*", "*/", "E'",
		"line\nbreak", "\r\n", "\t\x01\x1f\x7f", `\x27; create table pwned(); --`, `'; create table pwned(); --`,
		`\'; create table pwned(); --`, `U&'\0027'`, "'||(select 1)||'", "');create table pwned();--", "default", "DEFAULT",
	}
	foreign := []struct{ encoding, bytes, text string }{
		{"SJIS", "\x83\x5c", "ソ"}, // the second byte is a backslash
		{"SJIS", "\x83\x5c'; create table pwned(); --", "ソ'; create table pwned(); --"},
		{"SJIS", "\x95\x5c\x5c'", "表\\'"},
		{"BIG5", "\xa5\x5c", "功"},
		{"BIG5", "\xb3\x5c'", "許'"},
		{"GBK", "\x81\x5c", "乗"},
		{"GBK", "\xbf\x5c'; create table pwned(); --", "縗'; create table pwned(); --"},
		{"LATIN1", "\xe4'\\", "ä'\\"},
		{"UTF8", "日本'\\", "日本'\\"},
	}
	const readBack = "select encode(convert_to(current_setting('carpool.probe'), 'UTF8'), 'hex')"
	for _, encoding := range []string{"SJIS", "BIG5", "GBK", "LATIN1", "UTF8"} {
		for _, conforming := range []string{"on", "off"} {
			for _, quote := range []string{"on", "off", "safe_encoding"} {
				t.Run(encoding+" conforming "+conforming+" backslash_quote "+quote, func(t *testing.T) {
					var i Interner
					c := s.open(t, unicode, "client_encoding", encoding, "standard_conforming_strings", conforming, "backslash_quote", quote)
					check := func(p *Params, want string) {
						t.Helper()
						text := sql(t, nil, p)
						if _, err := run(t, c, text); err != nil {
							t.Errorf("%s: %v", text, err)
							return
						}
						if got := must(t, c, readBack); got != hex.EncodeToString([]byte(want)) {
							t.Errorf("%s\nset %s, want %q", text, got, want)
						}
					}
					for _, value := range ascii {
						check(set(t, &i, "carpool.probe", value), value)
					}
					for _, f := range foreign {
						p := with(t, &i, set(t, &i, "client_encoding", f.encoding), "carpool.probe", f.bytes)
						check(i.Without(p, "client_encoding"), f.text)
					}
					if got := must(t, c, "select count(*) from pg_class where relname = 'pwned'"); got != "0" {
						t.Error("a value was executed")
					}
				})
			}
		}
	}
}

func (s onServer) replayTakesTheServerToTheClient(t *testing.T) {
	var i Interner
	c := s.open(t, "", "application_name", "initial")
	show := func(name string) string { return must(t, c, fmt.Sprintf("show %q", name)) }
	steps := []struct {
		name string
		want []string
	}{
		{"set", []string{"DateStyle", "German, DMY", "TimeZone", "<+03>-03", "application_name", "x", "search_path", `"$user", "We'ird, \ name", pg_catalog`}},
		{"change", []string{"DateStyle", "ISO, MDY", "TimeZone", "Asia/Kolkata", "application_name", "", "statement_timeout", "1234ms"}},
		{"change and reset", []string{"client_encoding", "LATIN1", "standard_conforming_strings", "off", "IntervalStyle", "iso_8601"}},
		{"reset all", nil},
	}
	defaults := map[string]string{}
	for _, name := range []string{
		"DateStyle", "TimeZone", "application_name", "search_path", "statement_timeout", "client_encoding", "standard_conforming_strings", "IntervalStyle",
	} {
		defaults[name] = show(name)
	}
	server := (*Params)(nil)
	for _, step := range steps {
		client := set(t, &i, step.want...)
		must(t, c, sql(t, server, client))
		server = client
		for name, value := range defaults {
			if v, ok := client.Value(name); ok {
				value = v
			}
			if got := show(name); got != value {
				t.Errorf("%s: %s is %q, want %q", step.name, name, got, value)
			}
		}
	}
}

func (s onServer) replayIsAllOrNothing(t *testing.T) {
	var i Interner
	c := s.open(t, "")
	client := set(t, &i, "application_name", "changed", "zz.probe", "changed", "TimeZone", "Nowhere/Land")
	if _, err := run(t, c, sql(t, nil, client)); err == nil {
		t.Fatal("a time zone that doesn't exist was set")
	}
	if got := must(t, c, "show application_name"); got == "changed" {
		t.Error("a part of a failed replay took effect")
	}
	if c.TxStatus() != 'I' {
		t.Errorf("transaction status %c after a failed replay", c.TxStatus())
	}
}

// Every parameter a server reports is either one that a session can set, or
// known to be none.
func (s onServer) reportedParametersAreKnown(t *testing.T) {
	var i Interner
	c := s.open(t, "")
	seen := 0
	for _, name := range fixed {
		if c.ParameterStatus(name) != "" {
			seen++
		}
	}
	for _, k := range known {
		value := c.ParameterStatus(k.name)
		if value == "" && must(t, c, "select count(*) from pg_settings where name = '"+k.name+"'") == "0" {
			continue // of another version
		}
		seen++
		if _, err := run(t, c, sql(t, nil, set(t, &i, k.name, value))); err != nil && value != "" {
			t.Errorf("setting %s to what was reported: %v", k.name, err)
		}
	}
	if seen < 12 {
		t.Errorf("only %d parameters were seen", seen)
	}
}

func (s onServer) parametersOfTheLoginAreNotReplayed(t *testing.T) {
	c := s.open(t, "")
	const query = "select name from pg_settings where context in ('backend', 'superuser-backend')"
	results, err := c.Exec(t.Context(), query).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range results[0].Rows {
		if name := string(row[0]); Acceptable(name, "on") {
			t.Errorf("%s can't be set in a running session, and would be replayed", name)
		}
	}
	if len(results[0].Rows) < 5 {
		t.Errorf("only %d parameters were checked", len(results[0].Rows))
	}
}

func (s onServer) cleanApplicationNameAgreesWithPostgres(t *testing.T) {
	const name = "caf\u00e9 \t'x' \x7f"
	c := s.open(t, "", "application_name", name)
	escape := must(t, c, "select current_setting('server_version_num')::int >= 160000") == "t"
	if got, want := c.ParameterStatus("application_name"), CleanApplicationName(name, escape); got != want {
		t.Errorf("the server shows %q, CleanApplicationName %q", got, want)
	}
}
