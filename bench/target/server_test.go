package target

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"carpool/config"

	"github.com/jackc/pgx/v5/pgconn"
)

// clearEnvironment keeps the machine's own settings for clients out of a test.
func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, name := range []string{"PGPASSWORD", "PGSSLMODE", "PGSERVICE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGAPPNAME", "PGHOST", "PGPORT"} {
		t.Setenv(name, "")
	}
	t.Setenv("PGPASSFILE", t.TempDir()+"/absent")
}

func TestParseServer(t *testing.T) {
	clearEnvironment(t)
	none := map[string]string{}
	for url, want := range map[string]Server{
		"postgres://u:p@h:1234/d": {Host: "h", Port: 1234, User: "u", Password: "p", Database: "d", SSLMode: config.SSLPrefer, Parameters: none},
		"postgresql://u@h":        {Host: "h", Port: 5432, User: "u", Database: "u", SSLMode: config.SSLPrefer, Parameters: none},
		"postgres://u:%2F%3F%40%20%2B@[::1]/d%20b?sslmode=disable": {Host: "::1", Port: 5432, User: "u", Password: "/?@ +", Database: "d b", SSLMode: config.SSLDisable, Parameters: none},
		"postgres://u@/d?host=/run/pg&port=7":                      {Host: "/run/pg", Port: 7, User: "u", Database: "d", SSLMode: config.SSLDisable, Parameters: none},
		"postgres://u@h/d?sslmode=require&application_name=x&options=-c%20a%3Db": {
			Host: "h", Port: 5432, User: "u", Database: "d", SSLMode: config.SSLRequire,
			Parameters: map[string]string{"application_name": "x", "options": "-c a=b"},
		},
	} {
		got, err := ParseServer(url)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", url, got, err, want)
		}
		again, err := ParseServer(got.URL(""))
		if err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("%s: its own URL %s is read as %+v, %v", url, got.URL(""), again, err)
		}
		// What clients of pgx make of it.
		parsed, err := pgconn.ParseConfig(got.URL("carpool-bench/x"))
		if err != nil {
			t.Errorf("%s: pgx reads its own URL: %v", url, err)
			continue
		}
		if parsed.Host != want.Host || int(parsed.Port) != want.Port || parsed.User != want.User || parsed.Password != want.Password ||
			parsed.Database != want.Database || parsed.RuntimeParams["application_name"] != "carpool-bench/x" {
			t.Errorf("%s: pgx reads %s as %+v", url, got.URL("carpool-bench/x"), parsed)
		}
		if _, query, _ := strings.Cut(got.URL("x"), "?"); strings.Contains(query, "+") {
			t.Errorf("%s: libpq would take the + in %s literally", url, query)
		}
	}
}

func TestParseServerTakesTheRestFromTheEnvironment(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("PGPASSWORD", "secret")
	t.Setenv("PGSSLMODE", "require")
	if s, err := ParseServer("postgres://u@h/d"); err != nil || s.Password != "secret" || s.SSLMode != config.SSLRequire {
		t.Errorf("got %+v, %v", s, err)
	}
	if s, err := ParseServer("postgres://u:own@h/d?sslmode=disable"); err != nil || s.Password != "own" || s.SSLMode != config.SSLDisable {
		t.Errorf("got %+v, %v", s, err)
	}
	t.Setenv("PGSSLMODE", "sometimes")
	if _, err := ParseServer("postgres://u@h/d"); err == nil || !strings.Contains(err.Error(), "PGSSLMODE") {
		t.Errorf("got %v", err)
	}
}

func TestParseServerRefusesInOneSentence(t *testing.T) {
	clearEnvironment(t)
	for _, url := range []string{
		"", "localhost", "mysql://u:hunter2@h/d", "postgres://u:hunter2@h:x/d", "postgres://u:hunter2@h1,h2/d", "postgres://u:hunter2@/d", "postgres://h/d",
		"postgres://u:hunter2@h/d?sslmode=sometimes", "postgres://u:hunter2@h/d?hostaddr=1.2.3.4", "postgres://u:%zz-hunter2@h/d",
		"postgres://u:hunter2@/d?host=h%2Fx", "postgres://u:hunter2@/d?host=@abstract", "postgres://u:hunter2@[::1::]/d",
		"postgres://u:hunter2@h/d?sslmode=verify-full&sslrootcert=/absent/ca.crt",
	} {
		_, err := ParseServer(url)
		if err == nil || !strings.HasPrefix(err.Error(), "the database URL ") || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v", url, err)
		}
	}
}

func TestAtAnotherAddress(t *testing.T) {
	full := Server{Host: "db.example.org", Port: 5432, SSLMode: config.SSLVerifyFull, SSLRootCert: "/ca.crt"}
	moved, err := full.At("127.0.0.1:99")
	if err != nil || moved.Host != "127.0.0.1" || moved.Port != 99 || moved.SSLMode != config.SSLVerifyCA {
		t.Errorf("got %+v, %v", moved, err)
	}
	full.Host = "127.0.0.1"
	if stays, err := full.At("127.0.0.1:99"); err != nil || stays.SSLMode != config.SSLVerifyFull {
		t.Errorf("got %+v, %v", stays, err)
	}
	full.Host, full.SSLRootCert = "db.example.org", "system"
	if _, err := full.At("127.0.0.1:99"); err == nil {
		t.Error("the system's authorities were taken for a certificate without a name")
	}
	for _, bad := range []string{"", "h", "h:x"} {
		if _, err := full.At(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, row := range []struct {
		server           Server
		network, address string
	}{
		{Server{Host: "::1", Port: 5}, "tcp", "[::1]:5"},
		{Server{Host: "/run", Port: 5}, "unix", "/run/.s.PGSQL.5"},
	} {
		if network, address := row.server.Address(); network != row.network || address != row.address {
			t.Errorf("%+v: got %s, %s", row.server, network, address)
		}
	}
}

func TestLimitsApply(t *testing.T) {
	for _, row := range []struct {
		name          string
		share         float64
		capacities    []capacity
		free, allowed int
		bound         string
	}{
		{"one limit", 0.5, []capacity{{97, 6, "max"}}, 90, 45, "max"},
		{"all of them", 1, []capacity{{97, 6, "max"}}, 90, 90, "max"},
		{"the role's binds", 0.5, []capacity{{97, 6, "max"}, {20, 5, "role"}, {-1, 5, "database"}}, 14, 7, "role"},
		{"the database's binds", 0.5, []capacity{{97, 6, "max"}, {20, 5, "role"}, {10, 5, "database"}}, 4, 2, "database"},
		{"none is a limit too", 0.5, []capacity{{97, 6, "max"}, {0, 0, "role"}}, 0, 0, "role"},
		{"never nothing of something", 0.1, []capacity{{10, 7, "max"}}, 2, 1, "max"},
		{"more in use than there may be", 0.5, []capacity{{97, 99, "max"}}, 0, 0, "max"},
	} {
		var got Limits
		got.apply(row.share, row.capacities)
		if got.Free != row.free || got.Allowed != row.allowed || got.Bound != row.bound {
			t.Errorf("%s: got %+v", row.name, got)
		}
	}
}

func TestOwnRefusesAShareThatIsNone(t *testing.T) {
	for _, share := range []float64{-0.5, 1.5} {
		if _, err := Own(t.Context(), "postgres://u@h/d", Options{Share: share}); err == nil || !strings.Contains(err.Error(), "share") {
			t.Errorf("%g: got %v", share, err)
		}
	}
}

func TestSentenceHidesTheSecret(t *testing.T) {
	server := Server{Host: "h", Port: 1, User: "u", Password: "hunter2", Database: "d"}
	for _, err := range []error{
		errors.New("something about hunter2"),
		&pgconn.PgError{Code: "XX000", Message: "you said hunter2"},
	} {
		if text := explain(context.Background(), server, "connecting to", err).Error(); strings.Contains(text, "hunter2") || !strings.Contains(text, "***") {
			t.Errorf("got %q", text)
		}
	}
}

func TestQuote(t *testing.T) {
	for name, want := range map[string]string{"abc_1": "abc_1", "1a": `"1a"`, "A": `"A"`, `a"b`: `"a""b"`, "": `""`} {
		if got := quoteIdentifier(name); got != want {
			t.Errorf("%s: got %s", name, got)
		}
	}
	for text, want := range map[string]string{"a'b": "'a''b'", `a\b'`: `E'a\\b'''`} {
		if got := quoteLiteral(text); got != want {
			t.Errorf("%s: got %s", text, got)
		}
	}
}

// FuzzParseServer: what can be read is read the same from its own URL, by us and by pgx.
func FuzzParseServer(f *testing.F) {
	for _, seed := range []string{
		"postgres://u:p@h:1234/d", "postgres://u:%2F%3F%40@[::1]/d%20b?sslmode=disable", "postgres://u@/d?host=/run/pg&port=7",
		"postgres://u@h/d?options=-c%20a%3Db&application_name=%2B", "postgres://u:@h?dbname=%25", "postgres://u@@x/d?host=%40abstract", "postgres://@@0?A=00", "postgres://0@?host=0/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		first, err := ParseServer(url)
		if err != nil {
			return
		}
		second, err := ParseServer(first.URL(""))
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%q: %+v, but its own URL %q is %+v, %v", url, first, first.URL(""), second, err)
		}
		parsed, err := pgconn.ParseConfig(first.URL("x"))
		if err != nil || parsed.User != first.User || parsed.Password != first.Password || parsed.Database != first.Database {
			t.Errorf("%q: pgx reads %q as %+v, %v", url, first.URL("x"), parsed, err)
		}
	})
}
