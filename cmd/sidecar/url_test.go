package sidecar

import (
	"fmt"
	"strings"
	"testing"

	"carpool/config"
)

// tcp and socket are the doors of these tests.
var (
	tcp    = Door{Host: "127.0.0.1", Port: "6000", Password: "pw"}
	socket = Door{SocketDir: "/tmp/my sockets", Port: "6000", Password: "pw"}
)

func TestURLsForTheApplication(t *testing.T) {
	for _, row := range []struct{ url, want string }{
		{"postgres://u:p@h/d", "postgres://u:pw@127.0.0.1:6000/d"},
		{"postgresql://u:p@h:5433/d", "postgresql://u:pw@127.0.0.1:6000/d"},
		{"  postgres://u:p@h/d\n", "postgres://u:pw@127.0.0.1:6000/d"},
		// Drivers are named in the scheme.
		{"postgresql+psycopg2://u:p@h/d", "postgresql+psycopg2://u:pw@127.0.0.1:6000/d"},
		{"postgresql+asyncpg://u:p@h/d", "postgresql+asyncpg://u:pw@127.0.0.1:6000/d"},
		{"postgis://u:p@h/d", "postgis://u:pw@127.0.0.1:6000/d"},
		// Escapes stay as they were written.
		{"postgres://us%65r:p%40ss%2F@h/d%20b", "postgres://us%65r:pw@127.0.0.1:6000/d%20b"},
		{"postgres://u%3ax:p@h/d%2fe", "postgres://u%3ax:pw@127.0.0.1:6000/d%2fe"},
		{"postgres://u:p@h/d?options=-c%20search_path%3Da%2Cb", "postgres://u:pw@127.0.0.1:6000/d?options=-c%20search_path%3Da%2Cb"},
		{"postgres://u:p?s#@s@h/d?application_name=a@b", "postgres://u:pw@127.0.0.1:6000/d?application_name=a@b"},
		// Where the user and the database come from.
		{"postgres://u:p@h", "postgres://u:pw@127.0.0.1:6000/u"},
		{"postgres://u:p@h/", "postgres://u:pw@127.0.0.1:6000/u"},
		{"postgres://h/d?user=a%20b&password=p", "postgres://a%20b:pw@127.0.0.1:6000/d"},
		{"postgres://u:p@h/d?dbname=e%2Ff", "postgres://u:pw@127.0.0.1:6000/e%2Ff"},
		// Addresses.
		{"postgres://u:p@[2001:db8::1]:5433/d", "postgres://u:pw@127.0.0.1:6000/d"},
		{"postgres://u:p@a:1,b:2/d?target_session_attrs=any&load_balance_hosts=random", "postgres://u:pw@127.0.0.1:6000/d"},
		{"postgres://u:p@/d?host=/run/postgresql&port=5433", "postgres://u:pw@127.0.0.1:6000/d"},
		{"postgres://u:p@%2Frun%2Fpostgresql/d", "postgres://u:pw@127.0.0.1:6000/d"},
		// Options of the way to the server and of the session.
		{
			"postgres://u:p@h/d?sslmode=require&application_name=my%20app&connect_timeout=3&sslrootcert=/ca",
			"postgres://u:pw@127.0.0.1:6000/d?application_name=my%20app&connect_timeout=3",
		},
		{"postgres://u:p@h/d?sslmode=require&channel_binding=require", "postgres://u:pw@127.0.0.1:6000/d"},
		{"postgres://u:p@h/d?sslmode=no-verify&channel_binding=prefer&gssencmode=disable&ssl=true", "postgres://u:pw@127.0.0.1:6000/d"},
		{
			"postgres://u:p@h/d?schema=x&pgbouncer=true&statement_cache_size=0&prepared_statements=false&pool_recycle=300&unknown",
			"postgres://u:pw@127.0.0.1:6000/d?schema=x&pgbouncer=true&statement_cache_size=0&prepared_statements=false&pool_recycle=300&unknown",
		},
		{"postgres://u:p@h/d?options=endpoint%3Dep-cool-1&client_encoding=utf8", "postgres://u:pw@127.0.0.1:6000/d?client_encoding=utf8"},
		{"postgres://u:p@h/d?&&a=1&", "postgres://u:pw@127.0.0.1:6000/d?a=1"},
	} {
		u, err := ParseURL("DATABASE_URL", row.url, nil)
		if err != nil {
			t.Errorf("%s: %v", row.url, err)
			continue
		}
		if got := u.local(tcp, u.Server.DBName, nil); got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.url, got, row.want)
		}
	}
}

func TestURLsWithExtras(t *testing.T) {
	u, err := ParseURL("DATABASE_URL", "postgres://u:p@h/d?prepared_statements=true&a=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := u.local(tcp, "d_2", []string{"prepared_statements=false"}), "postgres://u:pw@127.0.0.1:6000/d_2?a=1&prepared_statements=false"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := u.local(socket, "d", nil), "postgres://u:pw@/d?prepared_statements=true&a=1&host=/tmp/my%20sockets&port=6000"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := u.local(Door{Host: "::1", Port: "1", Password: "p w"}, "d", nil), "postgres://u:p%20w@[::1]:1/d?prepared_statements=true&a=1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestServersOfURLs(t *testing.T) {
	u, err := ParseURL("V", "postgresql+psycopg://u:p%40@a:1,[::1]/d?sslmode=verify-full&sslrootcert=system&connect_timeout=3&application_name=x&options=endpoint%3Dy&unknown=z", nil)
	if err != nil {
		t.Fatal(err)
	}
	d := u.Server
	if got, want := fmt.Sprintln(d.Hosts, d.Ports, d.User, d.Password, d.DBName, d.SSLMode.Value, d.SSLRootCert, d.ConnectTimeout.Value), "[a ::1] [1 5432] u p@ d verify-full system 3s\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// What a session asks for is no concern of the connection that it happens to use.
	if got, want := fmt.Sprint(d.StartupParameters()), "[{options endpoint=y}]"; got != want {
		t.Errorf("start-up parameters: got %s, want %s", got, want)
	}
	if got, want := u.Place(), "u@a:1,[::1]:5432/d"; got != want {
		t.Errorf("place: got %s, want %s", got, want)
	}
}

func TestURLsThatCantBeUsed(t *testing.T) {
	const like = ": it should be like postgres://user:password@host/database"
	for _, row := range []struct{ url, want string }{
		{"", "X is empty" + like},
		{" \n", "X is empty" + like},
		{"hunter2", "X isn't the URL of a Postgres database" + like},
		{"postgres:u:hunter2@h/d", "X isn't a URL" + like},
		{"mysql://u:hunter2@h/d", "X is a mysql URL, and carpool speaks to Postgres only" + like},
		{"mysql2://u:hunter2@h/d", "X is a mysql2 URL, and carpool speaks to Postgres only" + like},
		{"mysql+pymysql://u:hunter2@h/d", "X is a mysql URL, and carpool speaks to Postgres only" + like},
		{"sqlite:///hunter2.db", "X is a sqlite URL, and carpool speaks to Postgres only" + like},
		{"SQLITE:hunter2", "X is a sqlite URL, and carpool speaks to Postgres only" + like},
		{"hunter2://u@h/d", "X isn't the URL of a Postgres database" + like},
		{"jdbc:postgresql://h/d?user=u&password=hunter2", "X is a JDBC URL, which can't be pooled: have the application use postgres://user:password@host/database instead"},
		{"postgres://u:hunter2%4@h/d", "X can't be used: password: % isn't followed by two hexadecimal digits (a % itself is written %25)"},
		{"postgres://u:hunter2@h:x/d", "X can't be used: the port isn't a number from 1 to 65535"},
		{"postgres://u:hunt/er2@h/d", "X can't be used: the port isn't a number from 1 to 65535 (in a password / is written %2F, ? %3F, @ %40)"},
		{"postgres://u:p@ss?hunt#er2@h/d", `X can't be used: query: a key (not shown, as it may be a part of the password) has no value`},
		{"postgres:///d?user=u&password=hunter2", "X can't be used: needs a host for each server, as in postgres://user:password@host/database or ?host=/run/postgresql for a Unix socket"},
		{"postgres://h/d?password=hunter2", "X can't be used: needs a user"},
		{"postgres://u:hunter2@h/d?sslmod=require", `X can't be used: query: unknown key "sslmod", did you mean sslmode?`},
		{"postgres://u:hunter2@h/d?sslmode=hunter", `X can't be used: query: "sslmode": expected one of disable, allow, prefer, require, verify-ca, verify-full`},
		{"postgres://u:hunter2@h/d?channel_binding=always", `X can't be used: query: "channel_binding": expected one of prefer, require, disable`},
		{"postgres://u:hunter2@h/d?service=x", `X can't be used: query: "service" is not supported with this value`},
	} {
		u, err := ParseURL("X", row.url, nil)
		if err == nil || err.Error() != row.want {
			t.Errorf("%s:\n got %v\nwant %s", row.url, err, row.want)
		}
		if u != nil {
			t.Errorf("%s: an error and a URL", row.url)
		}
		if err != nil && strings.Contains(err.Error(), "hunt") {
			t.Errorf("%s: the error shows a part of the password: %v", row.url, err)
		}
	}
}

// Whatever the application is given, it must lead to the same database as far as carpool is concerned, with nothing of the real
// password in it.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"postgres://u:p@h/d", "postgresql+psycopg2://us%65r:p%40@[::1]:1,b/d%20e?sslmode=require&application_name=x&options=-c%20a%3Db",
		"postgres://h/d?user=u&password=p", "postgres://u:p@/d?host=/tmp&port=1", "postgres://a@b@c/d?e=f@g", "mysql://x", "postgres://u:p@h?x=%zz",
		"postgres://u:secretsecret@h/d?%68ost=x&passwor%64=y", "postgres://:@h/", "postgres://u@h/d#?a", "postgis://u:a:b@h:/d?&&",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURL("V", text, nil)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "V ") {
				t.Errorf("the error doesn't name the variable: %v", err)
			}
			return
		}
		local := u.local(tcp, u.Server.DBName, nil)
		again, err := ParseURL("V", local, nil)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, local, err)
		}
		d := again.Server
		if d.User != u.Server.User || d.DBName != u.Server.DBName {
			t.Errorf("%q became %q: user %q and database %q were %q and %q", text, local, d.User, d.DBName, u.Server.User, u.Server.DBName)
		}
		if fmt.Sprintln(d.Hosts, d.Ports, d.Password) != "[127.0.0.1] [6000] pw\n" {
			t.Errorf("%q became %q, which leads to %v %v", text, local, d.Hosts, d.Ports)
		}
		if d.SSLMode != (config.Optional[config.SSLMode]{}) {
			t.Errorf("%q became %q, which demands TLS", text, local)
		}
	})
}
