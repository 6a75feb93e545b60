package proxy

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carpool/proxy/notify"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
)

// Thousands of clients listen through one server connection, while others
// notify: each hears all that it has to, once, and every sender's in order.

var multitudeNotes = flag.Int("notifications", 10_000, "how many a multitude of listeners is sent; 100000 is the whole of it")

const (
	multitude = 5000 // clients
	groups    = 500  // channels, each with as many listeners
	notifiers = 4    // two of them through the proxy
	takenBack = "taken back"
	theEnd    = "the end"
)

func groupName(group int) string { return fmt.Sprintf("Group %d", group) }

// member is a listener of one group.
type member struct {
	listener
	group int
	heard [notifiers]int // the last number of each
}

// hear reads notifications up to the one that says it is the end.
func (m *member) hear() error {
	for {
		typ, body, err := m.message()
		if err != nil {
			return fmt.Errorf("after %v: %w", m.heard, err)
		}
		_, channel, payload, ok := notify.ParseNote(body)
		if typ != wire.NotificationResponse || !ok || string(channel) != groupName(m.group) {
			return fmt.Errorf("got %q on %q", typ, channel)
		}
		if string(payload) == theEnd {
			return nil
		}
		from, number, _ := strings.Cut(string(payload), " ")
		by, err := strconv.Atoi(from)
		if err != nil || by >= notifiers || number != strconv.Itoa(m.heard[by]+1) {
			return fmt.Errorf("heard %q after %v", payload, m.heard)
		}
		m.heard[by]++
	}
}

// together does something with all members at the same time.
func together(t *testing.T, list []member, do func(*member) error) {
	t.Helper()
	var wait sync.WaitGroup
	var failed atomic.Int64
	for i := range list {
		wait.Go(func() {
			if err := do(&list[i]); err != nil && failed.Add(1) <= 10 {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	wait.Wait()
	if n := failed.Load(); n > 0 {
		t.Fatalf("%d of %d clients failed", n, len(list))
	}
}

// notifies sends n notifications to groups at random, in transactions of some;
// now and then one is rolled back before. It returns how many each group got.
func notifies(t *testing.T, conn *pgconn.PgConn, by, n int) (sent [groups]int) {
	r := rand.New(rand.NewPCG(uint64(by), 11))
	for n > 0 {
		var sql strings.Builder
		size := min(n, 1+r.IntN(60))
		n -= size
		if sql.WriteString("BEGIN;"); r.IntN(8) == 0 {
			for range size {
				fmt.Fprintf(&sql, "NOTIFY \"%s\", '%s';", groupName(r.IntN(groups)), takenBack)
			}
			sql.WriteString("ROLLBACK;BEGIN;")
		}
		for range size {
			group := r.IntN(groups)
			sent[group]++
			fmt.Fprintf(&sql, "NOTIFY \"%s\", '%d %d';", groupName(group), by, sent[group])
		}
		sql.WriteString("COMMIT")
		if _, err := conn.Exec(context.Background(), sql.String()).ReadAll(); err != nil {
			t.Errorf("sender %d: %v", by, err)
			break
		}
	}
	return sent
}

func TestMultitudeHearsEverythingOnce(t *testing.T) {
	const size = 8
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\ndefault_pool_size = %d\nevent_loops = 2\nmax_client_conn = 6000\nlisten_backlog = 4096\n", size))
	list := make([]member, multitude)
	t.Cleanup(func() {
		for i := range list {
			if list[i].conn != nil {
				_ = list[i].conn.Close()
			}
		}
	})
	start := time.Now()
	for i := range list {
		list[i].group = i % groups
	}
	together(t, list, func(m *member) error {
		if err := m.login(p.address()); err != nil {
			return err
		}
		return m.ask(fmt.Sprintf("LISTEN \"%s\"", groupName(m.group)))
	})
	p.multiplexed()
	begun := time.Since(start)
	// While they listen nothing is lent: what there is in the pool is idle.
	const listening = "select count(*) from pg_stat_activity where application_name = '" + hubName + "'"
	if n := count(t, postgres, listening); n != 1 {
		t.Errorf("%d server connections listen", n)
	}

	start = time.Now()
	for i := range list {
		_ = list[i].conn.SetDeadline(start.Add(time.Minute + time.Duration(*multitudeNotes)*time.Millisecond))
	}
	var sent [notifiers][groups]int
	var sending, ending sync.WaitGroup
	for by := range notifiers {
		conn := unpooled(t)
		if by%2 == 1 {
			conn = p.connect("postgres", "app")
		}
		sending.Go(func() { sent[by] = notifies(t, conn, by, *multitudeNotes/notifiers) })
	}
	last, took := unpooled(t), time.Duration(0)
	ending.Go(func() {
		sending.Wait()
		took = time.Since(start)
		for range 2 { // apart, or they would be one
			for group := range groups {
				if _, err := last.Exec(context.Background(), fmt.Sprintf("NOTIFY \"%s\", '%s'", groupName(group), theEnd)).ReadAll(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	together(t, list, (*member).hear)
	ending.Wait()
	heard, deliveries := time.Since(start), 0
	together(t, list, func(m *member) error {
		before := m.heard
		if err := m.hear(); err != nil {
			return err
		}
		for by, n := range m.heard {
			if want := sent[by][m.group]; n != want || before[by] != want {
				return fmt.Errorf("heard %d of sender %d, then %d, want %d", before[by], by, n, want)
			}
		}
		return nil
	})
	for i := range list {
		for _, n := range list[i].heard {
			deliveries += n
		}
	}
	if want := *multitudeNotes / notifiers * notifiers * (multitude / groups); deliveries != want {
		t.Errorf("%d deliveries, want %d", deliveries, want)
	}
	if n := count(t, postgres, listening); n != 1 {
		t.Errorf("%d server connections listen at the end", n)
	}
	st := p.ListenStats()
	if len(st) != 1 || st[0].Gaps > 0 || st[0].Listeners != multitude || st[0].Channels != groups {
		t.Errorf("%+v", st)
	}
	t.Logf("%d clients listen to %d channels after %v; %d notifications sent in %v, %d deliveries, each in its place, after %v",
		multitude, groups, begun.Round(time.Millisecond), *multitudeNotes, took.Round(time.Millisecond), deliveries, heard.Round(time.Millisecond))
}
