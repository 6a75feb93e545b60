package proxy

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/proxy/reactor"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// streamingMemory is what the process may grow by while much more passes
// through it, in bytes.
const streamingMemory = 64 << 20

// residentMemory is the memory of this process that is in use, in bytes.
func residentMemory(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil { // not Linux: what Go knows
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.Sys - m.HeapReleased)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// watchMemory measures until stop, which returns by how much the memory of the
// process has exceeded what it was.
func watchMemory(t testing.TB) (stop func() int64) {
	t.Helper()
	debug.FreeOSMemory()
	base := residentMemory(t)
	var peak atomic.Int64
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			peak.Store(max(peak.Load(), residentMemory(t)))
			select {
			case <-quit:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() int64 {
		close(quit)
		<-done
		return peak.Load() - base
	}
}

func checkMemory(t *testing.T, stop func() int64) {
	t.Helper()
	if grown := stop(); grown > streamingMemory {
		t.Errorf("the process grew by %d MB", grown>>20)
	} else {
		t.Logf("the process grew by %d kB", grown>>10)
	}
}

// skipMessage reads one message without keeping it.
func (k *talker) skipMessage() (typ byte, size int) {
	k.t.Helper()
	_ = k.conn.SetReadDeadline(time.Now().Add(4 * talkerPatience))
	var head [wire.HeaderLen]byte
	if _, err := io.ReadFull(k.in, head[:]); err != nil {
		k.t.Fatal(err)
	}
	h, _, valid := wire.ParseHeader(head[:])
	if !valid {
		k.t.Fatalf("invalid header %x", head)
	}
	if n, err := io.CopyN(io.Discard, k.in, int64(h.Body)); err != nil {
		k.t.Fatalf("after %d bytes of %d: %v", n, h.Body, err)
	}
	return h.Type, h.Body
}

// A huge row passes through in constant memory.
func TestHugeRowInConstantMemory(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	k := talk(t, p.address())
	stop := watchMemory(t)
	k.say(simple(fmt.Sprintf("select repeat('x', %d)", streamed)))
	for typ := byte(0); typ != wire.ReadyForQuery; {
		var size int
		if typ, size = k.skipMessage(); typ == wire.DataRow && size < streamed {
			t.Errorf("a row of %d bytes", size)
		} else if typ == wire.ErrorResponse {
			t.Fatal("an error")
		}
	}
	checkMemory(t, stop)
}

// So does a parameter, under a name that is translated.
func TestHugeBindInConstantMemory(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	k := talk(t, p.address())
	k.ask(parse("s", "select octet_length($1::bytea)"), syncNow)
	stop := watchMemory(t)
	b, mark := wire.Begin(nil, wire.Bind)
	b = append(wire.AppendString(wire.AppendString(b, ""), "s"), 0, 1, 0, 1, 0, 1) // one format: binary; one parameter
	b = binary.BigEndian.AppendUint32(b, streamed)
	b = wire.Finish(b, mark)
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-1+streamed+2))
	k.send(b)
	chunk := make([]byte, 1<<20)
	for left := streamed; left > 0; left -= min(left, len(chunk)) {
		k.send(chunk[:min(left, len(chunk))])
	}
	k.send([]byte{0, 0}) // no result formats
	got := k.ask(execute("", 0), syncNow)
	if types(got) != "2 D C Z:I" || values(got)[0] != fmt.Sprint(streamed) {
		t.Errorf("%s %q", types(got), values(got))
	}
	checkMemory(t, stop)
}

// A client that doesn't read what it asked for holds up its server, and
// nothing and nobody else.
func TestStalledReaderHoldsUpNobodyElse(t *testing.T) {
	const stalled = 5
	for _, mode := range []string{"transaction", "session"} {
		t.Run(mode, func(t *testing.T) {
			p := startPooler(t, "pool_mode = "+mode+"\ndefault_pool_size = 8")
			stop := watchMemory(t)
			for range stalled {
				k := talk(t, p.address())
				k.say(simple("select repeat('x', 1000) from generate_series(1, 1000000)"))
			}
			other := talk(t, p.address())
			for n := range 2000 {
				if got := other.query(fmt.Sprint("select ", n)); got != fmt.Sprint(n) {
					t.Fatalf("got %s, want %d", got, n)
				}
			}
			checkMemory(t, stop)
			if leased := p.Pools()[0].Pool.Leased; leased < stalled {
				t.Errorf("%d servers are lent, want %d stalled ones", leased, stalled)
			}
		})
	}
}

// A client that asks and asks and never reads is held back, though each of its
// transactions ends and gives its server back.
func TestClientThatNeverReadsIsHeldBack(t *testing.T) {
	for name, message := range map[string][]byte{
		"queries": wire.AppendQuery(nil, "select repeat('x', 3000)"),
		"syncs":   wire.AppendEmpty(nil, wire.Sync),
		"closes":  encode(t, closeOf('S', "nothing")),
	} {
		t.Run(name, func(t *testing.T) {
			p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
			k := talk(t, p.address())
			stop := watchMemory(t)
			flood := make([]byte, 0, 1<<20)
			for len(flood)+len(message) < cap(flood) {
				flood = append(flood, message...)
			}
			sent, refused := 0, false
			for sent < 512<<20 {
				_ = k.conn.SetWriteDeadline(time.Now().Add(time.Second))
				n, err := k.conn.Write(flood)
				if sent += n; err != nil {
					refused = true
					break
				}
			}
			if !refused {
				t.Errorf("%d bytes were taken from a client that reads nothing", sent)
			}
			checkMemory(t, stop)
			_ = k.conn.Close()
			if got := talk(t, p.address()).query("select 'next'"); got != "next" {
				t.Errorf("the next client: %s", got)
			}
		})
	}
}

// A client that sends more than its server reads is held back, too.
func TestFloodOfABusyServerIsHeldBack(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	k := talk(t, p.address())
	stop := watchMemory(t)
	k.query("create temp table flood(x text)")
	k.send(wire.AppendQuery(nil, "begin; select pg_sleep(2); copy flood from stdin; rollback"))
	message, mark := wire.Begin(nil, wire.CopyData)
	message = wire.Finish(append(message, strings.Repeat(strings.Repeat("x", 999)+"\n", 1000)...), mark)
	sent, held := 0, false
	for range 200 {
		began := time.Now()
		k.send(message)
		sent += len(message)
		held = held || time.Since(began) > 500*time.Millisecond
	}
	if !held {
		t.Errorf("%d bytes went off at once to a server that slept", sent)
	}
	k.send(wire.AppendEmpty(nil, wire.CopyDone))
	if got := types(k.until("Z")); got != "C T D C G C C Z:I" {
		t.Error(got)
	}
	checkMemory(t, stop)
}

// halfCloser is a connection whose sending side can be closed on its own.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// A client that sends a query and then closes its sending side gets its answer.
func TestHalfClosedClientGetsItsAnswer(t *testing.T) {
	authority, err := pgserver.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue("carpool", "127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	transports := map[string]func(t *testing.T, p *pooler) net.Conn{
		"tcp": func(t *testing.T, p *pooler) net.Conn { return dialRaw(t, "tcp", p.address()) },
		"unix": func(t *testing.T, p *pooler) net.Conn {
			return dialRaw(t, "unix", p.socketPath())
		},
		"tls": func(t *testing.T, p *pooler) net.Conn {
			return tls.Client(dialRaw(t, "tcp", p.address()), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"postgresql"}})
		},
	}
	scripts := map[string]struct {
		say  []byte
		want string
	}{
		"query":       {wire.AppendQuery(nil, "select pg_sleep(0.1), repeat('x', 100000)"), "T D C Z:I"},
		"queries":     {append(wire.AppendQuery(nil, "select pg_sleep(0.1)"), wire.AppendQuery(nil, "select 2")...), "T D C Z:I T D C Z:I"},
		"extended":    {encode(t, parse("", "select pg_sleep(0.1)::text"), bind("", ""), execute("", 0), syncNow), "1 2 D C Z:I"},
		"transaction": {wire.AppendQuery(nil, "begin; select pg_sleep(0.1)"), "C T D C Z:T"},
		"no sync":     {encode(t, parse("", "select 1"), bind("", ""), execute("", 0)), ""},
		"copy":        {wire.AppendQuery(nil, "create temp table h(x text); copy h from stdin"), "C G"},
		"nothing":     {nil, ""},
	}
	for _, mode := range []string{"transaction", "session"} {
		p := startPooler(t, fmt.Sprintf("pool_mode = %s\ndefault_pool_size = 1\nunix_socket_dir = %s\nclient_tls_sslmode = allow\n"+
			"client_tls_cert_file = %s\nclient_tls_key_file = %s", mode, shortDir(t), pair.Cert, pair.Key))
		for transport, dial := range transports {
			for name, script := range scripts {
				t.Run(mode+"/"+transport+"/"+name, func(t *testing.T) {
					conn := dial(t, p)
					k := newTalker(t, conn)
					if r, ok := k.logIn(); !ok {
						t.Fatal(r)
					}
					k.send(script.say)
					if err := conn.(halfCloser).CloseWrite(); err != nil {
						t.Fatal(err)
					}
					got := withoutStatus(k.ended())
					if g := types(got); g != script.want && !strings.HasPrefix(script.want, g+" ") {
						t.Errorf("got %s, want %s", g, script.want)
					} else if g != script.want && name != "copy" {
						t.Errorf("got %s, want %s", g, script.want)
					}
				})
			}
		}
		if got := talk(t, p.address()).query("select 'next'"); got != "next" {
			t.Errorf("the next client: %s", got)
		}
	}
}

// withoutStatus leaves out ParameterStatus, which may come at any time.
func withoutStatus(list []answer) []answer {
	var out []answer
	for _, a := range list {
		if a.typ != wire.ParameterStatus {
			out = append(out, a)
		}
	}
	return out
}

func dialRaw(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// socketPath is the Unix socket that the proxy listens on.
func (p *pooler) socketPath() string {
	p.t.Helper()
	for _, a := range p.Addresses() {
		if path, ok := strings.CutPrefix(a, "unix:"); ok {
			return path
		}
	}
	p.t.Fatal("there is no Unix socket")
	return ""
}

// shortDir is a directory whose name leaves room for that of a Unix socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A client that reads slowly and has closed its sending side still gets all.
func TestHalfClosedSlowReaderGetsEverything(t *testing.T) {
	const rows = 20_000
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	k := talk(t, p.address())
	k.say(simple(fmt.Sprintf("select repeat('x', 1000) from generate_series(1, %d)", rows)))
	if err := k.conn.(halfCloser).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the client's share to be on its way", func() bool { return p.Pools()[0].Traffic.Sent > 100_000 })
	p.settle(t)
	n := 0
	for _, a := range withoutStatus(k.ended()) {
		if a.typ == wire.DataRow {
			n++
		}
	}
	if n != rows {
		t.Errorf("%d rows came, want %d", n, rows)
	}
}

// untaken is how many bytes the proxy keeps for its clients altogether.
func (p *pooler) untaken() int {
	sum := make(chan int)
	for _, w := range p.workers {
		w.Post(reactor.TaskFunc(func() {
			n := 0
			w.each(func(s *session) { n += s.client.Buffered() })
			sum <- n
		}))
	}
	total := 0
	for range p.workers {
		total += <-sum
	}
	return total
}

// So does one whose answers are complete, but haven't all been taken when it
// closes its sending side.
func TestHalfClosedIdleClientGetsWhatIsLeft(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	k := talk(t, p.address())
	asked := int64(0)
	for p.untaken() == 0 {
		k.say(simple("select repeat('x', 20000)"))
		asked++
		// The last one may get stuck half-way, with its end still at the server.
		eventually(t, "the answer", func() bool { return p.Pools()[0].Traffic.Queries == asked || p.untaken() > 0 })
	}
	if err := k.conn.(halfCloser).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	p.settle(t)
	if got := int64(len(values(k.ended()))); got != asked {
		t.Errorf("%d answers came, want %d", got, asked)
	}
}

// Drivers' own ways to move data in bulk.
func TestPgxCopyAndPipeline(t *testing.T) {
	const rows = 20_000
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, p.url("postgres", "app"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	if _, err := conn.Exec(ctx, "drop table if exists bulk; create table bulk(id int, t text)"); err != nil {
		t.Fatal(err)
	}
	source := func(failAt int) pgx.CopyFromSource {
		i := 0
		return pgx.CopyFromFunc(func() ([]any, error) {
			if i++; i == failAt {
				return nil, io.ErrUnexpectedEOF
			}
			if i > rows {
				return nil, nil
			}
			return []any{i, strings.Repeat("t", i%100)}, nil
		})
	}
	if n, err := conn.CopyFrom(ctx, pgx.Identifier{"bulk"}, []string{"id", "t"}, source(0)); err != nil || n != rows {
		t.Errorf("CopyFrom: %d, %v", n, err)
	}
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"bulk"}, []string{"id", "t"}, source(rows/2)); err == nil {
		t.Error("a CopyFrom whose source fails succeeded")
	}
	var lines countLines
	if _, err := conn.PgConn().CopyTo(ctx, &lines, "copy bulk to stdout"); err != nil || lines != rows {
		t.Errorf("CopyTo: %d lines, %v", lines, err)
	}
	if _, err := conn.PgConn().CopyFrom(ctx, strings.NewReader("1\tone\nwrong\n"), "copy bulk from stdin"); sqlState(err) == "" {
		t.Errorf("data that don't fit: %v", err)
	}
	pgxPipeline(t, conn.PgConn())
}

type countLines int

func (c *countLines) Write(b []byte) (int, error) {
	*c += countLines(strings.Count(string(b), "\n"))
	return len(b), nil
}

// pgxPipeline sends many batches, some of which fail, before it reads.
func pgxPipeline(t *testing.T, conn *pgconn.PgConn) {
	t.Helper()
	pipe := conn.StartPipeline(context.Background())
	const batches = 200
	for i := range batches {
		pipe.SendPrepare(fmt.Sprint("pipe", i), fmt.Sprintf("select %d / $1::int", i), nil)
		divisor := "1"
		if i%10 == 7 {
			divisor = "0"
		}
		pipe.SendQueryPrepared(fmt.Sprint("pipe", i), [][]byte{[]byte(divisor)}, nil, nil)
		pipe.SendDeallocate(fmt.Sprint("pipe", i))
		if err := pipe.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < batches; {
		res, err := pipe.GetResults()
		switch r := res.(type) {
		case *pgconn.ResultReader:
			rows := r.Read()
			if i%10 == 7 {
				if sqlState(rows.Err) != "22012" {
					t.Errorf("batch %d: %v", i, rows.Err)
				}
			} else if rows.Err != nil || len(rows.Rows) != 1 || string(rows.Rows[0][0]) != fmt.Sprint(i) {
				t.Errorf("batch %d: %q, %v", i, rows.Rows, rows.Err)
			}
		case *pgconn.PipelineSync:
			i++
		case nil:
			if sqlState(err) != "22012" {
				t.Fatalf("batch %d: %v", i, err)
			}
		}
	}
	if err := pipe.Close(); err != nil {
		t.Error(err)
	}
}
