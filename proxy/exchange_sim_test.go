package proxy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"carpool/proxy/prepared"
	"carpool/proxy/wire"
)

// The simulation: a few clients share fewer model servers through exchanges,
// with all messages delivered in random order of time. Beside each client runs
// a model server of its own that gets the same messages at once: what the
// client sees through the exchange has to be what that one says.
type exchangeSim struct {
	r       *rand.Rand
	shared  *translation // nil: names are left alone
	schema  *schema
	version int  // of the tables that change
	unseen  bool // they have changed behind carpool's back
	clients []*simClient
	free    []*simServer
	sent    int // messages from clients
	trace   []string
	tracing bool
	failure string
	seen    map[string]int // situations that came up
}

type simServer struct {
	*modelServer
	cache  *prepared.Cache
	in     []modelMessage // on the way to it
	async  int            // parameters and notifications it sent of its own accord
	closed bool
}

type simClient struct {
	rig
	id      int
	on      *simServer
	direct  *modelServer
	want    []modelMessage // what the direct server said and hasn't been matched
	plan    []modelMessage // what the client is about to say
	held    *modelMessage  // the message that was told to wait
	read    bool           // but the direct server has it already
	flushed bool           // and a Flush was sent for it
	quiesce bool           // nothing more is sent before all is answered
	asked   bool           // our own query is under way
	async   int            // notifications it got, counted like its server's
	wiped   int
	ignored int // Syncs that were taken for ignored
}

func newExchangeSim(seed uint64, translate, tracing bool) *exchangeSim {
	s := &exchangeSim{r: rand.New(rand.NewPCG(seed, 1)), tracing: tracing, seen: map[string]int{}, schema: &schema{}}
	if translate {
		s.shared = newTranslation()
	}
	for range 2 {
		s.free = append(s.free, s.newServer())
	}
	for i := range 3 {
		s.clients = append(s.clients, s.newClient(i))
	}
	return s
}

func (s *exchangeSim) newServer() *simServer {
	srv := &simServer{modelServer: newModelServer(&s.version)}
	srv.lenient = s.shared != nil
	if s.shared != nil {
		srv.cache = prepared.NewCache(1 + s.r.IntN(4))
	}
	return srv
}

func (s *exchangeSim) newClient(id int) *simClient {
	c := &simClient{id: id, direct: newModelServer(&s.version)}
	c.direct.lenient, c.direct.forgiving = s.shared != nil, s.shared != nil
	c.names.translation = s.shared
	return c
}

func (s *exchangeSim) chance(percent int) bool { return s.r.IntN(100) < percent }

func (s *exchangeSim) note(format string, args ...any) {
	if s.tracing {
		s.trace = append(s.trace, fmt.Sprintf(format, args...))
	}
}

func (s *exchangeSim) fail(format string, args ...any) {
	if s.failure == "" {
		s.failure = fmt.Sprintf(format, args...)
	}
}

// run lets n messages pass and then brings everything to its end.
func (s *exchangeSim) run(n int) {
	for steps := 0; s.sent < n && s.failure == ""; steps++ {
		if s.chance(6) {
			s.migrate()
		}
		s.step(s.clients[s.r.IntN(len(s.clients))], true)
		if steps > 100*n {
			s.fail("nothing moves any more")
		}
	}
	for _, c := range s.clients {
		for range 10_000 {
			if c.on == nil || s.failure != "" {
				break
			}
			s.step(c, false)
		}
		if c.on != nil && s.failure == "" {
			if !s.unfinished(c) {
				s.fail("client %d never came to an end", c.id)
			}
			c.on.closed = true
			s.part(c)
		}
		c.names.names.Clear()
	}
	for _, srv := range s.free {
		if srv.cache != nil {
			srv.cache.Clear()
		}
	}
	if s.shared != nil && s.shared.catalog.Len() != 0 && s.failure == "" {
		s.fail("%d statements are still referred to", s.shared.catalog.Len())
	}
}

// migrate changes tables, with nothing under way that might see it or not.
func (s *exchangeSim) migrate() {
	for _, c := range s.clients {
		if c.held != nil || c.on != nil && (!c.empty() || len(c.want) > 0 || len(c.on.in)+len(c.on.out)+len(c.on.modelServer.held) > 0 || c.direct.copying != nil) {
			return
		}
	}
	s.note("version %d", 1-s.version)
	if s.version = 1 - s.version; s.chance(50) {
		s.schema.changed()
		s.seen["migrated"]++
		return
	}
	s.unseen = true
	for _, c := range s.clients {
		if len(c.plan) == 0 && c.direct.free() {
			c.plan = s.habit(c) // somebody has to run into it
		}
	}
	s.seen["migrated unseen"]++
}

// unfinished: the client is in the middle of something, as it might be when
// the script ends, and all that can be answered has been.
func (s *exchangeSim) unfinished(c *simClient) bool {
	return !c.direct.free() && len(c.want) == 0 && len(c.on.in) == 0 && len(c.on.out) == 0
}

// step does one thing for a client: it sends a message, its server reads one,
// or an answer of the server's is delivered.
func (s *exchangeSim) step(c *simClient, sending bool) {
	if c.on == nil && !s.lend(c, sending) {
		return
	}
	srv := c.on
	switch action := s.r.IntN(3); {
	case action == 0 && (sending || c.held != nil):
		s.clientSends(c)
	case action == 1 && len(srv.in) > 0:
		s.serverReads(srv)
	case action == 2 && len(srv.out) > 0:
		s.deliver(c)
	case !sending && len(srv.in) == 0 && len(srv.out) == 0 && c.held == nil:
		if len(srv.held) > 0 || c.isDue() || !c.direct.free() {
			s.putIn(c, modelMessage{t: wire.Sync}) // the script ends in the middle of a batch
			s.endOfScript(c)
		}
	}
	if c.on == nil || s.failure != "" {
		return
	}
	if wrong := c.verify(); wrong != "" {
		s.fail("client %d: %s", c.id, wrong)
	}
	s.look(c)
}

// endOfScript has the client end what it is in the middle of.
func (s *exchangeSim) endOfScript(c *simClient) {
	if c.direct.copying != nil {
		s.putIn(c, modelMessage{t: wire.CopyFail}, modelMessage{t: wire.Sync})
	}
	s.putIn(c, modelMessage{t: wire.Query, body: "rollback"})
}

// putIn sends messages, however long they are held.
func (s *exchangeSim) putIn(c *simClient, list ...modelMessage) {
	for _, msg := range list {
		if c.on != nil && c.held == nil && s.failure == "" {
			s.offer(c, msg)
		}
	}
}

func (s *exchangeSim) lend(c *simClient, sending bool) bool {
	if len(s.free) == 0 || !sending || c.held != nil {
		return false
	}
	i := s.r.IntN(len(s.free))
	c.on = s.free[i]
	s.free = slices.Delete(s.free, i, i+1)
	var names *statements
	if s.shared != nil {
		c.names.cache = c.on.cache
		names = &c.names
	}
	c.begin(names, s.schema)
	c.async = c.on.async
	c.ignored, c.on.copySyncs, c.on.ignored = 0, 0, nil
	s.note("client %d gets server %p", c.id, c.on)
	if s.chance(20) {
		c.ask(errandReplay)
		c.asked = true
		c.on.in = append(c.on.in, modelMessage{wire.Query, "set"})
	}
	return true
}

func (s *exchangeSim) clientSends(c *simClient) {
	if c.quiesce && !c.copyIn && (!c.empty() || len(c.want) > 0) {
		if s.chance(10) {
			s.putIn(c, modelMessage{t: wire.Flush})
		}
		return
	}
	c.quiesce = false
	if c.held == nil {
		s.offer(c, s.nextMessage(c))
		return
	}
	msg := *c.held
	c.held = nil
	s.offer(c, msg)
}

// offer shows the exchange a message of the client's.
func (s *exchangeSim) offer(c *simClient, msg modelMessage) {
	if c.isDue() && s.chance(10) {
		s.got(c, c.due(nil))
	}
	if msg.t == wire.Sync && c.copyIn {
		c.ignored++
	}
	c.next, c.direct.next = nil, ""
	if len(c.plan) > 0 && msg.t == wire.Bind && c.plan[0].t == wire.Describe {
		c.direct.next = c.plan[0].body
		c.next = append(wire.AppendHeader(nil, wire.Describe, len(c.direct.next)), c.direct.next...)
	}
	out, v := c.rig.client(msg.t, []byte(msg.body))
	s.note("client %d: %c %.40q -> %d", c.id, msg.t, msg.body, v)
	if v == hold {
		s.seen["hold"]++
		if len(out) > 0 {
			s.seen["probed"]++
			c.flushed = false
			c.on.in = append(c.on.in, split(nil, out)...)
			s.readDirectly(c, msg) // it may be refused from now on
			c.read = true
		}
		c.held = &msg
		if !c.awaited() && !c.flushed {
			c.flushed = true
			c.on.in = append(c.on.in, modelMessage{t: wire.Flush})
		}
		if c.isDue() {
			s.got(c, c.due(nil))
		}
		return
	}
	s.sent++
	c.flushed = false
	c.on.in = append(c.on.in, split(nil, out)...)
	s.count(c, msg, v, len(out))
	if !c.read {
		s.readDirectly(c, msg)
	}
	c.read = false
	if c.direct.wiped != c.wiped && s.shared != nil {
		c.wiped = c.direct.wiped
		c.quiesce = true
	}
}

// readDirectly shows a message to the client's own server.
func (s *exchangeSim) readDirectly(c *simClient, msg modelMessage) {
	c.direct.read(msg)
	c.want = append(append(c.want, c.direct.out...), c.direct.held...)
	c.direct.out, c.direct.held = nil, nil
}

// serverReads has a server take the next message on the way to it.
func (s *exchangeSim) serverReads(srv *simServer) {
	msg := srv.in[0]
	srv.in = srv.in[1:]
	s.note("server %p reads %c %.40q", srv, msg.t, msg.body)
	srv.read(msg)
	if s.chance(30) {
		srv.flush() // its buffer is full
	}
	if s.chance(3) && !srv.dead {
		t := []byte{wire.NotificationResponse, wire.NoticeResponse, wire.ParameterStatus}[s.r.IntN(3)]
		srv.say(t, "async")
		if t == wire.NotificationResponse {
			srv.async++
		}
	}
}

// deliver shows the exchange what the server said next.
func (s *exchangeSim) deliver(c *simClient) {
	msg := c.on.out[0]
	c.on.out = c.on.out[1:]
	changed := msg.t == wire.ErrorResponse && msg.body == "0A000"
	if changed {
		msg.body = string(serverBody(wire.ErrorResponse, "0A000"))
	}
	asking := c.asked
	failed, ignored := c.copying && msg.t == wire.ErrorResponse, 0
	syncs := c.syncs()
	out, v := c.rig.server(msg.t, []byte(msg.body))
	s.note("server %p: %c %.40q -> %d", c.on, msg.t, msg.body, v)
	switch {
	case v == heal:
		s.seen["healed"]++
		s.got(c, out)
		c.on.in = append(c.on.in, split(nil, c.healed)...)
		return
	case v == forward && s.unseen && changed && (len(c.want) == 0 || c.want[0].body != "0A000"):
		// Nobody could see it coming, and it was no time for healing.
		s.seen["unhealed"]++
		c.want = nil
		c.on.closed = true
		s.part(c)
		return
	case v == broken, v == refused:
		s.fail("client %d: %c %q from the server has verdict %d", c.id, msg.t, msg.body, v)
		return
	case v == drop && asking && msg.t == wire.ReadyForQuery:
		c.asked = false
	}
	s.got(c, out)
	if msg.t == wire.CopyInResponse {
		if c.front().kind == kindExecute {
			s.seen["extended COPY"]++
		}
		c.ignored += syncs - c.syncs()
	}
	if failed {
		ignored = c.on.ignored[0]
		c.on.ignored = c.on.ignored[1:]
	}
	if failed && c.ignored > ignored {
		// COPY has failed before a Sync that the exchange took for ignored. It
		// can't know, and what the client is told from here on may be wrong. But
		// the server mustn't be used again.
		s.seen["in doubt"]++
		if !c.doubt {
			s.fail("client %d: a Sync is unaccounted for", c.id)
		}
		c.want = nil
		c.on.closed = true
		s.part(c)
	}
}

// part ends a conversation. A server that is closed is replaced, and its client
// with it if it died of the client's doing.
func (s *exchangeSim) part(c *simClient) {
	srv := c.on
	s.note("client %d parts from server %p, closed %v", c.id, srv, srv.closed)
	whole := c.idle() && c.held == nil
	c.end()
	c.on, c.asked, c.names.cache = nil, false, nil
	// What nobody translates belongs to the server.
	delete(c.direct.statements, "")
	delete(srv.statements, "")
	if s.shared == nil {
		clear(c.direct.statements)
		clear(srv.statements)
	}
	if srv.closed {
		if srv.cache != nil {
			srv.cache.Clear()
		}
		srv = s.newServer()
	}
	s.free = append(s.free, srv)
	if !whole {
		c.names.names.Clear()
		*c = *s.newClient(c.id)
	}
}

// simulate runs one seed and fails the test with the end of its story.
func simulate(t *testing.T, seed uint64, n int, seen map[string]int) (sent int) {
	translate := seed%4 != 0
	s := newExchangeSim(seed, translate, false)
	s.run(n)
	for k, v := range s.seen {
		seen[k] += v
	}
	if s.failure != "" {
		s = newExchangeSim(seed, translate, true)
		s.run(n)
		t.Fatalf("CARPOOL_SEED=%d: %s\n%s", seed, s.failure, strings.Join(s.trace[max(0, len(s.trace)-120):], "\n"))
	}
	return s.sent
}

// CARPOOL_SEED runs one seed, CARPOOL_SIM_SECONDS goes on for so long.
func TestExchangeSimulation(t *testing.T) {
	const perSeed = 400
	seen := map[string]int{}
	if v := os.Getenv("CARPOOL_SEED"); v != "" {
		seed, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		simulate(t, seed, perSeed, seen)
		return
	}
	budget := 6 * time.Second
	if v, err := strconv.Atoi(os.Getenv("CARPOOL_SIM_SECONDS")); err == nil {
		budget = time.Duration(v) * time.Second
	}
	first := uint64(time.Now().UnixNano())
	start, sent, seeds := time.Now(), 0, uint64(0)
	// Some stories are rare, and a busy machine tells fewer of them.
	for time.Since(start) < budget || len(untold(seen)) > 0 && time.Since(start) < 10*budget {
		sent += simulate(t, first+seeds, perSeed, seen)
		seeds++
	}
	t.Logf("%d messages from %d seeds beginning with %d: %v", sent, seeds, first, seen)
	for _, k := range untold(seen) {
		t.Errorf("%q never came up", k)
	}
}

// untold are the stories that a simulation has to tell and hasn't yet.
func untold(seen map[string]int) []string {
	stories := []string{"hold", "in doubt", "died", "made up", "doomed", "injected", "evicted", "extended COPY", "migrated", "probed", "healed", "refused a result"}
	return slices.DeleteFunc(stories, func(k string) bool { return seen[k] > 0 })
}
