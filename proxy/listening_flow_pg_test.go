package proxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Notifications in a flood, while clients begin and cease to listen: none is
// lost, none comes twice, and each sender's come in order.

const (
	flowSenders  = 8
	flowChannels = 8
)

// flow is the senders' side. On each channel every sender counts from 1.
type flow struct {
	issued [flowSenders][flowChannels]atomic.Int64 // by what has been begun
	ended  atomic.Bool
	gaps   bool // some may be missing
}

func flowChannel(c int) string { return fmt.Sprintf("Flow %d", c) }

// send sends n notifications on random channels, in transactions of some.
func (f *flow) send(t *testing.T, conn *pgconn.PgConn, sender, n int) {
	r := rand.New(rand.NewPCG(uint64(sender), 7))
	for n > 0 {
		var sql strings.Builder
		size := min(n, 1+r.IntN(60))
		n -= size
		for range size {
			c := r.IntN(flowChannels)
			fmt.Fprintf(&sql, `NOTIFY "%s", '%d %d';`, flowChannel(c), sender, f.issued[sender][c].Add(1))
		}
		if f.gaps {
			sql.WriteString("select pg_sleep(0.02)") // so that there is something left to hear
		}
		if _, err := conn.Exec(context.Background(), sql.String()).ReadAll(); err != nil {
			t.Errorf("sender %d: %v", sender, err)
			return
		}
	}
}

// unpooled connects without a pooler.
func unpooled(t *testing.T) *pgconn.PgConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, "postgres://postgres@"+postgres.Address()+"/app?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// follower is a client that listens, and looks at what it hears.
type follower struct {
	t    *testing.T
	f    *flow
	name string
	conn *pgconn.PgConn
	// next is the number to come, by sender and channel: 0 if any may.
	next  [flowSenders][flowChannels]int64
	most  [flowSenders][flowChannels]int64 // the first to come may be no more
	on    [flowChannels]bool
	heard int
}

func follow(t *testing.T, p *pooler, f *flow, name string) *follower {
	w := &follower{t: t, f: f, name: name}
	c, err := pgconn.ParseConfig(p.url("postgres", "app"))
	if err != nil {
		t.Fatal(err)
	}
	c.OnNotification = w.hear
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if w.conn, err = pgconn.ConnectConfig(ctx, c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.conn.Close(context.Background()) })
	return w
}

func (w *follower) hear(_ *pgconn.PgConn, n *pgconn.Notification) {
	w.heard++
	s, number, _ := strings.Cut(n.Payload, " ")
	sender, _ := strconv.Atoi(s)
	at, _ := strconv.ParseInt(number, 10, 64)
	c, _ := strconv.Atoi(strings.TrimPrefix(n.Channel, "Flow "))
	next := &w.next[sender][c]
	switch {
	case !w.on[c]:
		w.t.Errorf("%s: %s brings %d, and isn't listened on", w.name, n.Channel, at)
	case *next == 0 && at > w.most[sender][c] && !w.f.gaps:
		w.t.Errorf("%s: %s begins with %d of sender %d, %d should have come", w.name, n.Channel, at, sender, w.most[sender][c])
	case *next != 0 && (at < *next || at > *next && !w.f.gaps):
		w.t.Errorf("%s: %s brings %d of sender %d, want %d", w.name, n.Channel, at, sender, *next)
	}
	*next = at + 1
}

func (w *follower) exec(sql string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := w.conn.Exec(ctx, sql).ReadAll(); err != nil {
		w.t.Errorf("%s: %s: %v", w.name, sql, err)
	}
}

// listen listens on a channel: whatever is sent from now on has to come.
func (w *follower) listen(c int) {
	w.on[c] = true
	for s := range flowSenders {
		w.next[s][c], w.most[s][c] = 0, 1<<62
	}
	w.exec(fmt.Sprintf(`LISTEN "%s"`, flowChannel(c)))
	for s := range flowSenders {
		w.most[s][c] = w.f.issued[s][c].Load() + 1
	}
}

func (w *follower) unlisten(c int) {
	w.exec(fmt.Sprintf(`UNLISTEN "%s"`, flowChannel(c)))
	w.on[c] = false
}

// wait reads until so many more have been heard, or the senders have ended.
func (w *follower) wait(n int) {
	for until := w.heard + n; w.heard < until && !w.f.ended.Load() && !w.t.Failed(); {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		_ = w.conn.WaitForNotification(ctx) // an end of the time is one too
		cancel()
	}
}

// complete reads until the last notification of every sender has come.
func (w *follower) complete() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for c := range flowChannels {
		for s := range flowSenders {
			last := w.f.issued[s][c].Load()
			for w.on[c] && last > 0 && w.next[s][c] != last+1 {
				if w.next[s][c] == 0 && last < w.most[s][c] {
					break // all of it was sent before
				}
				if err := w.conn.WaitForNotification(ctx); err != nil {
					w.t.Errorf("%s: %s: the last of sender %d is %d, want %d: %v", w.name, flowChannel(c), s, w.next[s][c]-1, last, err)
					return
				}
			}
		}
	}
}

func TestNoNotificationIsLostOrDoubled(t *testing.T) {
	f := &flow{}
	p := startPooler(t, flowSettings)
	f.flood(t, p, 100_000)
	for _, st := range p.ListenStats() {
		if st.Gaps > 0 {
			t.Errorf("%+v", st)
		}
	}
}

// When the hub's connection is lost, notifications are missing, but none comes
// twice or late.
func TestNoNotificationIsDoubledAcrossLosses(t *testing.T) {
	f := &flow{gaps: true}
	p := startPooler(t, flowSettings)
	killer := talk(t, postgres.Address())
	var wait sync.WaitGroup
	wait.Go(func() {
		for brought := uint64(0); !f.ended.Load() && !t.Failed(); killer.run("select pg_sleep(0.01)") {
			if st := p.ListenStats(); len(st) == 1 && st[0].Connected && st[0].Delivered > brought+5000 {
				killer.run(fmt.Sprintf("select pg_terminate_backend(%d)", st[0].ServerPID))
				brought = st[0].Delivered
			}
		}
	})
	f.flood(t, p, 30_000)
	wait.Wait()
	if st := p.ListenStats()[0]; st.Gaps < 2 {
		t.Error("the connection was never lost: nothing was shown")
	}
}

const flowSettings = "pool_mode = transaction\ndefault_pool_size = 12\nevent_loops = 2\n"

// flood sends notifications while clients begin and cease to listen.
func (f *flow) flood(t *testing.T, p *pooler, notifications int) {
	t.Helper()
	var listening, sending sync.WaitGroup
	first := make(chan struct{}, flowSenders)
	for s := range flowSenders {
		w := follow(t, p, f, fmt.Sprintf("follower %d", s))
		listening.Go(func() { // some from the beginning, others in the midst of it
			r := rand.New(rand.NewPCG(uint64(s), 3))
			for i := range 3 {
				w.listen((s + i) % flowChannels)
				if i == 0 {
					first <- struct{}{}
				}
				w.wait(1 + r.IntN(3000))
				w.exec("begin; select 1")
				w.exec("commit")
			}
			for !f.ended.Load() && !t.Failed() {
				w.wait(2000)
				w.exec("select 1")
			}
			if !f.gaps {
				w.complete()
			}
		})
	}
	for i := range 3 {
		w := follow(t, p, f, fmt.Sprintf("churner %d", i))
		listening.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 4))
			for !f.ended.Load() && !t.Failed() {
				c := r.IntN(flowChannels)
				w.listen(c)
				w.wait(r.IntN(300))
				w.unlisten(c)
			}
		})
	}
	for range flowSenders {
		<-first
	}
	start := time.Now()
	for s := range flowSenders {
		conn := unpooled(t)
		if s == 0 {
			conn = p.connect("app", "app") // through the pooler, as another user
		}
		sending.Go(func() { f.send(t, conn, s, notifications/flowSenders) })
	}
	sending.Wait()
	sent := time.Since(start)
	f.ended.Store(true)
	listening.Wait()
	p.multiplexed()
	for _, st := range p.ListenStats() {
		t.Logf("%d sent in %v, heard after %v: %+v", notifications, sent.Round(time.Millisecond), time.Since(start).Round(time.Millisecond), st)
	}
}
