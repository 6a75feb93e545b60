package metrics

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/config"
	"carpool/proxy"

	"github.com/jackc/pgx/v5/pgconn"
)

var postgres *pgserver.Server

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgserver.Options{
		Roles: []pgserver.Role{{Name: "app", Password: "secret"}}, Databases: []string{"app"},
	}, func(s *pgserver.Server) { postgres = s }))
}

// startProxy runs a proxy before the shared Postgres. The channel gets its end.
func startProxy(t *testing.T) (*proxy.Proxy, <-chan error) {
	t.Helper()
	c, err := config.DefaultForURL(postgres.URL("app", "app"))
	if err != nil {
		t.Fatal(err)
	}
	c.ListenPort = 0
	p, err := proxy.New(proxy.Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- p.Run()
		close(ended)
	}()
	t.Cleanup(func() {
		p.Shutdown(proxy.Immediate)
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the proxy didn't end")
		}
	})
	return p, ended
}

// get asks the handler.
func get(h http.Handler, method, path string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	body, _ := io.ReadAll(w.Result().Body) // from memory
	return w.Code, string(body)
}

func TestScrapeOfARealProxy(t *testing.T) {
	p, _ := startProxy(t)
	h := NewHandler(p, "carpool 1.2")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, fmt.Sprintf("postgres://app:secret@%s/app?sslmode=disable", p.Addresses()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for range 3 {
		if _, err := conn.Exec(ctx, "SELECT 1").ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	// The client has its answer a moment before it is settled what becomes of the
	// server.
	const idle = `carpool_pool_servers{database="app",state="idle",user="app"} 1`
	const pinned = `carpool_pins{database="app",kind="temporary",user="app"} 1`
	status, body := 0, ""
	for _, step := range []struct{ sql, awaited string }{{"CREATE TEMP TABLE one (a int)", pinned}, {"DROP TABLE one", idle}} {
		if _, err := conn.Exec(ctx, step.sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
		for body = ""; !strings.Contains(body, step.awaited) && ctx.Err() == nil; {
			status, body = get(h, "GET", "/metrics")
		}
	}
	if status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	for _, want := range []string{
		`carpool_pool_queries_total{database="app",user="app"} 5`,
		`carpool_pool_transactions_total{database="app",user="app"} 5`,
		`carpool_pool_logins_total{database="app",user="app"} 1`,
		`carpool_pins_total{database="app",user="app"} 1`,
		`carpool_pins{database="app",kind="temporary",user="app"} 0`,
		`carpool_session_state_total{database="app",kind="temporary",user="app"} 1`,
		idle,
		`carpool_pool_clients{database="app",state="active",user="app"} 1`,
		`carpool_connections_accepted_total 1`,
		`carpool_clients 1`,
		`carpool_pool_query_seconds_count{database="app",user="app"} 5`,
		`carpool_pool_transaction_seconds_bucket{database="app",user="app",le="+Inf"} 5`,
		`carpool_pool_login_seconds_count{database="app",user="app"} 1`,
		`# TYPE carpool_pool_wait_seconds histogram`,
		`carpool_pool_dial_failures_total{database="app",reason="timeout",user="app"} 0`,
		`# TYPE carpool_pool_queries_total counter`,
		`# TYPE go_goroutines gauge`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("the scrape has no line %s", want)
		}
	}
	if strings.Contains(body, "secret") {
		t.Error("the scrape shows a password")
	}
	if t.Failed() {
		t.Log(body)
	}
}

// A scraper that knows native histograms gets them.
func TestBinaryFormat(t *testing.T) {
	p, _ := startProxy(t)
	r := httptest.NewRequest("GET", "/metrics", nil)
	const binary = "application/vnd.google.protobuf"
	r.Header.Set("Accept", binary+";proto=io.prometheus.client.MetricFamily;encoding=delimited")
	w := httptest.NewRecorder()
	NewHandler(p, "carpool 1.2").ServeHTTP(w, r)
	if got := w.Header().Get("Content-Type"); w.Code != 200 || !strings.HasPrefix(got, binary) {
		t.Errorf("%d, %s", w.Code, got)
	}
}

func TestHealth(t *testing.T) {
	p, ended := startProxy(t)
	h := NewHandler(p, "carpool 1.2")
	for _, row := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/healthz", 200},
		{"HEAD", "/healthz", 200},
		{"GET", "/readyz", 200},
		{"GET", "/", 404},
		{"GET", "/metrics/x", 404},
		{"POST", "/metrics", 405},
		{"DELETE", "/healthz", 405},
	} {
		if got, body := get(h, row.method, row.path); got != row.want {
			t.Errorf("%s %s: got %d (%s), want %d", row.method, row.path, got, body, row.want)
		}
	}
	p.Shutdown(proxy.WaitForClients)
	if got, _ := get(h, "GET", "/readyz"); got != 503 {
		t.Errorf("/readyz is %d during the shutdown", got)
	}
	if got, _ := get(h, "GET", "/healthz"); got != 200 {
		t.Errorf("/healthz is %d during the shutdown", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
