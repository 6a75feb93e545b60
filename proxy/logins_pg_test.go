package proxy

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"carpool/proxy/wire"
)

// However logins end, nothing remains of them.
func TestNothingRemainsOfLogins(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\nevent_loops = 3\nmax_client_conn = 12\nmax_client_logins = 6\nserver_login_retry = 20ms\nlog_connections = 0\nlog_disconnections = 0\nlog_pooler_errors = 0")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var wait sync.WaitGroup
	for i := range 8 {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		wait.Go(func() {
			for range 60 {
				if rng.IntN(20) == 0 {
					p.upset(t, rng)
				}
				p.logInSomehow(t, rng)
			}
		})
	}
	wait.Wait()
	eventually(t, "all to have left", func() bool {
		left := make(chan int, len(p.workers))
		for _, w := range p.workers {
			w.Post(taskOf(func() { left <- w.logins.count + w.count }))
		}
		total := int(p.clients.Load())
		for range p.workers {
			total += <-left
		}
		return total == 0 && p.Pools()[0].Pool.Leased == 0
	})
}

// logInSomehow begins a login, and may bring it to its end.
func (p *pooler) logInSomehow(t *testing.T, rng *rand.Rand) {
	conn, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	packet := param("user", "postgres", "database", "app")
	switch rng.IntN(8) {
	case 0:
		return
	case 1:
		_, _ = conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}) // SSLRequest
		_, _ = io.ReadFull(conn, make([]byte, 1))
	case 2:
		_, _ = conn.Write([]byte{0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2}) // a CancelRequest
	case 3:
		packet = append(packet, param("TimeZone", "Mars/Olympus")...)
	case 4:
		packet = param("user", "postgres", "database", "pgbouncer")
	default:
		packet = append(packet, param("work_mem", fmt.Sprint(1000+rng.IntN(500)))...)
	}
	_, _ = conn.Write(wire.AppendStartup(nil, wire.Protocol30, packet))
	if rng.IntN(3) == 0 {
		return
	}
	k := newTalker(t, conn)
	for {
		a, err := k.tryNext()
		if err != nil || a.typ == wire.ReadyForQuery || a.typ == wire.ErrorResponse {
			return
		}
	}
}

// upset gives an order, or ends servers.
func (p *pooler) upset(t *testing.T, rng *rand.Rand) {
	var err error
	switch rng.IntN(4) {
	case 0:
		_, err = p.Reload(p.Config())
	case 1:
		err = p.Reconnect("app")
	case 2:
		admin := talk(t, postgres.Address(), param("database", "postgres")...)
		admin.query("select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = 'app'")
		_ = admin.conn.Close()
	case 3:
		if err = p.Hold("app"); err == nil {
			err = p.Resume("app")
		}
	}
	if err != nil && !errors.Is(err, ErrNotPaused) { // by somebody else, meanwhile
		t.Error(err)
	}
}
