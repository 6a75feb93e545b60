package proxy

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// Pools of names that no server knows don't pile up either, however long
// autodb_idle_timeout is, and whoever asks meanwhile is told.
func TestRoutesToNowhereAreForgotten(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\nmax_client_conn = 10")
	kept := p.connect("app", "app")
	value(t, kept, "select 1")
	_ = kept.Close(context.Background())
	for i := range mostVain + 30 {
		if e := p.refused("app", fmt.Sprintf("nowhere%d", i)); e.Code != "3D000" {
			t.Fatalf("%s %s", e.Code, e.Message)
		}
	}
	eventually(t, "only the last ones to be kept", func() bool { return len(p.Pools()) == 1+mostVain })
	eventually(t, "the others to be forgotten", func() bool {
		p.routesMu.Lock()
		defer p.routesMu.Unlock()
		return len(p.databases) == 1+mostVain && len(p.Proxy.ended) == 0
	})
	last := p.refused("app", fmt.Sprintf("nowhere%d", mostVain+29))
	if last.Code != "3D000" {
		t.Errorf("%s %s", last.Code, last.Message)
	}
	eventually(t, "all of them to be known to be idle", func() bool {
		p.closeIdleRoutes()
		p.routesMu.Lock()
		defer p.routesMu.Unlock()
		for _, r := range p.routes {
			if r.database != "app" && r.idleSince == 0 { // the client that was refused is on its way out
				return false
			}
		}
		return true
	})
	p.routesMu.Lock()
	for _, r := range p.routes {
		r.idleSince -= vainTime
	}
	p.routesMu.Unlock()
	eventually(t, "all of them to be forgotten", func() bool {
		p.closeIdleRoutes()
		return len(p.Pools()) == 1
	})
	if p.Pools()[0].Database != "app" {
		t.Error("a pool that was of use was forgotten")
	}
	value(t, p.connect("app", "app"), "select 1")
}

// Names that only the fallback leads to must not pile up.
func TestIdleRoutesOfTheFallbackAreForgotten(t *testing.T) {
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\nautodb_idle_timeout = 0.001\nserver_idle_timeout = 0.01\n[databases]\nkept = host=%s port=%d dbname=app\n* = host=%s port=%d\n",
		postgres.Host(), postgres.Port(), postgres.Host(), postgres.Port()))
	busy := p.connect("app", "postgres")
	for _, database := range []string{"app", "kept"} {
		conn := p.connect("app", database)
		value(t, conn, "select 1")
		_ = conn.Close(context.Background())
	}
	if n := len(p.Pools()); n != 3 {
		t.Fatalf("%d routes, want 3", n)
	}
	eventually(t, "the unused route of the fallback to be forgotten", func() bool {
		p.closeIdleRoutes()
		return len(p.Pools()) == 2
	})
	for _, v := range p.Pools() {
		if v.Database == "app" {
			t.Error("the route that nobody uses is still there")
		}
	}
	if got := value(t, busy, "select 'alive'"); got != "alive" {
		t.Error(got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	again := p.connect("app", "app")
	if _, err := again.Exec(ctx, "select 1").ReadAll(); err != nil {
		t.Errorf("the route can't be opened again: %v", err)
	}
}
