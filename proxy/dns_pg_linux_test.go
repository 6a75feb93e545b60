package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/upstream"
)

// nameServer answers what one name stands for.
type nameServer struct {
	socket net.PacketConn

	mu      sync.Mutex
	address netip.Addr // not valid: there is no such name
	silent  bool
	asked   int
	waiting []func() // questions that came in silence
}

// serveNames has this process ask a name server of its own until the test ends.
func serveNames(t *testing.T) *nameServer {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameServer{socket: socket}
	var running sync.WaitGroup
	running.Go(n.serve)
	system := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = system
		_ = socket.Close()
		running.Wait()
	})
	return n
}

func (n *nameServer) means(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent, n.address = false, netip.Addr{}
	if address != "" {
		n.address = netip.MustParseAddr(address)
	}
	for _, answer := range n.waiting {
		answer()
	}
	n.waiting = nil
}

func (n *nameServer) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = true
}

func (n *nameServer) questions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

func (n *nameServer) serve() {
	b := make([]byte, 1500)
	for {
		size, from, err := n.socket.ReadFrom(b)
		if err != nil {
			return
		}
		n.hear(bytes.Clone(b[:size]), from)
	}
}

// hear answers a question, or keeps it for when the silence is over.
func (n *nameServer) hear(question []byte, from net.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	answer := func() { _, _ = n.socket.WriteTo(n.answerLocked(question), from) }
	if n.silent {
		n.waiting = append(n.waiting, answer)
		return
	}
	answer()
}

// answerLocked is what a question is answered by, see RFC 1035, section 4.
func (n *nameServer) answerLocked(question []byte) []byte {
	end := 12
	for end < len(question) && question[end] != 0 {
		end += 1 + int(question[end])
	}
	if end += 5; end > len(question) {
		return nil
	}
	const isAnswer, isAddress, noSuchName = 0x8180, 1, 3
	out := append([]byte(nil), question[:end]...)
	clear(out[4:12])
	flags := uint16(isAnswer)
	out[5] = 1 // question
	switch {
	case !n.address.IsValid():
		flags |= noSuchName
	case binary.BigEndian.Uint16(question[end-4:]) == isAddress:
		out[7] = 1 // answer
		out = append(out, 0xc0, 12, 0, isAddress, 0, 1, 0, 0, 0, 1, 0, 4)
		out = append(out, n.address.AsSlice()...)
	}
	binary.BigEndian.PutUint16(out[2:], flags)
	return out
}

// aliasOf has another address of this machine, on another port, be a server's.
func aliasOf(t *testing.T, address string, s *pgserver.Server) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", s.Address())
			if err != nil {
				_ = from.Close()
				continue
			}
			running.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
			running.Go(func() { _, _ = io.Copy(from, to); _ = from.Close() })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); running.Wait() })
}

// A server's name may come to stand for another address, or for none, or the
// name server may be silent: new connections go where it says, and nobody else
// waits.
func TestNamesOfServers(t *testing.T) {
	names := serveNames(t)
	options := pgserver.Options{MaxConnections: 20, Databases: []string{"app"}}
	first, second := pgtest.Start(t, options), pgtest.Start(t, options)
	aliasOf(t, fmt.Sprintf("127.0.0.2:%d", first.Port()), second)
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\ndefault_pool_size = 2\nserver_connect_timeout = 20\n[databases]\n"+
		"app = host=db.carpool.test port=%d\nplain = host=127.0.0.1 port=%d dbname=app\n", first.Port(), first.Port()))
	ended := func(s *pgserver.Server) {
		t.Helper()
		if err := s.Exec(context.Background(), "", "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'app'"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the loss to be noticed", func() bool { return p.poolOf("app", "postgres").Open == 0 })
	}
	const ask = "show port"
	at := func(s *pgserver.Server) string { return fmt.Sprint(s.Port()) }

	names.means("127.0.0.1")
	k := talk(t, p.address())
	if got := k.query(ask); got != at(first) {
		t.Fatalf("the client is on the server with port %s", got)
	}
	names.means("127.0.0.2")
	if got := k.query(ask); got != at(first) {
		t.Errorf("a connection that is there has moved to %s", got)
	}
	ended(first)
	began := time.Now()
	if got := k.query(ask); got != at(second) {
		t.Errorf("after the change of address the client is on %s", got)
	}
	moved := time.Since(began)

	names.means("")
	ended(second)
	k.say(simple(ask))
	eventually(t, "the lookup to fail", func() bool {
		pools := p.Pools()
		i := slices.IndexFunc(pools, func(v PoolView) bool { return v.Database == "app" })
		return i >= 0 && pools[i].DialFailures[upstream.FailureName] > 0
	})
	plain := func(what string) (longest time.Duration) {
		t.Helper()
		for range 20 {
			began := time.Now()
			c := talk(t, p.address(), param("database", "plain")...)
			if got := c.query(ask); got != at(first) {
				t.Errorf("%s: the other database is on %s", what, got)
			}
			_ = c.conn.Close()
			longest = max(longest, time.Since(began))
		}
		return longest
	}
	beside := plain("without the name")
	names.means("127.0.0.1")
	began = time.Now()
	k.until("D")
	k.until("Z")
	back := time.Since(began)

	ended(first)
	names.silence()
	asked := names.questions()
	k.say(simple(ask))
	eventually(t, "the silent name server to be asked", func() bool { return names.questions() > asked })
	slow := plain("beside a silent name server")
	if slow > 5*time.Second {
		t.Errorf("a client of another database took %s", slow)
	}
	names.means("127.0.0.1")
	k.until("D")
	k.until("Z")
	t.Logf("address changed: the next connection, %s later, goes there; no such name: the client waits, and is served %s after there is one again; "+
		"clients of another database log in and are served within %s meanwhile, beside a silent name server within %s",
		moved.Round(time.Millisecond), back.Round(time.Millisecond), beside.Round(time.Millisecond), slow.Round(time.Millisecond))
}
