package proxy

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// raw is the socket of a logged-in client, for tests that misbehave on it.
func (p *pooler) raw(user, database string) (net.Conn, *pgproto3.Frontend) {
	p.t.Helper()
	conn, err := pgconn.Connect(context.Background(), p.url(user, database))
	if err != nil {
		p.t.Fatal(err)
	}
	h, err := conn.Hijack()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = h.Conn.Close() })
	return h.Conn, h.Frontend
}

// leaving is one way for a client to leave without saying so.
var leaving = map[string]func(net.Conn){
	"FIN": func(c net.Conn) { _ = c.Close() },
	"RST": func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() },
}

// serverPID is the process of the pool's only server.
func serverPID(t *testing.T, p *pooler) string {
	t.Helper()
	conn := p.connect("postgres", "app")
	defer conn.Close(context.Background()) //nolint:errcheck // it is only a question
	return value(t, conn, "select pg_backend_pid()")
}

// A client that vanishes leaves its server clean, and the server is kept.
func TestVanishedClientLeavesItsServerUsable(t *testing.T) {
	tests := []struct {
		name  string
		begin []byte // what the client sends before it is gone
		wait  string // mark of the query to wait for, or "" for an idle transaction
	}{
		{"running query", wire.AppendQuery(nil, "select pg_sleep(60) /* vanish1 */"), "vanish1"},
		{"running query in a transaction", wire.AppendQuery(nil, "begin; create table vanished(); select pg_sleep(60) /* vanish2 */"), "vanish2"},
		{"idle in transaction", wire.AppendQuery(nil, "begin; create table vanished() /* vanish3 */"), ""},
		{"failed transaction", wire.AppendQuery(nil, "begin; /* vanish3 */ select 1/0"), ""},
		{"copy in", wire.AppendQuery(nil, "create temp table c(x text); begin; copy c from stdin /* vanish4 */"), ""},
		{"batch without sync", wire.AppendEmpty(appendStatement(nil, "select 1 /* vanish5 */"), wire.Flush), ""},
	}
	for _, tt := range tests {
		for how, leave := range leaving {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
				pid := serverPID(t, p)
				conn, _ := p.raw("postgres", "app")
				if _, err := conn.Write(tt.begin); err != nil {
					t.Fatal(err)
				}
				if tt.wait != "" {
					eventually(t, "the query to run", func() bool { return running(t, tt.wait) == "1" })
				} else {
					_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
					if _, err := conn.Read(make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
				}
				leave(conn)
				if got := serverPID(t, p); got != pid {
					t.Errorf("the server was replaced: %s, was %s", got, pid)
				}
				if got := direct(t, "select count(*) from pg_class where relname = 'vanished'"); got != "0" {
					t.Error("its transaction was committed")
				}
				if n := p.Pools()[0].Pool.Leased; n != 0 {
					t.Errorf("%d servers are still lent", n)
				}
			})
		}
	}
}

func appendStatement(dst []byte, sql string) []byte {
	dst, mark := wire.Begin(dst, wire.Parse)
	dst = wire.AppendString(dst, "")
	dst = wire.AppendString(dst, sql)
	return wire.Finish(append(dst, 0, 0), mark)
}

// Half a message can't be finished for the client that is gone: the server is
// discarded. Only messages that are too long to be read first are sent in parts.
func TestHalfAMessageCostsTheServer(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	pid := serverPID(t, p)
	conn, _ := p.raw("postgres", "app")
	whole := wire.AppendQuery(nil, "select '"+strings.Repeat("a query that is never ended", maxRead/20)+"'")
	if _, err := conn.Write(whole[:2*maxInPlace]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server to be lent", func() bool { return p.Pools()[0].Pool.Leased == 1 })
	_ = conn.Close()
	if got := serverPID(t, p); got == pid {
		t.Error("the server was kept")
	}
}

// A server that doesn't come to its senses in time is discarded.
func TestServerThatStaysBusyIsDiscarded(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\nabandoned_query_timeout = 0.3")
	pid := serverPID(t, p)
	conn, _ := p.raw("postgres", "app")
	// It goes on after any number of cancels: Postgres signals twice for one.
	stubborn := "do $$ begin loop begin perform pg_sleep(60) /* stubborn */; exception when query_canceled then null; end; end loop; end $$"
	if _, err := conn.Write(wire.AppendQuery(nil, stubborn)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the query to sleep", func() bool {
		return direct(t, "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and query like '%stubborn%'") == "1"
	})
	_ = conn.Close()
	if got := serverPID(t, p); got == pid {
		t.Error("the server was kept")
	}
	direct(t, fmt.Sprintf("select pg_terminate_backend(%s)", pid))
}

// What a client asked for before it said goodbye is still done, as with a
// direct connection.
func TestGoodbyeBehindAQuery(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	conn, _ := p.raw("postgres", "postgres")
	script := wire.AppendQuery(nil, "drop table if exists goodbye; create table goodbye as select pg_sleep(0.2)::text")
	if _, err := conn.Write(wire.AppendEmpty(script, wire.Terminate)); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	eventually(t, "the table to be there", func() bool {
		v, err := postgres.Value(context.Background(), "postgres", "select count(*) from pg_class where relname = 'goodbye'")
		return err == nil && v == "1"
	})
}

// A client that leaves the queue leaves no trace in it.
func TestClientThatLeavesTheQueue(t *testing.T) {
	for how, leave := range leaving {
		t.Run(how, func(t *testing.T) {
			p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
			holder := p.connect("postgres", "app")
			value(t, holder, "begin")
			conn, _ := p.raw("postgres", "app")
			if _, err := conn.Write(wire.AppendQuery(nil, "select 1")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it to wait", func() bool { return p.Pools()[0].Pool.Waiting == 1 })
			leave(conn)
			eventually(t, "the queue to be empty", func() bool { return p.Pools()[0].Pool.Waiting == 0 })
			value(t, holder, "commit")
		})
	}
}

// A client that reads nothing of a long answer says goodbye, and its connection
// stays open: it is heard all the same, however much waits for it.
func TestGoodbyeOfClientThatDoesNotRead(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	pid := serverPID(t, p)
	for column, rows := range map[string]string{"repeat('x', 1000)": "30000", "repeat('x', 100000)": "300", "n": "2000000"} {
		for range 5 {
			k := talk(t, p.address())
			k.send(wire.AppendQuery(nil, "select "+column+" /* unread */ from generate_series(1, "+rows+") n"))
			k.until("T")
			k.send(wire.AppendEmpty(nil, wire.Terminate))
			if got := serverPID(t, p); got != pid {
				t.Errorf("the server was replaced: %s, was %s", got, pid)
			}
			_ = k.conn.Close()
		}
	}
}
