package proxy

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/pool"
	"carpool/proxy/upstream"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
)

// registrar is a Postgres whose users carpool has to look up.
type registrar struct {
	*pgserver.Server
	t     *testing.T
	users string // auth_file with nobody in it but the one who asks
}

func startRegistrar(t *testing.T, hba ...string) *registrar {
	t.Helper()
	r := &registrar{t: t, users: filepath.Join(t.TempDir(), "users.txt")}
	r.Server = pgtest.Start(t, pgserver.Options{
		Roles: []pgserver.Role{
			{Name: "asker", Password: serverPassword, Superuser: true},
			{Name: "clerk", Password: serverPassword},
			{Name: "scram", Password: goodPassword},
			{Name: "md5", Password: goodPassword, Encryption: pgserver.MD5},
		},
		Databases: []string{"app", "other"},
		HBA:       append(hba, "host all asker,clerk all scram-sha-256"),
	})
	write(t, r.users, fmt.Sprintf("\"asker\" \"%s\"\n\"clerk\" \"%s\"\n", serverPassword, serverPassword))
	return r
}

// sql runs statements as the superuser, in a database.
func (r *registrar) sql(database, text string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	v, err := r.Value(ctx, database, text)
	if err != nil {
		r.t.Fatalf("%s: %v", text, err)
	}
	return v
}

// pooler starts a proxy before it. Lines before the first section header belong
// to [pgbouncer].
func (r *registrar) pooler(t *testing.T, settings string) *pooler {
	t.Helper()
	if !strings.Contains(settings, "[databases]") {
		settings += fmt.Sprintf("\n[databases]\n* = host=%s port=%d\n", r.Host(), r.Port())
	}
	return startPooler(t, "pool_mode = transaction\nauth_type = md5\nauth_user = asker\nauth_file = "+r.users+"\n"+settings)
}

// asked is how many connections for auth_query there are in a database.
func (r *registrar) asked(database string) string {
	return r.sql("", "select count(*) from pg_stat_activity where application_name = 'carpool auth_query' and datname = '"+database+"'")
}

// logIn logs in and runs a query.
func (p *pooler) logIn(user, password, database string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgconn.ParseConfig(p.url("x", database))
	if err != nil {
		return err
	}
	c.User, c.Password = user, password
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // it is only a question
	_, err = conn.Exec(ctx, "select 1").ReadAll()
	return err
}

// inquiriesMade is how many questions the connections that are open have been
// asked.
func (p *pooler) inquiriesMade() (n int) {
	q := p.inquiries
	for _, source := range q.servers.Pools() {
		for source.Stats().Idle > 0 {
			var ticket pool.Ticket[*upstream.Inquirer]
			lease, outcome, err := source.Checkout(&ticket, q.servers.Now())
			if outcome != pool.Granted {
				p.t.Fatalf("an idle connection isn't granted: %v", err)
			}
			n += lease.Value.Asked()
			lease.Discard(pool.ReasonAdmin, q.servers.Now())
		}
	}
	return n
}

// flights are the questions that aren't answered yet.
func (p *pooler) flights() []*inquiry {
	q := p.inquiries
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Collect(maps.Values(q.flights))
}

// waitingForInquiries is how many clients wait for an answer of auth_query.
func (p *pooler) waitingForInquiries() (n int) {
	q := p.inquiries
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range q.flights {
		n += len(f.sessions)
	}
	return n
}

// session opens a connection of the superuser's that runs statements.
func (r *registrar) session(t *testing.T, database string) func(sql string) {
	conn, err := pgconn.Connect(context.Background(), r.URL("", database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return func(sql string) { value(t, conn, sql) }
}

func TestUsersAreLookedUp(t *testing.T) {
	r := startRegistrar(t)
	ages := "auth_query_max_age = 0\n"
	r.sql("", `
		set password_encryption = 'scram-sha-256';
		create role nologin password '`+goodPassword+`';
		create role late login password '`+goodPassword+`' valid until 'yesterday';
		create role early login password '`+goodPassword+`' valid until 'tomorrow';
		create role forever login password '`+goodPassword+`' valid until 'infinity';
		create role nopassword login;
		create role superuser superuser login password '`+goodPassword+`';
		create role "Käse ""x""" login password '`+goodPassword+`';`)

	t.Run("who gets in", func(t *testing.T) {
		for _, method := range []string{"plain", "md5", "scram-sha-256"} {
			p := r.pooler(t, ages+"auth_type = "+method)
			for user, want := range map[string]bool{
				"scram": true, "md5": method != "scram-sha-256", "early": true, "forever": true, `Käse "x"`: true,
				"late": false, "nologin": false, "nopassword": false, "unknown": false, "x' or true --": false, "\xff\xfe": false,
			} {
				if err := p.logIn(user, goodPassword, "app"); (err == nil) != want {
					t.Errorf("%s: user %q: let in: %t (%v)", method, user, err == nil, err)
				} else if err != nil && codeOf(err) != "28P01" {
					t.Errorf("%s: user %q: %v", method, user, err)
				}
				for _, password := range []string{wrongPassword, ""} {
					if user != "scram" && user != "late" {
						continue // the matrix has the rest
					}
					if err := p.logIn(user, password, "app"); err == nil {
						t.Errorf("%s: user %q gets in by %q", method, user, password)
					}
				}
			}
			p.keepsSecrets()
		}
	})

	t.Run("per database", func(t *testing.T) {
		r.sql("other", "create schema desk; create function desk.secret(name text) returns table (n text, s text) language sql security definer set search_path = pg_catalog as $$ select name, 'kept by the desk'::text $$; revoke all on function desk.secret from public; grant usage on schema desk to clerk; grant execute on function desk.secret to clerk;")
		p := r.pooler(t, ages+fmt.Sprintf("auth_dbname = side\n[databases]\n"+
			"side = host=%[1]s port=%[2]d dbname=app\n"+
			"one = host=%[1]s port=%[2]d dbname=postgres\n"+
			"two = host=%[1]s port=%[2]d dbname=postgres auth_user=clerk auth_dbname=there auth_query='select n, s from desk.secret($1)'\n"+
			"there = host=%[1]s port=%[2]d dbname=other\n", r.Host(), r.Port()))
		if err := p.logIn("scram", goodPassword, "one"); err != nil {
			t.Error(err)
		}
		if err := p.logIn("scram", "kept by the desk", "one"); err == nil {
			t.Error("the secret of one database lets in to another")
		}
		if err := p.logIn("scram", "kept by the desk", "two"); err != nil {
			t.Error(err)
		}
		if err := p.logIn("scram", goodPassword, "two"); err == nil {
			t.Error("two's own auth_query isn't asked")
		}
		if app, other, own := r.asked("app"), r.asked("other"), r.asked("postgres"); app != "1" || other != "1" || own != "0" {
			t.Errorf("connections for auth_query: %s in app, %s in other, %s in postgres", app, other, own)
		}
		// The console has no database, and isn't asked for where there is auth_dbname.
		if err := p.logIn("scram", goodPassword, "pgbouncer"); codeOf(err) != "28000" {
			t.Errorf("the console: %v", err)
		}
		if err := p.logIn("scram", wrongPassword, "pgbouncer"); codeOf(err) != "28P01" {
			t.Errorf("the console: %v", err)
		}
	})

	// Whoever asks with a password in his own database isn't asked there.
	t.Run("answers that are no use", func(t *testing.T) {
		for name, query := range map[string]string{
			"another user":       "select 'scram'::text, 'x'::text where $1::text is not null",
			"NULL as user":       "select null::text, 'x'::text where $1::text is not null",
			"one column":         "select $1::text",
			"three columns":      "select $1::text, 'x'::text, 'y'::text",
			"two rows":           "select $1::text, 'x'::text from pg_catalog.generate_series(1, 2)",
			"many rows":          "select $1::text, 'x'::text from pg_catalog.generate_series(1, 100000)",
			"an error":           "select $1::text, (1/0)::text",
			"no such function":   "select * from nowhere($1)",
			"two parameters":     "select $1::text, $2::text",
			"no rows to be had":  "create temporary table x as select $1::text as y",
			"a secret too long":  "select $1::text, repeat('x', 66000)",
			"as long as allowed": "select $1::text, repeat('x', 65000)",
			"endless iterations": "select $1::text, 'SCRAM-SHA-256$2147483647:c2FsdA==$" + strings.Repeat("A", 43) + "=:" + strings.Repeat("A", 43) + "='",
		} {
			p := r.pooler(t, ages+"auth_type = plain\nauth_query = "+query)
			for range 2 {
				if err := p.logIn("app", "x", "app"); err == nil || codeOf(err) == "" {
					t.Errorf("%s: %v", name, err)
				}
			}
			p.keepsSecrets()
		}
	})

	t.Run("the documentation's example", func(t *testing.T) {
		page, err := os.ReadFile("../docs/authentication.md")
		if err != nil {
			t.Fatal(err)
		}
		_, example, _ := strings.Cut(string(page), "```sql\n")
		example, settings, _ := strings.Cut(example, "```")
		_, settings, _ = strings.Cut(settings, "```ini\n")
		settings, _, _ = strings.Cut(settings, "```")
		r.sql("app", strings.NewReplacer("asker", "clerk", "CREATE ROLE asker", "ALTER ROLE clerk", "'...'", "'"+serverPassword+"'").Replace(example))
		p := r.pooler(t, ages+strings.ReplaceAll(settings, "asker", "clerk"))
		for user, want := range map[string]bool{"scram": true, "md5": true, "late": false, "nologin": false, "nopassword": false, "unknown": false, "superuser": false} {
			if err := p.logIn(user, goodPassword, "app"); (err == nil) != want {
				t.Errorf("%s: %v", user, err)
			}
		}
	})

	// CVE-2015-6817: nothing that goes wrong makes a client the one who asks.
	t.Run("CVE-2015-6817", func(t *testing.T) {
		p := r.pooler(t, ages)
		for _, user := range []string{"unknown", "nologin", "nopassword"} {
			for _, password := range []string{serverPassword, goodPassword, "", "asker"} {
				if err := p.logIn(user, password, "app"); err == nil {
					t.Errorf("%s gets in by %q", user, password)
				}
			}
		}
	})

	// CVE-2025-12819: what a client asks for in its start-up packet isn't there
	// when its name is looked up, nor what others have made in the database.
	t.Run("CVE-2025-12819", func(t *testing.T) {
		r.sql("app", `
			create schema evil; grant all on schema evil, public to public;
			create table evil.caught (by_whom text); grant all on evil.caught to public;
			create function evil.eq(name, text) returns boolean language sql as $$ insert into evil.caught values (current_user || current_setting('search_path')); select true $$;
			create operator evil.= (leftarg = name, rightarg = text, function = evil.eq);
			create operator public.= (leftarg = name, rightarg = text, function = evil.eq);
			create view evil.pg_authid as select 'scram'::name as rolname, 'owned'::text as rolpassword, null::timestamptz as rolvaliduntil, true as rolcanlogin;
			alter role asker set search_path = evil, pg_catalog;`)
		p := r.pooler(t, ages+"auth_type = plain\nignore_startup_parameters = nothing")
		for _, hostile := range []wire.Param{
			{Name: "search_path", Value: "evil, pg_catalog"},
			{Name: "options", Value: "-c search_path=evil,pg_catalog"},
			{Name: "options", Value: "-c role=clerk -c search_path=evil"},
			{Name: "role", Value: "clerk"},
		} {
			c := p.knock()
			c.send(wire.AppendStartup(nil, wire.Protocol30, []wire.Param{{Name: "user", Value: "scram"}, {Name: "database", Value: "app"}, hostile}))
			c.until(wire.Authentication)
			c.send(wire.AppendPassword(nil, []byte("owned\x00")))
			if report := c.refusal(); report.Code != "28P01" {
				t.Errorf("%+v: %+v", hostile, report)
			}
		}
		if got := r.sql("app", "select count(*) from evil.caught"); got != "0" {
			t.Errorf("the hostile operator ran: %s", r.sql("app", "select by_whom from evil.caught"))
		}
		r.sql("app", "alter role asker reset search_path; drop operator public.= (name, text)")
	})

	t.Run("one question for many at once", func(t *testing.T) {
		r.sql("app", "create schema slow; create table slow.asked (n text); create function slow.secret(text) returns table (n text, s text) language plpgsql security definer as $$ begin perform pg_advisory_lock_shared(7); perform pg_advisory_unlock_shared(7); insert into slow.asked values ($1); return query select $1, 'open sesame'::text where $1 = 'scram'; end $$")
		holder := r.session(t, "app")
		holder("select pg_advisory_lock(7)")
		p := r.pooler(t, "auth_query_max_age = 60\nauth_query = select n, s from slow.secret($1)\nauth_type = plain\nmax_client_conn = 500")
		var wait sync.WaitGroup
		results := make(chan error, 200)
		for i := range 200 {
			wait.Go(func() { results <- p.logIn([]string{"scram", "unknown"}[i%2], "open sesame", "app") })
		}
		eventually(t, "both are being asked for", func() bool {
			return r.sql("", "select count(*) from pg_locks where locktype = 'advisory' and not granted") == "2"
		})
		eventually(t, "all are waiting", func() bool { return p.waitingForInquiries() == 200 })
		holder("select pg_advisory_unlock(7)")
		wait.Wait()
		close(results)
		admitted := 0
		for err := range results {
			if err == nil {
				admitted++
			}
		}
		if admitted != 100 {
			t.Errorf("%d of 100 got in", admitted)
		}
		if got := r.sql("app", "select string_agg(n, ' ' order by n) from slow.asked"); got != "scram unknown" {
			t.Errorf("asked for: %s", got)
		}
	})

	t.Run("answers are remembered, and forgotten when a login fails", func(t *testing.T) {
		r.sql("", "create role changing login password '"+goodPassword+"'")
		p := r.pooler(t, "auth_query_max_age = 1h")
		if err := p.logIn("changing", goodPassword, "app"); err != nil {
			t.Fatal(err)
		}
		r.sql("", "alter role changing password '"+wrongPassword+"'")
		if err := p.logIn("changing", goodPassword, "app"); err != nil {
			t.Errorf("not remembered: %v", err)
		}
		if err := p.logIn("changing", wrongPassword, "app"); err == nil {
			t.Error("it isn't known yet, and gets in")
		}
		if err := p.logIn("changing", wrongPassword, "app"); err != nil {
			t.Errorf("not asked again after a login that failed: %v", err)
		}
		if err := p.logIn("changing", goodPassword, "app"); err == nil {
			t.Error("the old password still lets in")
		}
		r.sql("", "drop role changing")
		if err := p.logIn("changing", goodPassword, "app"); err == nil {
			t.Error("a role that is gone gets in")
		}
		r.sql("", "create role changing login password '"+goodPassword+"'")
		if err := p.logIn("changing", goodPassword, "app"); err != nil {
			t.Errorf("that there was no such user is remembered too well: %v", err)
		}
		r.sql("", "alter role changing password '"+wrongPassword+"'")
		p.reload("auth_type = md5\npool_mode = transaction\nauth_user = asker\nauth_query_max_age = 1h\nauth_file = " + r.users + fmt.Sprintf("\n[databases]\n* = host=%s port=%d\n", r.Host(), r.Port()))
		if err := p.logIn("changing", wrongPassword, "app"); err != nil {
			t.Errorf("not asked again after a reload: %v", err)
		}
	})

	// Somebody who asks and goes learns nothing, not even by how long it takes.
	t.Run("unknown users don't stand out", func(t *testing.T) {
		for _, method := range []string{"md5", "scram-sha-256", "plain"} {
			p := r.pooler(t, "auth_query_max_age = 1h\nauth_type = "+method)
			ask := func(user string) (offer, challenge string) {
				c := p.knock()
				c.send(startupPacket(user, "app"))
				offer = string(c.until(wire.Authentication))
				if method != "plain" {
					const first = "n,,n=,r=abcdefgh"
					c.send(wire.AppendPassword(nil, append(wire.AppendString(nil, "SCRAM-SHA-256"), "\x00\x00\x00\x10"+first...)))
					challenge = string(c.until(wire.Authentication))
				}
				return offer, challenge
			}
			for range 3 {
				knownOffer, known := ask("scram")
				unknownOffer, unknown := ask("unknown")
				_, salt, _ := strings.Cut(known, ",")
				_, mockSalt, _ := strings.Cut(unknown, ",")
				if knownOffer != unknownOffer || len(known) != len(unknown) || len(salt) != len(mockSalt) || known[strings.LastIndexByte(known, ',')+1:] != unknown[strings.LastIndexByte(unknown, ',')+1:] {
					t.Errorf("%s: %q and %q for a known user, %q and %q for an unknown one", method, knownOffer, known, unknownOffer, unknown)
				}
			}
			if n := p.inquiriesMade(); n != 2 {
				t.Errorf("%s: asked %d times for two users", method, n)
			}
		}
	})

	t.Run("clients that don't wait for the answer", func(t *testing.T) {
		holder := r.session(t, "app")
		holder("select pg_advisory_lock(7)")
		p := r.pooler(t, ages+"auth_query = select n, s from slow.secret($1)\nauth_type = plain\nmax_client_conn = 100")
		var clients []*wireClient
		for i := range 90 {
			c := p.knock()
			c.send(startupPacket(fmt.Sprint("nobody", i/2), "app"))
			clients = append(clients, c)
		}
		eventually(t, "all are waiting", func() bool { return p.waitingForInquiries() == 90 })
		for _, c := range clients {
			_ = c.Close()
		}
		eventually(t, "none is", func() bool { return p.waitingForInquiries() == 0 && len(p.flights()) <= inquirersEach })
		if got := r.asked("app"); got > strconv.Itoa(inquirersEach) {
			t.Errorf("%s connections", got)
		}
		holder("select pg_advisory_unlock(7)")
		if err := p.logIn("scram", "open sesame", "app"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})

	// Nobody learns before his login whether a database is there.
	t.Run("fallback to a database that isn't there", func(t *testing.T) {
		p := r.pooler(t, ages)
		if err := p.logIn("scram", goodPassword, "nowhere"); codeOf(err) != "28P01" {
			t.Errorf("%v", err)
		}
	})

	// The connections were ended behind our back.
	t.Run("dead connections", func(t *testing.T) {
		p := r.pooler(t, ages)
		for range 3 {
			if err := p.logIn("scram", goodPassword, "app"); err != nil {
				t.Fatal(err)
			}
			r.sql("", "select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'carpool auth_query'")
		}
	})

	t.Run("a query that takes too long", func(t *testing.T) {
		p := r.pooler(t, ages+"client_login_timeout = 1\nauth_query = select $1::text, pg_catalog.pg_sleep(100)::text")
		err := p.logIn("scram", goodPassword, "app")
		if codeOf(err) != "08006" {
			t.Errorf("%v", err)
		}
		eventually(t, "it is ended", func() bool {
			return r.sql("", "select count(*) from pg_stat_activity where query like '%pg_sleep(100)%' and state = 'active' and pid <> pg_backend_pid()") == "0"
		})
	})
}

// The database can't be reached, or doesn't let us in.
func TestLookingUpIsImpossible(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users.txt")
	write(t, users, "\"asker\" \""+serverPassword+"\"\n")
	for name, f := range map[string]func(c *fakeConn){
		"closes at once": func(*fakeConn) {},
		"refuses": func(c *fakeConn) {
			c.startup()
			_, _ = c.Write(wire.AppendError(nil, wire.Report{Severity: "FATAL", Code: "28P01", Message: `password authentication failed for user "asker"`}))
		},
		"talks nonsense": func(c *fakeConn) {
			if c.logIn() {
				_, _ = c.Write([]byte("nonsense"))
			}
		},
		"answers before it is asked": func(c *fakeConn) {
			if c.startup() {
				evil := wire.AppendEmpty(wire.AppendEmpty(serverWelcome(), wire.ParseComplete), wire.BindComplete)
				_, _ = c.Write(wire.AppendReadyForQuery(append(evil, row("x")...), wire.TxIdle))
				_, _, _ = c.receive()
			}
		},
		"claims endless rows": func(c *fakeConn) {
			if c.logIn() {
				_, _, _ = c.receive()
				out := wire.AppendEmpty(wire.AppendEmpty(nil, wire.ParseComplete), wire.BindComplete)
				for range 100 {
					out = append(out, row("x")...)
				}
				_, _ = c.Write(out)
				_, _, _ = c.receive()
			}
		},
		"ends in a transaction": func(c *fakeConn) {
			if c.logIn() {
				_, _, _ = c.receive()
				out := wire.AppendEmpty(wire.AppendEmpty(nil, wire.ParseComplete), wire.BindComplete)
				_, _ = c.Write(wire.AppendReadyForQuery(append(out, row("x")...), wire.TxOpen))
				_, _, _ = c.receive()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, f)
			p := startPooler(t, "auth_type = plain\nserver_login_retry = 0.2\nauth_user = asker\nauth_file = "+users+f.databases())
			for range 2 {
				begin := time.Now()
				if err := p.logIn("app", "x", "app"); codeOf(err) != "08006" {
					t.Errorf("%v", err)
				}
				if took := time.Since(begin); took > patience/2 {
					t.Errorf("the client was told after %s", took)
				}
			}
			if err := p.logIn("asker", serverPassword, "pgbouncer"); codeOf(err) != "28000" {
				t.Errorf("a user of auth_file: %v", err)
			}
			p.keepsSecrets()
		})
	}
}
