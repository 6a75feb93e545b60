package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// seedVariable repeats a run of TestNemesis, as far as the order of faults goes.
const seedVariable = "CARPOOL_FAULTS_SEED"

// Thirty-two clients go on while one thing after the other fails around them, at random and on top of each other.
func TestNemesis(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := pgtest.Start(t, serverOptions(60))
	slice := func(serial int) (Fault, Fault) {
		if serial%5 == 0 {
			return Fault{Chunk: 1 + serial%7}, Fault{Chunk: 1}
		}
		return Fault{}, Fault{}
	}
	server := between(t, s.Address(), slice)
	p := startCarpool(t, server.Address(), "default_pool_size = 8\nquery_timeout = 4\nquery_wait_timeout = 6\nserver_connect_timeout = 2\nserver_login_retry = 2\nidle_transaction_timeout = 4")
	client := between(t, p.address, slice)
	const clients = 32
	l := startMoves(t, s, clientURL(client.Address()), clients, allMoves)
	n := nemesis{t: t, server: s, p: p, network: []*Proxy{server, client}, random: random}
	l.more(100)
	rounds, done := either(8, 150), make(map[string]int)
	for range rounds {
		done[n.strike()]++
		l.more(random.IntN(60))
	}
	n.calm()
	l.more(200)
	l.end(s)
	l.onlyFailed("57P01", "57P02", "57P03", "08006", "08001", "53300", "57014", "25P03", "none")
	failed, how := l.failed()
	figure(t, "everything at once", "%d faults (%s), %d clients: %d transactions acknowledged, of which 0 are lost; %d failed (%s), of which 0 are there twice; of all answers, settings, temporary rows and %d notifications 0 were another's",
		rounds, counts(done), clients, l.acked.Load(), failed, how, l.heard.Load())
	p.booksAgree(s)
}

// nemesis breaks things.
type nemesis struct {
	t       *testing.T
	server  *pgserver.Server
	p       *pooler
	network []*Proxy // to the server, to the clients
	random  *rand.Rand
}

// strike breaks one thing, and says which.
func (n *nemesis) strike() string {
	n.t.Helper()
	ctx := context.Background()
	network := n.network[n.random.IntN(len(n.network))]
	switch n.random.IntN(9) {
	case 0, 1:
		n.must(n.server.Exec(ctx, "", fmt.Sprintf("select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s' order by pid limit %d", role, 1+n.random.IntN(3))))
		return "backends killed"
	case 2:
		n.must(n.server.Exec(ctx, "", fmt.Sprintf("select pg_cancel_backend(pid) from pg_stat_activity where usename = '%s' order by pid limit 2", role)))
		return "queries cancelled"
	case 3:
		n.must(n.server.Restart(ctx, pgserver.Immediate))
		return "server restarted"
	case 4:
		network.Reset()
		return "all connections of one side reset"
	case 5, 6:
		network.Silence()
		<-time.After(time.Duration(n.random.IntN(400)) * time.Millisecond) // the fault's length
		network.Speak()
		return "bytes of one side held up"
	case 7:
		if err := n.p.Signal(syscall.SIGHUP); err != nil {
			n.t.Fatal(err)
		}
		return "reloaded"
	default:
		if err := n.p.Signal(syscall.SIGKILL); err != nil {
			n.t.Fatal(err)
		}
		<-n.p.Done()
		n.p.start()
		return "carpool killed"
	}
}

// calm has everything work again.
func (n *nemesis) calm() {
	for _, network := range n.network {
		network.Speak()
	}
}

func (n *nemesis) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}
