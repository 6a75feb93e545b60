package proxy

import (
	"context"
	"fmt"
	"testing"
	"time"
)

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
