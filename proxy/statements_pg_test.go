package proxy

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"carpool/proxy/reactor"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	_ "github.com/lib/pq"
)

// values are the first columns of all rows.
func values(list []answer) []string {
	var out []string
	for _, a := range list {
		if a.typ == wire.DataRow {
			out = append(out, firstValue(a.body))
		}
	}
	return out
}

// hold makes a client that holds whatever server is free until release.
func (p *pooler) hold(t *testing.T) (pid string, release func()) {
	t.Helper()
	k := talk(t, p.address())
	k.query("begin")
	return k.query("select pg_backend_pid()"), func() { k.query("commit"); _ = k.conn.Close() }
}

// A client's named statements work on every server it is given, whatever
// others call theirs.
func TestNamedStatementsFollowTheirClient(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	a, b := talk(t, p.address()), talk(t, p.address())
	// The same name for other texts, and the same text under other names.
	a.ask(parse("s", "select pg_backend_pid(), 'a' || $1"), parse("t", "select 'common' || $1"), syncNow)
	b.ask(parse("s", "select pg_backend_pid(), 'b' || $1"), parse("u", "select 'common' || $1"), syncNow)
	seen := map[string]bool{}
	for round := range 20 {
		// Whoever holds a server makes the other one be used.
		pid, release := p.hold(t)
		for name, k := range map[string]*talker{"a": a, "b": b} {
			list := k.ask(bind("", "s", fmt.Sprint(round)), execute("", 0), syncNow)
			if got := types(list); got != "2 D C Z:I" {
				t.Fatalf("round %d, client %s: %s", round, name, got)
			}
			row := list[1].body
			if got := firstValue(row); got == pid {
				t.Errorf("server %s is held by another client", pid)
			} else {
				seen[got] = true
			}
			if want := name + fmt.Sprint(round); !strings.HasSuffix(string(row), want) {
				t.Errorf("client %s got %q, want %q", name, row, want)
			}
		}
		if got := values(a.ask(bind("", "t", "1"), execute("", 0), syncNow)); len(got) != 1 || got[0] != "common1" {
			t.Errorf("t: %q", got)
		}
		if got := values(b.ask(bind("", "u", "2"), execute("", 0), syncNow)); len(got) != 1 || got[0] != "common2" {
			t.Errorf("u: %q", got)
		}
		if round%2 == 1 {
			a.query("select 1") // changes which server was used last
		}
		release()
		if round%3 == 0 {
			first, release := p.hold(t)
			_, releaseOther := p.hold(t)
			release()
			a.query("select 1")
			releaseOther()
			seen[first] = true
		}
	}
	if len(seen) != 2 {
		t.Errorf("%d servers were used, want 2: the test shows nothing", len(seen))
	}
}

// A statement that the server has already isn't prepared again.
func TestKnownParseIsAnsweredWithoutServer(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	for i := range 10 {
		k := talk(t, p.address())
		list := k.ask(parse(fmt.Sprint("name", i), "select $1::text"), bind("", fmt.Sprint("name", i), "x"), execute("", 0), syncNow)
		if got := types(list); got != "1 2 D C Z:I" {
			t.Errorf("client %d: %s", i, got)
		}
	}
	traffic := p.Pools()[0].Traffic
	if traffic.ClientParses != 10 || traffic.ServerParses != 1 || traffic.Binds != 10 {
		t.Errorf("%d Parses of clients, %d sent to servers, %d Binds; want 10, 1, 10", traffic.ClientParses, traffic.ServerParses, traffic.Binds)
	}
	if got := p.State().Statements; got != 1 {
		t.Errorf("%d statements in the catalog, want 1", got)
	}
}

// A server keeps the statements used last and no more than it may; those that
// fell out come back when they are wanted.
func TestServersKeepFewStatements(t *testing.T) {
	const most = 2
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\ndefault_pool_size = 1\nmax_prepared_statements = %d", most))
	k := talk(t, p.address())
	for i := range 6 {
		k.ask(parse(fmt.Sprint("s", i), fmt.Sprintf("select %d", i)), syncNow)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var say []pgproto3.FrontendMessage
		var want []string
		for range 1 + rng.IntN(5) {
			i := rng.IntN(6)
			say = append(say, bind("", fmt.Sprint("s", i)), execute("", 0))
			want = append(want, fmt.Sprint(i))
		}
		if got := values(k.ask(append(say, syncNow)...)); !equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		if n := k.query("select count(*) from pg_prepared_statements where name like 'carpool%'"); n > fmt.Sprint(most) {
			t.Fatalf("the server has %s statements, want at most %d", n, most)
		}
	}
}

func equal(a, b []string) bool { return strings.Join(a, "|") == strings.Join(b, "|") }

// Commands that drop all statements drop the client's own, and others' are
// there again when they need them.
func TestDroppingAllStatementsHurtsNobodyElse(t *testing.T) {
	for _, command := range []string{"deallocate all", "discard all"} {
		t.Run(command, func(t *testing.T) {
			p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
			a, b := talk(t, p.address()), talk(t, p.address())
			a.ask(parse("s", "select 'mine'"), syncNow)
			b.ask(parse("s", "select 'hers'"), syncNow)
			a.query(command)
			if got := types(a.ask(bind("", "s"), execute("", 0), syncNow)); got != "E:26000 Z:I" {
				t.Errorf("the client's own: %s", got)
			}
			if got := values(b.ask(bind("", "s"), execute("", 0), syncNow)); !equal(got, []string{"hers"}) {
				t.Errorf("the other's: %q", got)
			}
			if got := values(a.ask(parse("s", "select 'new'"), bind("", "s"), execute("", 0), syncNow)); !equal(got, []string{"new"}) {
				t.Errorf("prepared anew: %q", got)
			}
			// In one go, with the command in the middle.
			got := types(a.ask(parse("", command), bind("", ""), execute("", 0), parse("n", "select 'newer'"), bind("", "n"), execute("", 0), syncNow))
			if command == "deallocate all" && got != "1 2 C 1 2 D C Z:I" {
				t.Errorf("pipelined: %s", got)
			}
			if got := values(b.ask(bind("", "s"), execute("", 0), syncNow)); !equal(got, []string{"hers"}) {
				t.Errorf("the other's: %q", got)
			}
		})
	}
}

func TestClientsKeepFewStatements(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\nmax_client_prepared_statements = 3")
	k := talk(t, p.address())
	for i := range 3 {
		k.ask(parse(fmt.Sprint("s", i), "select 1"), syncNow)
	}
	list := k.ask(parse("s3", "select 1"), bind("", "s3"), execute("", 0), syncNow)
	if got := types(list); got != "E:53400 Z:I" || !strings.Contains(string(list[0].body), "max_client_prepared_statements") {
		t.Errorf("the fourth: %s %q", got, list[0].body)
	}
	if got := types(k.ask(closeOf('S', "s0"), parse("s3", "select 1"), bind("", "s3"), execute("", 0), syncNow)); got != "3 1 2 D C Z:I" {
		t.Errorf("after one was closed: %s", got)
	}
	k.query("begin")
	if got := types(k.ask(parse("s4", "select 1"), syncNow)); got != "E:53400 Z:E" {
		t.Errorf("inside a transaction: %s", got)
	}
	k.query("rollback")
}

// A long Parse is gathered, however it comes in, up to max_parse_size.
func TestLongStatements(t *testing.T) {
	const most = 1 << 20
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\ndefault_pool_size = 2\nmax_parse_size = %d", most))
	overhead := len(encode(t, parse("s", ""))) - wire.HeaderLen
	for _, size := range []int{16 << 10, 32<<10 - 5, 32 << 10, 64<<10 - 5, 64 << 10, 64<<10 + 1, 300_000, most} {
		for _, chunk := range []int{0, 5000} {
			k := talk(t, p.address())
			k.chunk = chunk
			const frame = len("select length('')")
			want := size - overhead - frame
			text := "select length('" + strings.Repeat("x", want) + "')"
			for round := range 3 {
				say := []pgproto3.FrontendMessage{bind("", "s"), execute("", 0), simple("select 'more'"), syncNow}
				if round == 0 {
					say = append([]pgproto3.FrontendMessage{simple("select 'before'"), parse("s", text)}, say...)
				}
				k.say(say...)
				var got []string
				for len(got) == 0 || got[len(got)-1] != "more" {
					got = append(got, values(k.until("Z"))...)
				}
				k.until("Z")
				if w := fmt.Sprint(want); got[len(got)-2] != w {
					t.Fatalf("size %d, chunk %d, round %d: %q", size, chunk, round, got)
				}
			}
		}
	}
	k := talk(t, p.address())
	k.say(parse("s", strings.Repeat("x", most)))
	if list := k.ended(); types(list) != "E:54000" || !strings.Contains(string(list[0].body), "max_parse_size") {
		t.Errorf("beyond the limit: %s", types(list))
	}
	// Without a name it needn't be gathered.
	k = talk(t, p.address())
	if got := types(k.ask(parse("", "select length('"+strings.Repeat("x", 2*most)+"')"), bind("", ""), execute("", 0), syncNow)); got != "1 2 D C Z:I" {
		t.Errorf("without a name: %s", got)
	}
}

// settle returns when the proxy has dealt with all that was sent to it before.
func (p *pooler) settle(t *testing.T) {
	t.Helper()
	for range 2 * len(p.workers) { // a task runs behind the events at hand
		for _, w := range p.workers {
			done := make(chan struct{})
			w.Post(reactor.TaskFunc(func() { close(done) }))
			<-done
		}
	}
}

// The answer to an earlier query must not cost the client its server while it
// is in the middle of a Parse.
func TestParseInPartsBehindAQuery(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	k := talk(t, p.address())
	long := encode(t, parse("s", "select '"+strings.Repeat("x", 100_000)+"'"), bind("", "s"), execute("", 0), syncNow)
	k.send(append(encode(t, simple("select 1")), long[:40_000]...))
	if got := types(k.until("Z")); got != "T D C Z:I" {
		t.Fatal(got)
	}
	p.settle(t)
	k.send(long[40_000:])
	if got := types(k.until("Z")); got != "1 2 D C Z:I" {
		t.Error(got)
	}
}

// Wherever what a client sends is cut in two, the answer is the same.
func TestPipelineCutAtEveryByte(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	k := talk(t, p.address())
	script := encode(t, parse("s", "select 's' || $1"), describe('S', "s"), bind("p", "s", "1"), execute("p", 0), syncNow,
		bind("", "s", "2"), execute("", 0), closeOf('S', "s"), syncNow, simple("select 3"), bind("", "s"), syncNow)
	want := "1 t T 2 D C Z:I|2 D C 3 Z:I|T D C Z:I|E:26000 Z:I"
	for cut := range script {
		k.send(script[:cut])
		p.settle(t)
		k.send(script[cut:])
		var got []string
		for range 4 {
			got = append(got, types(k.until("Z")))
		}
		if s := strings.Join(got, "|"); s != want {
			t.Fatalf("cut at %d: %s", cut, s)
		}
	}
}

// pgx prepares what it runs, and finds it again wherever it is sent.
func TestPgxWithStatementCache(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 3\nmax_prepared_statements = 5")
	var wait sync.WaitGroup
	for i := range 8 {
		conn, err := pgx.Connect(context.Background(), p.url("postgres", "app"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		wait.Go(func() { runPgx(t, conn, i) })
	}
	wait.Wait()
	if tr := p.Pools()[0].Traffic; tr.ServerParses == 0 || tr.ClientParses < 8*10 {
		t.Errorf("%d Parses of clients, %d sent to servers: names weren't used", tr.ClientParses, tr.ServerParses)
	}
}

func runPgx(t *testing.T, conn *pgx.Conn, client int) {
	ctx := context.Background()
	for n := range 200 {
		a, b := client*1000+n, n%10
		var got int
		err := conn.QueryRow(ctx, fmt.Sprintf("select $1::int + %d", b), a).Scan(&got)
		if err != nil || got != a+b {
			t.Errorf("client %d: %d, %v; want %d", client, got, err, a+b)
			return
		}
		if n%20 != 0 {
			continue
		}
		batch := &pgx.Batch{}
		for i := range 20 {
			batch.Queue(fmt.Sprintf("select $1::int * %d", i%7), a).QueryRow(func(row pgx.Row) error {
				if err := row.Scan(&got); err != nil || got != a*(i%7) {
					return fmt.Errorf("%d: %d, %w", i, got, err)
				}
				return nil
			})
		}
		if err := conn.SendBatch(ctx, batch).Close(); err != nil {
			t.Errorf("client %d, batch: %v", client, err)
			return
		}
		// A failure in a transaction leaves it aborted until it is rolled back.
		tx, err := conn.Begin(ctx)
		if err != nil {
			t.Errorf("client %d: %v", client, err)
			return
		}
		_, err = tx.Exec(ctx, "select 1/$1::int", 0)
		_, after := tx.Exec(ctx, "select $1::int", 1)
		if sqlState(err) != "22012" || sqlState(after) != "25P02" {
			t.Errorf("client %d: errors %v, %v", client, err, after)
		}
		if err := tx.Rollback(ctx); err != nil {
			t.Errorf("client %d: %v", client, err)
		}
	}
}

// lib/pq prepares without a name in one round trip and binds in the next; by
// then it may have another server.
func TestLibPQ(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	db, err := sql.Open("postgres", p.url("postgres", "app"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	prepared, err := db.Prepare("select $1::int * 2")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for n := range 100 {
				want := i*1000 + n
				var got int
				text := fmt.Sprintf("select $1::int + %d", i)
				if err := db.QueryRow(text, want).Scan(&got); err != nil || got != want+i {
					t.Errorf("%d, %v; want %d", got, err, want+i)
					return
				}
				if err := prepared.QueryRow(want).Scan(&got); err != nil || got != want*2 {
					t.Errorf("prepared: %d, %v; want %d", got, err, want*2)
					return
				}
			}
		})
	}
	wait.Wait()
}

// The statement without a name is never somebody else's.
func TestUnnamedStatementIsTheClientsOwn(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	a, b := talk(t, p.address()), talk(t, p.address())
	use := func(k *talker) string {
		list := k.ask(describe('S', ""), bind("", ""), execute("", 0), syncNow)
		return types(list) + fmt.Sprint(values(list))
	}
	a.ask(parse("", "select 'a'"), describe('S', ""), syncNow)
	b.ask(parse("", "select 'b'"), syncNow)
	for range 3 {
		for want, k := range map[string]*talker{"t T 2 D C Z:I[a]": a, "t T 2 D C Z:I[b]": b} {
			if got := use(k); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
	// Bound in one go: not remembered, but not mistaken for the other's either.
	a.ask(parse("", "select 'a2'"), bind("", ""), execute("", 0), syncNow)
	use(b)
	const none = "E:26000 Z:I[]"
	if got := use(a); got != none {
		t.Errorf("got %s, want %s", got, none)
	}
	// A simple query and Close drop it.
	b.query("select 1")
	if got := use(b); got != none {
		t.Errorf("after a query: %s, want %s", got, none)
	}
	b.ask(parse("", "select 'b'"), syncNow)
	b.ask(closeOf('S', ""), syncNow)
	if got := use(b); got != none {
		t.Errorf("after Close: %s, want %s", got, none)
	}
	// It outlives an error of another statement in the same transaction.
	b.query("begin")
	b.ask(parse("", "rollback to s"), parse("save", "savepoint s"), bind("", "save"), execute("", 0), syncNow)
	b.ask(parse("fail", "select 1/0"), bind("", "fail"), execute("", 0), syncNow)
	if got := types(b.ask(bind("", ""), execute("", 0), syncNow)); got != "2 C Z:T" {
		t.Errorf("inside the transaction: %s", got)
	}
	b.query("rollback")
}

// In a transaction that has failed nothing is prepared, whatever the server has
// already, and the name stays free.
func TestParseInAFailedTransaction(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	other := talk(t, p.address())
	other.ask(parse("known", "select 'known'"), syncNow)
	k := talk(t, p.address())
	k.ask(parse("taken", "select 1"), syncNow)
	k.run("begin", "select 1/0")
	for _, tt := range []struct {
		name string
		ask  []pgproto3.FrontendMessage
		want string
	}{
		{"what the server has", messages(parse("mine", "select 'known'"), describe('S', "mine"), syncNow), "E:25P02 Z:E"},
		{"what it hasn't", messages(parse("mine", "select 'new'"), syncNow), "E:25P02 Z:E"},
		{"a name that is taken", messages(parse("taken", "select 2"), syncNow), "E:25P02 Z:E"},
		{"what isn't there", messages(bind("", "mine"), syncNow), "E:26000 Z:E"},
		{"what ends it", messages(parse("end", "rollback"), bind("", "end"), execute("", 0), syncNow), "1 2 C Z:I"},
		{"afterwards", messages(parse("mine", "select 'known'"), bind("", "mine"), execute("", 0), syncNow), "1 2 D C Z:I"},
	} {
		if got := types(k.ask(tt.ask...)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// So is one that is sent ahead of the error it is behind, though its text is known.
func TestParseBehindAnErrorThatIsUnderWay(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 1")
	k := talk(t, p.address())
	k.ask(parse("known", "select 1"), syncNow)
	for range 2 {
		k.say(simple("begin"), simple("select 1/0"), parse("s", "select 1"), syncNow, simple("rollback"))
		got := ""
		for range 4 {
			got += types(k.until("Z")) + " "
		}
		if got != "C Z:T E:22012 Z:E E:25P02 Z:E C Z:I " {
			t.Error(got)
		}
		if got := types(k.ask(bind("", "s"), execute("", 0), syncNow)); got != "E:26000 Z:I" {
			t.Error(got)
		}
	}
}
