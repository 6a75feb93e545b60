package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	tests := []struct{ url, want string }{
		{"postgres://u:p@h/d", "host=h port=5432 dbname=d user=u password=p"},
		{"postgresql://u:p@h:6000/d", "host=h port=6000 dbname=d user=u password=p"},
		{"POSTGRES://u:p@h/d\n", "host=h port=5432 dbname=d user=u password=p"},
		{"postgres://u@h", "host=h port=5432 dbname=u user=u"},
		{"postgres://u@h:/", "host=h port=5432 dbname=u user=u"},
		{"postgres://u:@h/d?", "host=h port=5432 dbname=d user=u"},
		// Passwords.
		{"postgres://u:p%40%2F%3A%25%20%27@h/d", `host=h port=5432 dbname=d user=u password='p@/:% '''`},
		{"postgres://u:a:b@h/d", "host=h port=5432 dbname=d user=u password=a:b"},
		{"postgres://u:a@b@h/d", "host=h port=5432 dbname=d user=u password=a@b"},
		{"postgres://u:a?b=c#d@h/d", "host=h port=5432 dbname=d user=u password=a?b=c#d"},
		{"postgres://u:+%2B@h/d", "host=h port=5432 dbname=d user=u password=++"},
		{"postgres://u:%C3%BC%0a@h/d", "host=h port=5432 dbname=d user=u password=ü\n"},
		{"postgres://us%40er:p@h/d%20b", "host=h port=5432 dbname='d b' user=us@er password=p"},
		{"postgres://h/d?user=u&password=p%26q=r", "host=h port=5432 dbname=d user=u password=p&q=r"},
		// Addresses.
		{"postgres://u@[2001:db8::1]/d", "host=2001:db8::1 port=5432 dbname=d user=u"},
		{"postgres://u@[fe80::1%25eth0]:1/d", "host=fe80::1%eth0 port=1 dbname=d user=u"},
		{"postgres://u@a:1,b:2,[::1]/d", "host=a,b,::1 port=1,2,5432 dbname=d user=u load_balance_hosts=disable"},
		{"postgres://u@a,b/d?load_balance_hosts=random", "host=a,b port=5432 dbname=d user=u"},
		{"postgres:///d?host=/run/pg&user=u", "host=/run/pg dbname=d user=u"},
		{"postgres://u@/d?host=/run/pg&port=6000", "host=/run/pg port=6000 dbname=d user=u"},
		{"postgres://u@%2Frun%2Fpg/d", "host=/run/pg port=5432 dbname=d user=u"},
		{"postgres://u@%2Frun%2Fpg:6000/d", "host=/run/pg port=6000 dbname=d user=u"},
		{"postgres://u@h/d?host=other&dbname=e&port=1", "host=other port=1 dbname=e user=u"},
		{"postgres://u@h?sslmode=disable", "host=h port=5432 dbname=u user=u sslmode=disable"},
		// TLS.
		{"postgres://u@h/d?sslmode=verify-full&sslrootcert=/ca.pem", "host=h port=5432 dbname=d user=u sslmode=verify-full sslrootcert=/ca.pem"},
		{"postgres://u@h/d?sslmode=require&sslrootcert=/ca.pem", "host=h port=5432 dbname=d user=u sslmode=verify-ca sslrootcert=/ca.pem"},
		{"postgres://u@h/d?sslrootcert=system", "host=h port=5432 dbname=d user=u sslmode=verify-full sslrootcert=system"},
		{"postgres://u@h/d?sslcert=c&sslkey=k&sslmode=no-verify", "host=h port=5432 dbname=d user=u sslmode=require sslcert=c sslkey=k"},
		{"postgres://u@h/d?ssl=true", "host=h port=5432 dbname=d user=u sslmode=require"},
		{"postgres://u@h/d?sslmode=verify-full&ssl=true", "host=h port=5432 dbname=d user=u sslmode=verify-full"},
		{"postgres://u@h/d?sslmode=", "host=h port=5432 dbname=d user=u"},
		// Parameters.
		{"postgres://u@h/d?connect_timeout=10&application_name=my%20app", "host=h port=5432 dbname=d user=u server_connect_timeout=10 application_name='my app'"},
		{"postgres://u@h/d?connect_timeout=-1", "host=h port=5432 dbname=d user=u server_connect_timeout=0"},
		{"postgres://u@h/d?options=-c%20search_path=a,b", "host=h port=5432 dbname=d user=u parameter.options='-c search_path=a,b'"},
		{
			"postgres://u@h/d?statement_timeout=5s&Work_Mem=64MB&app.tenant=7&TimeZone=UTC",
			"host=h port=5432 dbname=d user=u timezone=UTC parameter.app.tenant=7 parameter.statement_timeout=5s parameter.work_mem=64MB",
		},
		{"postgres://u@h/d?target_session_attrs=read-write&client_encoding=auto", "host=h port=5432 dbname=d user=u target_session_attrs=read-write"},
		{"postgres://u@h/d?pgbouncer=true&connection_limit=1&keepalives=1&gssencmode=prefer", "host=h port=5432 dbname=d user=u"},
		{"postgres://u@h/d?channel_binding=require", "host=h port=5432 dbname=d user=u channel_binding=require"},
		{"postgres://u@h/d?a=1&a=2&&b=", "host=h port=5432 dbname=d user=u parameter.a=2"},
	}
	for _, test := range tests {
		d, err := ParseURL(test.url)
		if err != nil {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		if got := (printer{}).database(d); got != " "+test.want {
			t.Errorf("%s:\ngot  %s\nwant  %s", test.url, got, test.want)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	const hint = " (in a password / is written %2F, ? %3F, @ %40)"
	tests := []struct{ url, want string }{
		{"", "expected postgres:// or postgresql:// at the beginning"},
		{"hunter2", "expected postgres:// or postgresql:// at the beginning"},
		{"postgresql+psycopg://u:hunter2@h/d", "expected postgres:// or postgresql:// at the beginning"},
		{"postgres://u:" + strings.Repeat("x", mostURLBytes) + "@h/d", "longer than 65536 bytes"},
		{"postgres://u:hunter2%4@h/d", "password: % isn't followed by two hexadecimal digits (a % itself is written %25)"},
		{"postgres://u:hunter2%00@h/d", "password: control characters are not allowed"},
		{"postgres://u:hunter2@h/d%0Aname", "database name: control characters are not allowed"},
		{"postgres://u:hunter2@h:0/d", "the port isn't a number from 1 to 65535"},
		{"postgres://u:hunter2@h:65536/d", "the port isn't a number from 1 to 65535"},
		{"postgres://u:hunt/er2@h/d", "the port isn't a number from 1 to 65535" + hint},
		{"postgres://u:12/hunter2@h/d", "needs a user" + hint},
		{"postgres://u:12@34/hunter2@h/d", "database name: an @ in it is written %40" + hint},
		{"postgres://u:12@34/hunter2@h", "database name: an @ in it is written %40" + hint},
		{"postgres://u@h/d?hunter2@x=1", "query: a key (not shown, as it may be a part of the password) isn't known" + hint},
		{"postgres://u:hunter2@::1/d", "an IPv6 address needs a [ before it and a ] after it; a : in a password is written %3A"},
		{"postgres://u:hunter2@[::1/d", "an IPv6 address needs a [ before it and a ] after it"},
		{"postgres://u:hunter2@[::1]x/d", "an IPv6 address needs a [ before it and a ] after it"},
		{"postgres:///d?user=u", "needs a host for each server, as in postgres://user:password@host/database or ?host=/run/postgresql for a Unix socket"},
		{"postgres://u@a,,b/d", "needs a host for each server, as in postgres://user:password@host/database or ?host=/run/postgresql for a Unix socket"},
		{"postgres://h/d", "needs a user"},
		{"postgres://u@a%2Cb/d", "a host can't contain a blank, a comma or an @"},
		{"postgres://u@a/d?port=1,2", "2 ports for 1 hosts"},
		{"postgres://u@h/d?sslmode=on", "query: \"sslmode\": expected one of disable, allow, prefer, require, verify-ca, verify-full"},
		{"postgres://u@h/d?sslmod=require", "query: unknown key \"sslmod\", did you mean sslmode?"},
		{"postgres://u@h/d?conect_timeout=1", "query: unknown key \"conect_timeout\", did you mean connect_timeout?"},
		{"postgres://u@h/d?sslcrl=/crl", "query: \"sslcrl\" is not supported with this value"},
		{"postgres://u@h/d?gssencmode=require", "query: \"gssencmode\" is not supported with this value"},
		{"postgres://u@h/d?channel_binding=always", "query: \"channel_binding\": expected one of prefer, require, disable"},
		{"postgres://u@h/d?hostaddr=1.2.3.4", "query: \"hostaddr\" is not supported with this value"},
		{"postgres://u@h/d?database=x", "query: unknown key \"database\""},
		{"postgres://u@h/d?search-path=x", "query: unknown key \"search-path\""},
		{"postgres://u@h/d?sslmode", "query: \"sslmode\" has no value"},
		{"postgres://u@h/d?connect_timeout=soon", "query: \"connect_timeout\": expected a time from 0 to 1000000000 s, as a number of seconds or with a unit such as 500ms, 5s, 2min"},
	}
	for _, test := range tests {
		_, err := ParseURL(test.url)
		if err == nil || err.Error() != "database URL: "+test.want {
			t.Errorf("%.80s:\ngot  %v\nwant database URL: %s", test.url, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunt") {
			t.Errorf("%s: the password is shown: %v", test.url, err)
		}
	}
}

func TestURLDatabaseIgnoresTheNameAskedFor(t *testing.T) {
	c := Default()
	if err := c.AddURL("postgres://u:p@h/books"); err != nil {
		t.Fatal(err)
	}
	d, ok := c.Database("anything")
	if !ok || d.ServerDBName() != "books" || d.Name != "anything" || !d.Auto {
		t.Errorf("got %+v, %v", d, ok)
	}
	if err := c.AddURL("postgres://u:p@h:x/other"); err == nil {
		t.Error("a bad URL was taken")
	}
	if err := c.AddURL("postgres://u:p@h2/other"); err != nil {
		t.Fatal(err)
	}
	if d, _ = c.Database("anything"); len(c.Databases) != 1 || d.ServerDBName() != "other" {
		t.Errorf("the second URL didn't replace the first: %s", c.Redacted())
	}
}

func TestURLIgnoredKeysWarn(t *testing.T) {
	c, err := DefaultForURL("postgres://u:p@h/d?pgbouncer=true&target_session_attrs=primary")
	if err != nil {
		t.Fatal(err)
	}
	want := "database URL: query: \"pgbouncer\" has no effect\n" +
		"database URL: database \"*\": target_session_attrs: carpool does not act on this yet"
	if got := c.Warnings().Error(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestDefaultForURL(t *testing.T) {
	c, err := DefaultForURL("postgres://u:p@h/d?sslmode=require&connect_timeout=3")
	if err != nil {
		t.Fatal(err)
	}
	if problems := c.Validate(); len(problems) != 0 {
		t.Error(problems)
	}
	if c.PoolMode != PoolTransaction || !slices.Equal(c.ListenAddr, []string{"127.0.0.1"}) || c.ListenPort != 6432 || c.UnixSocketDir != "" {
		t.Errorf("listens or pools otherwise: %s", c.Redacted())
	}
	if c.AuthType != AuthSCRAMSHA256 || len(c.StaticUsers) != 1 || c.StaticUsers["u"] != "p" {
		t.Errorf("auth_type %v, users %v", c.AuthType, c.StaticUsers)
	}
	d, _ := c.Database("x")
	if r := c.Resolve(d, "u"); r.ServerTLS.Mode != SSLRequire || r.ServerConnectTimeout != 3*time.Second || r.PoolMode != PoolTransaction {
		t.Errorf("resolved %+v", r)
	}
	d.SSLMode = Optional[SSLMode]{}
	if r := c.Resolve(d, "u"); r.ServerTLS.Mode != SSLPrefer {
		t.Errorf("without sslmode: %v", r.ServerTLS.Mode)
	}
	if c, err = DefaultForURL("nonsense"); err == nil || c == nil {
		t.Errorf("got %v, %v", c, err)
	}
}

// Without a password in the URL nobody is asked for one, so nobody else may
// reach the port.
func TestURLWithoutPasswordStaysOnLoopback(t *testing.T) {
	for listen, allowed := range map[string]bool{
		"127.0.0.1": true, "::1": true, "localhost": true, "127.0.0.1,::1": true,
		"*": false, "0.0.0.0": false, "::": false, "10.0.0.1": false, "127.0.0.1,10.0.0.1": false, "example.com": false,
	} {
		c, err := DefaultForURL("postgres://u@h/d")
		if err != nil || c.AuthType != AuthTrust {
			t.Fatalf("auth_type %v, %v", c.AuthType, err)
		}
		if err := c.Set("listen_addr", listen); err != nil {
			t.Fatal(err)
		}
		if problems := c.Validate(); (len(problems) == 0) != allowed {
			t.Errorf("%s: %v", listen, problems)
		}
		if err := c.Set("auth_type", "md5"); err != nil {
			t.Fatal(err)
		}
		if problems := c.Validate(); len(problems) != 0 {
			t.Errorf("%s with md5: %v", listen, problems)
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{
		"postgres://u:p@h/d", "postgres://u:p%40@[::1]:1,b/d?sslmode=require&options=-c%20a=b", "postgres:///d?host=/x&user=u",
		"postgresql://a:b@c@d/e?f@g=h", "postgres://%2Frun:1/x?ssl=1&port=1,2", "postgres://u@h?connect_timeout=1e9d&x.y=%ff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		c, err := DefaultForURL(url)
		c.Validate()
		c.Warnings()
		c.Redacted()
		if err != nil {
			return
		}
		d, ok := c.Database("x")
		if !ok || d.User == "" || d.DBName == "" || len(d.Hosts) == 0 {
			t.Fatalf("incomplete: %+v", d)
		}
		if len(c.Addresses(d)) != len(d.Hosts) {
			t.Errorf("addresses %v of %v", c.Addresses(d), d.Hosts)
		}
		// What a URL says can also be written as an entry of a file, but for
		// line breaks in passwords.
		if hasControl(d.Password) {
			return
		}
		text := "[databases]\n*" + " =" + (printer{}).database(d)
		again, err := load("m", tree(map[string]string{"m": text}))
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if got := (printer{}).database(again.Databases[0]); "[databases]\n* ="+got != text {
			t.Errorf("got %s from %s", got, text)
		}
	})
}
