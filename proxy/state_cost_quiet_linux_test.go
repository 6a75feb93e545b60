// What is measured here means something only when no other test runs beside it, and nothing with the race detector.

//go:build quiet && !race

package proxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"golang.org/x/perf/benchmath"
	"golang.org/x/sys/unix"

	"carpool/proxy/reactor"
	"carpool/proxy/wire"
)

// What looking at session state costs clients that leave nothing there, at most 3 % of the processor time: the transactions of
// pgbench -S go through the same sessions under the default policies and under those that ignore it, in turns of a millisecond,
// and the processor time of the loop's thread is compared. Everything is real, the configurations, the pool, the sockets over
// TCP and their system calls, but for the peers: in their place the same thread reads what was sent. What else the machine does
// hits both alike, and doesn't decide how many messages come at once.
//
// A transaction has four system calls here, which io_uring does with fewer, in three quarters of the time. Of that it mustn't
// be more than 3 %.
func TestQuietLookingAtStateCosts(t *testing.T) {
	const limit, pairs = 3 * 0.75, 3000
	r := newCostRig(t)
	random := rand.New(rand.NewPCG(1, 2))
	for _, work := range []*costWork{simpleWork(random), extendedWork(t, random)} {
		t.Run(work.name, func(t *testing.T) {
			r.compare(t, work, pairs/10) // it warms up
			looking, ignoring, difference := r.compare(t, work, pairs)
			share := func(ns float64) float64 { return 100 * ns / ignoring.Center }
			t.Logf("looking at session state costs %.0f ns (%.0f to %.0f) of processor time, %.2f %% (%.2f to %.2f %%) of the %.0f ns of a transaction; all of it: %.0f ns",
				difference.Center, difference.Lo, difference.Hi, share(difference.Center), share(difference.Lo), share(difference.Hi), ignoring.Center, looking.Center)
			if share(difference.Hi) > limit {
				t.Errorf("that is more than %.2f %%", limit)
			}
		})
	}
}

// costClients is how many transactions are under way at a time, and costTurn how many rounds of them one turn has.
const (
	costClients = 16
	costTurn    = 8
)

// costWork is what clients ask and servers answer.
type costWork struct {
	name      string
	questions [512][]byte
	answer    []byte
	next      int
}

const pgbenchSelect = "SELECT abalance FROM pgbench_accounts WHERE aid = %s;"

// account is what pgbench looks for at scale 10.
func account(random *rand.Rand) string { return fmt.Sprint(1 + random.IntN(1_000_000)) }

func accountHead() []byte {
	out, mark := wire.Begin(nil, wire.RowDescription)
	out = wire.AppendString(append(out, 0, 1), "abalance")
	return wire.Finish(append(out, 0, 0, 0x40, 1, 0, 3, 0, 0, 0, 23, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, 0), mark)
}

func simpleWork(random *rand.Rand) *costWork {
	w := &costWork{name: "simple", answer: append(append(accountHead(), row("0")...), completed()...)}
	for i := range w.questions {
		w.questions[i] = wire.AppendQuery(nil, fmt.Sprintf(pgbenchSelect, account(random)))
	}
	return w
}

func extendedWork(t *testing.T, random *rand.Rand) *costWork {
	w := &costWork{name: "extended", answer: wire.AppendEmpty(wire.AppendEmpty(nil, wire.ParseComplete), wire.BindComplete)}
	w.answer = append(append(append(w.answer, accountHead()...), row("0")...), completed()...)
	for i := range w.questions {
		w.questions[i] = encode(t, parse("", fmt.Sprintf(pgbenchSelect, "$1")), bind("", "", account(random)),
			&pgproto3.Describe{ObjectType: 'P'}, execute("", 0), syncNow)
	}
	return w
}

// costRig is a number of clients with a server for each. It is used on the loop alone.
type costRig struct {
	worker            *worker
	route             *route
	looking, ignoring *terms
	sessions          []*session
	clients           []int // descriptors of the other ends of sessions
	servers           []int // and of servers, by our own descriptors
	buffer            [4096]byte
	failure           string
}

// newCostRig logs clients and servers in and takes over their ends.
func newCostRig(t *testing.T) *costRig {
	f := startFake(t, func(c *fakeConn) {
		if !c.logIn() {
			return
		}
		if _, _, ok := c.receive(); ok {
			c.hold()
			_, _ = c.Write(oneValue("1"))
		}
	})
	const base = "event_loops = 1\npoller = epoll\npool_mode = transaction\ndefault_pool_size = 16\nserver_check_delay = 10000\n"
	p := startPooler(t, base+"deferred_begin = 1"+f.databases())
	r := &costRig{worker: p.workers[0]}
	talkers := make([]*talker, costClients)
	clientAt, serverAt := make(map[int]int), make(map[int]int)
	for i := range talkers {
		talkers[i] = talk(t, p.address())
		clientAt[talkers[i].conn.LocalAddr().(*net.TCPAddr).Port] = takeOver(t, talkers[i].conn)
		talkers[i].send(wire.AppendQuery(nil, "select 1"))
		server := <-f.held
		serverAt[server.RemoteAddr().(*net.TCPAddr).Port] = takeOver(t, server.Conn)
	}
	close(f.release)
	for _, k := range talkers {
		k.until("Z")
		_ = k.conn.Close() // the connection goes on by the copy of its descriptor
	}
	r.onLoop(t, func() {
		r.worker.each(func(s *session) {
			r.sessions = append(r.sessions, s)
			r.clients = append(r.clients, clientAt[portOf(unix.Getpeername(s.client.FD()))])
		})
		for srv := range r.worker.servers {
			for len(r.servers) <= srv.conn.FD() {
				r.servers = append(r.servers, -1)
			}
			r.servers[srv.conn.FD()] = serverAt[portOf(unix.Getsockname(srv.conn.FD()))]
		}
		r.route = r.sessions[0].route
	})
	r.looking = r.route.terms.Load()
	p.reload(base + "deferred_begin = 0\nsession_state = ignore" + f.databases())
	r.ignoring = r.route.terms.Load()
	if r.looking.rules.blind || !r.looking.rules.deferBegin || !r.ignoring.rules.blind || r.ignoring.rules.deferBegin {
		t.Fatal("the configurations aren't the ones to be compared")
	}
	return r
}

// takeOver returns a descriptor of the connection that Go's runtime doesn't know of.
func takeOver(t *testing.T, c net.Conn) int {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if controlErr := raw.Control(func(of uintptr) { fd, err = unix.Dup(int(of)) }); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func portOf(a unix.Sockaddr, err error) int {
	if in, ok := a.(*unix.SockaddrInet4); ok && err == nil {
		return in.Port
	}
	return -1
}

// onLoop runs f on the loop, and waits for its end.
func (r *costRig) onLoop(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !r.worker.Post(reactor.TaskFunc(func() { defer close(done); f() })) {
		t.Fatal("the loop has ended")
	}
	<-done
	if r.failure != "" {
		t.Fatal(r.failure)
	}
}

// compare returns the medians of pairs of turns, in which either goes first as often: the processor time of a transaction in
// nanoseconds, and the difference.
func (r *costRig) compare(t *testing.T, work *costWork, pairs int) (looking, ignoring, difference benchmath.Summary) {
	t.Helper()
	var costs [3][]float64
	r.onLoop(t, func() {
		for i := 0; i < pairs && r.failure == ""; i++ {
			var a, b time.Duration
			if i%2 == 0 {
				a = r.turn(r.looking, work)
				b = r.turn(r.ignoring, work)
			} else {
				b = r.turn(r.ignoring, work)
				a = r.turn(r.looking, work)
			}
			for k, d := range [...]time.Duration{a, b, a - b} {
				costs[k] = append(costs[k], float64(d))
			}
		}
	})
	return medianOf(costs[0]), medianOf(costs[1]), medianOf(costs[2])
}

// medianOf comes with the interval in which the median is, with a confidence of 95 %, whatever the values' distribution.
func medianOf(values []float64) benchmath.Summary {
	return benchmath.AssumeNothing.Summary(benchmath.NewSample(values, &benchmath.DefaultThresholds), 0.95)
}

// turn is the processor time of a transaction under the terms.
func (r *costRig) turn(under *terms, work *costWork) time.Duration {
	r.route.terms.Store(under)
	before := threadTime()
	for range costTurn {
		r.transact(work)
	}
	return (threadTime() - before) / (costTurn * costClients)
}

// threadTime is the processor time that the calling thread has used.
func threadTime() time.Duration {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at); err != nil {
		return 0
	}
	return time.Duration(at.Nano())
}

// transact has each client ask a question, and then each server answer.
func (r *costRig) transact(work *costWork) {
	first := work.next
	work.next = (first + costClients) % len(work.questions)
	for i, s := range r.sessions {
		s.Data(nil, work.questions[first+i])
	}
	for i, s := range r.sessions {
		srv := s.server
		if srv == nil {
			r.failure = "a client has no server"
			return
		}
		r.reads(r.servers[srv.conn.FD()], work.questions[first+i])
		srv.Data(nil, work.answer)
		r.reads(r.clients[i], work.answer)
	}
}

// reads reads what a peer was sent, which has to be what is expected.
func (r *costRig) reads(fd int, expected []byte) {
	n, err := unix.Read(fd, r.buffer[:])
	if err == unix.EAGAIN {
		const patience = 1000 // milliseconds, for what is nearly always there
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, patience)
		n, err = unix.Read(fd, r.buffer[:])
	}
	if err != nil || !bytes.Equal(r.buffer[:n], expected) {
		r.failure = "a peer was sent something else than it should"
	}
}
