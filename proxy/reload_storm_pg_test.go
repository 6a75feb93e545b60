package proxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"
)

// stormReloads is how many reloads TestReloadStorm makes.
const stormReloads = 200

// storm is a configuration that changes at random, but for what keeps the
// clients in.
type storm struct {
	r       *rand.Rand
	servers []*pgserver.Server
	// comes is whether the database that comes and goes is there.
	comes atomic.Bool
}

// settings are the next configuration.
func (s *storm) settings() string {
	pick := func(list ...string) string { return list[s.r.IntN(len(list))] }
	entry := func(name string) string {
		server := s.servers[s.r.IntN(len(s.servers))]
		return on(server, name, fmt.Sprintf("dbname=postgres %s pool_size=%d %s", pick("", "", "user=app", "user=other"), 1+s.r.IntN(4), pick("", "min_pool_size=1", "max_db_connections=2", "pool_mode=session", "timezone=UTC")))
	}
	text := "auth_type = trust\nmax_client_conn = 1000\nlog_connections = 0\nlog_disconnections = 0\nlog_pooler_errors = 0\nevent_loops = 2\n"
	text += "pool_mode = " + pick("transaction", "transaction", "session", "statement") + "\n"
	text += "max_prepared_statements = " + pick("0", "1", "100") + "\n"
	text += "max_user_connections = " + pick("0", "3", "7") + "\n"
	text += "query_timeout = " + pick("0", "60") + "\nclient_idle_timeout = " + pick("0", "60") + "\n"
	text += "server_lifetime = " + pick("30", "3600") + "\ntcp_keepidle = " + pick("0", "100") + "\n"
	text += "[databases]\n" + entry("db")
	s.comes.Store(s.r.IntN(2) == 0)
	if s.comes.Load() {
		text += entry("comes")
	}
	return text + fmt.Sprintf("[users]\napp = query_timeout=%d\n", 60+s.r.IntN(2))
}

// Reloads without pause, of everything that can change, under clients that stay
// and clients that come and go: nobody is told of an error, and at the end
// nothing is left over.
func TestReloadStorm(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("CARPOOL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CARPOOL_SEED=%d", seed)
	options := pgserver.Options{MaxConnections: 60, Roles: []pgserver.Role{{Name: "app"}, {Name: "other"}}}
	s := &storm{
		r:       rand.New(rand.NewPCG(seed, 0)),
		servers: []*pgserver.Server{pgtest.Start(t, options), pgtest.Start(t, options)},
	}
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	calm := "pool_mode = transaction\nevent_loops = 2\nlog_connections = 0\nlog_disconnections = 0\nlog_pooler_errors = 0\n[databases]\n" + on(s.servers[0], "db", "dbname=postgres")
	p := startPooler(t, calm)
	// They log in before the storm, and so in transaction mode.
	first := newCrowd(t, p, 12, "app", "db", "select 'first'")
	second := newCrowd(t, p, 12, "other", "db", "select 'second'")
	first.rule.Store(is("first"))
	second.rule.Store(is("second"))

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var visitors sync.WaitGroup
	var visits atomic.Int64
	for i := range 4 {
		visitors.Go(func() {
			for ctx.Err() == nil && !t.Failed() {
				s.visit(t, p, []string{"app", "other"}[i%2], []string{"db", "comes"}[i/2])
				visits.Add(1)
			}
		})
	}
	for range stormReloads {
		p.reload(s.settings())
		first.work(int64(s.r.IntN(10)))
	}
	stop()
	visitors.Wait()
	p.reload(calm)
	first.work(100)
	second.work(100)
	first.end()
	second.end()
	t.Logf("%d queries, %d visits, %d reloads", first.queries.Load()+second.queries.Load(), visits.Load(), stormReloads)
	p.agrees(s.servers...)
	p.closeIdleRoutes()
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	if len(p.Proxy.ended) != 0 || len(p.databases) > 1 || len(p.users) > 2 || len(p.routes) > 2 {
		t.Errorf("left over: %d routes that ended, %d databases, %d users, %d routes", len(p.Proxy.ended), len(p.databases), len(p.users), len(p.routes))
	}
}

// visit logs in, asks and leaves. The only trouble it may meet is that the
// database isn't there.
func (s *storm) visit(t *testing.T, p *pooler, user, database string) {
	ctx := context.Background()
	conn, err := pgconn.Connect(ctx, p.url(user, database))
	if err != nil {
		if sqlState(err) != "3D000" || database != "comes" {
			t.Errorf("%s couldn't log in to %s: %v", user, database, err)
		}
		return
	}
	defer conn.Close(ctx) //nolint:errcheck // it has been asked all there is
	for range 3 {
		results, err := conn.Exec(ctx, "select '"+user+"'").ReadAll()
		if err != nil && sqlState(err) == "3D000" && database == "comes" {
			return // it went over to a route that ended
		}
		if err != nil || string(results[0].Rows[0][0]) != user {
			t.Errorf("%s at %s: %v", user, database, err)
			return
		}
	}
	if res := conn.ExecParams(ctx, "select 1", nil, nil, nil, nil).Read(); res.Err != nil && sqlState(res.Err) != "3D000" {
		t.Errorf("%s at %s: extended protocol: %v", user, database, res.Err)
	}
}
