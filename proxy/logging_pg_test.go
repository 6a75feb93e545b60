package proxy

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

func (l *testLog) count(text string) int { return strings.Count(l.String(), text) }

// line waits for a line of the log that a pattern matches.
func (p *pooler) line(pattern string) string {
	p.t.Helper()
	re, found := regexp.MustCompile("(?m)^.*"+pattern+".*$"), ""
	eventually(p.t, "a log line like "+pattern, func() bool {
		found = re.FindString(p.log.String())
		return found != ""
	})
	return found
}

// idleProxy is a Proxy that serves nobody.
func idleProxy(t *testing.T, log *testLog, text string) *Proxy {
	t.Helper()
	c, err := loadConfig(t.TempDir(), text)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{log: slog.New(slog.NewTextHandler(log, nil))}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.current.Store(&settings{Config: c})
	return p
}

// Logins, ends of connections and errors are told in PgBouncer's words, each
// connection with its age.
func TestLogWording(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\nauth_type = md5\nserver_lifetime = 0")
	k := dialTalker(t, p.address())
	k.send(wire.AppendStartup(nil, wire.Protocol30, param("user", "app", "database", "app\x1b[31m\nlevel=INFO")))
	k.until("R")
	_ = k.conn.Close()
	p.line(`msg="login attempt: db=app\\x1b\[31m\\nlevel=INFO user=app tls=no replication=no" client=127.0.0.1:`)
	if text := p.log.String(); strings.Contains(text, "\x1b") || strings.Contains(text, "\nlevel=INFO") {
		t.Error("a client forges the log")
	}
	refused := dialTalker(t, p.address())
	refused.send(wire.AppendStartup(nil, wire.Protocol30, param("user", "app", "database", "app")))
	refused.until("R")
	refused.say(&pgproto3.PasswordMessage{Password: "md5wrong"})
	refused.ended()
	p.line(`level=WARN msg="pooler error: password authentication failed.*sqlstate=28P01`)
	p.line(`msg="closing because: password authentication failed.* \(age=\d+s\)"`)

	p.reload("pool_mode = transaction\nauth_type = trust\nserver_lifetime = 0")
	good := talk(t, p.address(), param("user", "app")...)
	good.query("select 'a secret'")
	p.line(`msg="new connection to server \(from 127.0.0.1:\d+\)" server=\S+ database=app user=app pid=\d+`)
	p.line(`msg="closing because: server lifetime over \(age=\d+s\)" server=`)
	good.say(&pgproto3.Terminate{})
	p.line(`msg="closing because: client close request \(age=\d+s\)" client=\S+ database=app user=app`)
	if text := p.log.String(); strings.Contains(text, "secret") || strings.Contains(text, "word") && strings.Contains(text, "md5wrong") {
		t.Error("the log has what it mustn't")
	}
}

// Slow waits and transactions are named, by a statement without its literals.
func TestLogSlow(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\nlog_slow = 150ms")
	k := talk(t, p.address(), param("application_name", "importer")...)
	k.query("select 1")
	for _, row := range []struct {
		run  func()
		want string
	}{
		{func() { k.query("select 'gold', pg_sleep(0.2) /* for bob */") }, `queries=1 longest=\S+ statement="select \?, pg_sleep\(\?\)" application_name=importer`},
		{func() {
			k.query("begin")
			k.query("select 1, 'silver'")
			k.query("select pg_sleep(0.2), oid from pg_class where relname = 'pg_class' limit 7")
			k.query("rollback")
		}, `queries=4 longest=\S+ statement="select pg_sleep\(\?\), oid from pg_class where relname = \? limit`},
		{func() {
			k.ask(parse("", "select 'tin', pg_sleep($1)"), bind("", "", "0.2"), execute("", 0), syncNow)
		}, `statement="select \?, pg_sleep\(\$1\)"`},
		{func() {
			k.ask(parse("named", "select 'zinc', 2, pg_sleep($1)"), syncNow)
			k.query("select 3")
			k.ask(bind("", "named", "0.2"), execute("", 0), syncNow)
		}, `statement="select \?, \?, pg_sleep\(\$1\)"`},
		{func() { k.query("select pg_sleep(0.2), '" + strings.Repeat("copper ", 100) + "'") }, `statement="select pg_sleep\(\?\), \?\.\.\."`},
		// Read when they come, not when it is logged: what is a literal depends on settings.
		{func() {
			k.query("set standard_conforming_strings = off")
			k.query(`begin; select 'it\' brass, 1', pg_sleep(0.2)`)
			k.query("set local standard_conforming_strings = on")
			k.query("rollback")
			k.query("reset standard_conforming_strings")
		}, `statement="begin; select \?, pg_sleep\(\?\)"`},
		{func() {
			k.ask(parse("odd", `select E'it\' iron', pg_sleep($1)`), syncNow)
			k.query("select 3")
			k.ask(bind("", "odd", "0.2"), execute("", 0), syncNow)
		}, `statement="" application_name=importer`},
	} {
		row.run()
		p.line(`level=WARN msg="slow transaction \(log_slow\)" client=\S+ database=app user=postgres took=\S+ .*` + row.want)
	}
	const slow = "slow transaction"
	if n := p.log.count(slow); n != 7 {
		t.Errorf("%d transactions were slow, not 7", n)
	}
	holder := talk(t, p.address())
	holder.query("begin")
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.query("select 4")
	}()
	eventually(t, "a client to wait", func() bool { return p.Pools()[0].Pool.LongestWait > 160e6 })
	holder.query("commit")
	<-done
	p.line(`level=WARN msg="slow wait for a server \(log_slow\)" client=\S+ database=app user=postgres took=\S+ application_name=importer`)
	for _, data := range []string{"gold", "silver", "'pg_class", "tin", "zinc", "copper", "bob", "brass", "iron"} {
		if p.log.count(data) > 0 {
			t.Errorf("the log has the client's data: %s", data)
		}
	}
	p.reload("pool_mode = transaction\ndefault_pool_size = 1")
	k.query("select pg_sleep(0.2)")
	if n := p.log.count(slow); n != 8 { // the holder's was one, too
		t.Errorf("%d transactions were slow, not 8", n)
	}
}
