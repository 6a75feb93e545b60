package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Orders come one after the other while clients work and everything is looked
// at: no client notices, and in the end nothing is left of it.
func TestOrdersUnderLoad(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 3\nevent_loops = 2\nserver_check_delay = 0\nlog_connections = 0\nlog_disconnections = 0")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 8 {
		conn, err := pgconn.Connect(ctx, fmt.Sprintf("postgres://app:secret@%s/app?sslmode=disable", p.Addresses()[0]))
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() {
			defer conn.Close(ctx) //nolint:errcheck // a test's
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				want := fmt.Sprintf("%d.%d", i, n)
				results, err := conn.Exec(ctx, "BEGIN; SELECT '"+want+"'; COMMIT").ReadAll()
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				if got := string(results[1].Rows[0][0]); got != want {
					t.Errorf("client %d got %s, not %s", i, got, want)
				}
			}
		})
	}
	var watchers sync.WaitGroup
	watchers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			seen := make(map[uint64]bool)
			for _, s := range p.Sockets() {
				if seen[s.ID] {
					t.Errorf("%d is there twice", s.ID)
				}
				seen[s.ID] = true
			}
			p.Users()
			p.Memory()
		}
	})
	for round := range 20 {
		database := []string{"", "app"}[round%2]
		if err := p.Pause(ctx, database); err != nil {
			t.Error(err)
		}
		for _, st := range p.pools.Snapshot() {
			if st.Open > 0 {
				t.Errorf("%d servers are left in a pause", st.Open)
			}
		}
		if err := p.Resume(database); err != nil {
			t.Error(err)
		}
		if err := p.Reconnect(database); err != nil {
			t.Error(err)
		}
		if err := p.AwaitClose(ctx, database); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	clients.Wait()
	watchers.Wait()
	eventually(t, "nothing is left of it", func() bool {
		v := p.Pools()[0]
		return v.Clients == 0 && v.Pool.Leased == 0 && v.Tested == 0 && v.BeingCanceled == 0 && v.Cancels == 0 && v.Cancelers == 0 && !v.Pool.Paused
	})
}

func TestTLSKind(t *testing.T) {
	for want, kind := range map[string]tlsKind{
		"":                               {},
		"TLSv1.3/TLS_AES_128_GCM_SHA256": {tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256},
	} {
		if got := kind.String(); got != want {
			t.Errorf("%v is %q", kind, got)
		}
	}
}
