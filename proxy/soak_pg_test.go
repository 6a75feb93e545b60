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
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"

	"github.com/jackc/pgx/v5/pgconn"
)

// soakTime is how long TestSoak runs, unless CARPOOL_SOAK says otherwise.
const soakTime = 12 * time.Second

// soak is one run: clients that ask for tokens of their own, and a nemesis.
type soak struct {
	t        *testing.T
	p        *pooler
	server   *pgserver.Server
	crossed  atomic.Int64 // answers with another's token
	answers  atomic.Int64
	refused  atomic.Int64 // errors, which are allowed
	canceled atomic.Int64 // of them, queries that were cancelled
	vanished atomic.Int64 // clients that left in the middle
	killed   atomic.Int64 // servers that the nemesis terminated
	restarts atomic.Int64 // of all of Postgres
}

// TestSoak has 64 clients work at random while queries are cancelled, clients
// vanish, servers are killed and Postgres restarts: no token may ever be
// crossed, and no server be lost from the pool's books.
func TestSoak(t *testing.T) {
	length := soakTime
	if text := os.Getenv("CARPOOL_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	if text := os.Getenv("CARPOOL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CARPOOL_SEED=%d", seed)
	for _, mode := range []string{"transaction", "session"} {
		t.Run(mode, func(t *testing.T) { runSoak(t, mode, length/2, seed) })
	}
}

func runSoak(t *testing.T, mode string, length time.Duration, seed uint64) {
	server := pgtest.Start(t, pgserver.Options{MaxConnections: 100, Roles: []pgserver.Role{{Name: "app", Password: "secret"}}})
	const size = 8
	pool := size
	if mode == "session" {
		pool = 64
	}
	s := &soak{t: t, server: server, p: startPooler(t, fmt.Sprintf(
		"deferred_begin = 1\npool_mode = %s\ndefault_pool_size = %d\nserver_login_retry = 1\nmax_client_conn = 500\nevent_loops = 2\nlog_disconnections = 0\nlog_connections = 0\nlog_pooler_errors = 0\n[databases]\n* = host=%s port=%d\n",
		mode, pool, server.Host(), server.Port()))}
	ctx, stop := context.WithTimeout(context.Background(), length)
	defer stop()
	var wait sync.WaitGroup
	for i := range 64 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		wait.Go(func() { s.client(ctx, i, r) })
	}
	wait.Go(func() { s.nemesis(ctx, rand.New(rand.NewPCG(seed, 1000))) })
	wait.Wait()
	s.report(mode)
	s.settles()
}

// client connects, works, leaves in one way or another, and starts again.
func (s *soak) client(ctx context.Context, id int, r *rand.Rand) {
	for life := 0; ctx.Err() == nil; life++ {
		conn, err := pgconn.Connect(ctx, s.p.url("app", "postgres"))
		if err != nil {
			s.refused.Add(1)
			continue
		}
		s.live(ctx, conn, fmt.Sprintf("%d.%d", id, life), r)
		closing, done := context.WithTimeout(context.Background(), 5*time.Second)
		_ = conn.Close(closing)
		done()
	}
}

// live is one connection's life.
func (s *soak) live(ctx context.Context, conn *pgconn.PgConn, token string, r *rand.Rand) {
	if _, err := conn.Prepare(ctx, "mine", "select $1::text, '"+token+"'", nil); err != nil {
		s.refused.Add(1)
		return
	}
	for n := range 1 + r.IntN(60) {
		question := fmt.Sprintf("%s.%d", token, n)
		var err error
		switch r.IntN(10) {
		case 0:
			s.vanish(ctx, conn, r)
			return
		case 1:
			err = s.cancel(ctx, conn, question, r)
		case 2:
			err = s.transaction(ctx, conn, question)
		case 3, 4:
			err = s.pipeline(ctx, conn, question, token)
		case 5, 6:
			err = s.simple(ctx, conn, question)
		default:
			res := conn.ExecPrepared(ctx, "mine", [][]byte{[]byte(question)}, nil, nil).Read()
			err = s.check(res, question, token)
		}
		if err != nil {
			s.refused.Add(1)
			if conn.IsClosed() {
				return
			}
		}
	}
}

// check counts an answer, and whether it is for this question.
func (s *soak) check(res *pgconn.Result, want ...string) error {
	if res.Err != nil {
		return res.Err
	}
	s.answers.Add(1)
	if len(res.Rows) != 1 || len(res.Rows[0]) < len(want) {
		s.crossed.Add(1)
		s.t.Errorf("asked for %v, got %d rows", want, len(res.Rows))
		return nil
	}
	for i, w := range want {
		if got := string(res.Rows[0][i]); got != w {
			s.crossed.Add(1)
			s.t.Errorf("asked for %q, got %q", w, got)
		}
	}
	return nil
}

func (s *soak) simple(ctx context.Context, conn *pgconn.PgConn, question string) error {
	results, err := conn.Exec(ctx, "select '"+question+"'").ReadAll()
	if err != nil {
		return err
	}
	return s.check(results[0], question)
}

func (s *soak) transaction(ctx context.Context, conn *pgconn.PgConn, question string) error {
	if _, err := conn.Exec(ctx, "begin; set local application_name = '"+question+"'").ReadAll(); err != nil {
		return err
	}
	res := conn.ExecParams(ctx, "select current_setting('application_name')", nil, nil, nil, nil).Read()
	if err := s.check(res, question); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "rollback").ReadAll()
	return err
}

func (s *soak) pipeline(ctx context.Context, conn *pgconn.PgConn, question, token string) error {
	batch := &pgconn.Batch{}
	for i := range 3 {
		batch.ExecPrepared("mine", [][]byte{fmt.Appendf(nil, "%s/%d", question, i)}, nil, nil)
	}
	results, err := conn.ExecBatch(ctx, batch).ReadAll()
	if err != nil {
		return err
	}
	for i, res := range results {
		if err := s.check(res, fmt.Sprintf("%s/%d", question, i), token); err != nil {
			return err
		}
	}
	return nil
}

// cancel cancels a query of its own, perhaps too late.
func (s *soak) cancel(ctx context.Context, conn *pgconn.PgConn, question string, r *rand.Rand) error {
	sent := make(chan struct{})
	delay := time.Duration(r.IntN(15)) * time.Millisecond
	go func() {
		defer close(sent)
		<-time.After(delay)
		_ = conn.CancelRequest(ctx)
	}()
	results, err := conn.Exec(ctx, "select '"+question+"', pg_sleep(0.02)").ReadAll()
	<-sent
	if sqlState(err) == "57014" {
		s.canceled.Add(1)
		return nil
	}
	if err != nil {
		return err
	}
	return s.check(results[0], question)
}

// vanish drops the connection in the middle of something.
func (s *soak) vanish(ctx context.Context, conn *pgconn.PgConn, r *rand.Rand) {
	s.vanished.Add(1)
	what := []string{"select pg_sleep(1)", "begin", "begin; select 1/0", "select generate_series(1, 100000)"}[r.IntN(4)]
	_ = conn.Exec(ctx, what)
	_ = conn.Conn().Close()
}

// nemesis kills servers, and now and then all of Postgres.
func (s *soak) nemesis(ctx context.Context, r *rand.Rand) {
	ticker := time.NewTicker(150 * time.Millisecond)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if n%16 == 0 {
			how := []pgserver.Shutdown{pgserver.Fast, pgserver.Immediate}[r.IntN(2)]
			if err := s.server.Restart(context.Background(), how); err != nil {
				s.t.Errorf("restarting Postgres: %v", err)
				return
			}
			s.restarts.Add(1)
			continue
		}
		_, err := s.server.Value(ctx, "postgres", "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app' order by random() limit 1")
		if err == nil {
			s.killed.Add(1)
		}
	}
}

// report fails the test if anything was crossed, or if too little happened for
// the run to prove anything.
func (s *soak) report(mode string) {
	s.t.Logf("%s mode: %d answers, %d crossed, %d errors; %d cancelled, %d clients vanished, %d servers killed, %d restarts",
		mode, s.answers.Load(), s.crossed.Load(), s.refused.Load(), s.canceled.Load(), s.vanished.Load(), s.killed.Load(), s.restarts.Load())
	for what, n := range map[string]int64{
		"answers": s.answers.Load(), "cancelled": s.canceled.Load(), "vanished": s.vanished.Load(),
		"killed": s.killed.Load(), "restarts": s.restarts.Load(),
	} {
		if n == 0 {
			s.t.Errorf("%s: 0, so the run proves nothing", what)
		}
	}
}

// settles: when all clients are gone, no server may be lent or lost: those in
// the books are those that Postgres knows.
func (s *soak) settles() {
	books := func() (leased, open int) {
		for _, v := range s.p.Pools() {
			leased += v.Pool.Leased
			open += v.Pool.Open
		}
		return leased, open
	}
	eventually(s.t, "every server to come back", func() bool {
		leased, open := books()
		known, err := s.server.Value(context.Background(), "postgres", "select count(*) from pg_stat_activity where usename = 'app'")
		return err == nil && leased == 0 && known == strconv.Itoa(open)
	})
	eventually(s.t, "every session to be over", func() bool { return s.p.State().Clients == 0 })
}
