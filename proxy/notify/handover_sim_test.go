package notify

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
)

// The simulation: senders, one client's server, one hub and the session between
// them, each doing its next step in an order that a seed decides. Postgres is a
// queue in the order of commits and backends that read it at their own pace;
// all that lies between two parties is a FIFO of messages.

// logged is an entry of Postgres's queue.
type logged struct{ channel, payload string }

// backend is one that reads the queue. As in Postgres, a backend that begins to
// listen on another channel while it lags behind brings older entries, too.
type backend struct {
	position int
	listens  map[string]bool
}

// read brings at most n entries.
func (b *backend) read(queue []logged, n int) (brought []logged) {
	for ; n > 0 && b.position < len(queue); n-- {
		if e := queue[b.position]; b.listens[e.channel] {
			brought = append(brought, e)
		}
		b.position++
	}
	return brought
}

// word is a message from the hub to the session.
type word struct {
	kind    string // note, subscribed, lost, restored
	note    Note
	channel string
	ticket  uint64
}

type simulation struct {
	r       *rand.Rand
	queue   []logged
	senders int
	sent    int

	server, hub backend
	hubUp       bool
	wanted      map[string]uint64 // the hub's: channels and tickets
	toSession   []word
	fromServer  []logged
	marks       []string // sent on the server's connection, not yet carried out

	handover *Handover
	ticket   uint64
	listens  map[string]int // the client's: channels, and the queue's length when LISTEN committed
	got      []logged
	hubMost  int // the last note that the hub brought
	disorder bool
	since    map[string]int // index in got when the client began to listen
	gaps     map[string]bool
	settled  int
}

func newSimulation(r *rand.Rand) *simulation {
	return &simulation{
		r: r, senders: 1 + r.IntN(3), hubUp: true,
		server: backend{listens: map[string]bool{}}, hub: backend{listens: map[string]bool{testMarker: true}},
		wanted: map[string]uint64{}, handover: NewHandover(testMarker),
		listens: map[string]int{}, since: map[string]int{}, gaps: map[string]bool{},
	}
}

var simChannels = []string{"a", "b", "c"}

// step does one thing.
func (s *simulation) step(losses, unlistens bool) {
	c := simChannels[s.r.IntN(len(simChannels))]
	switch n := s.r.IntN(100); {
	case n < 30:
		s.sent++
		s.queue = append(s.queue, logged{c, fmt.Sprint(s.sent)})
	case n < 50: // the server brings, or does what it was sent
		if s.r.IntN(3) == 0 {
			s.executeMark()
		} else {
			s.fromServer = append(s.fromServer, s.server.read(s.queue, s.r.IntN(6))...)
		}
	case n < 65:
		s.hubReads(s.r.IntN(6))
	case n < 75:
		s.hubListens(c)
	case n < 84:
		s.sessionHearsServer()
	case n < 94:
		s.sessionHearsHub()
	case n < 96:
		s.clientListens(c)
	case n < 97:
		if unlistens {
			s.clientUnlistens(c)
		}
	case n < 98:
		if losses {
			s.hubLosesOrReturns()
		}
	default:
		s.sessionActs()
	}
}

// clientListens is LISTEN on the client's server, committed, found and told to
// the hub.
func (s *simulation) clientListens(c string) {
	if !s.server.listens[c] && len(s.server.listens) == 0 {
		s.server.position = len(s.queue) // as Postgres does for the first channel
	}
	s.server.listens[c] = true
	if s.handover.Has(c) {
		return
	}
	s.listens[c], s.since[c], s.gaps[c] = len(s.queue), len(s.got), false
	s.ticket++
	s.handover.Begin(c, s.ticket)
	s.wanted[c] = s.ticket
	if s.hubUp && s.hub.listens[c] {
		s.toSession = append(s.toSession, word{kind: "subscribed", channel: c, ticket: s.ticket})
	}
}

// clientUnlistens checks what came until then: what the hub or the server still
// had on its way isn't owed.
func (s *simulation) clientUnlistens(c string) {
	if !s.handover.Has(c) {
		return
	}
	delete(s.server.listens, c)
	// The answer to UNLISTEN comes behind what the server brought before.
	for len(s.fromServer) > 0 {
		s.sessionHearsServer()
	}
	delete(s.wanted, c)
	s.take(s.handover.Forget(c))
	delete(s.listens, c)
}

// hubListens brings what the hub's server listens on closer to what is wanted.
func (s *simulation) hubListens(c string) {
	ticket, wanted := s.wanted[c]
	switch {
	case !s.hubUp || wanted == s.hub.listens[c]:
	case wanted:
		s.hub.listens[c] = true
		s.toSession = append(s.toSession, word{kind: "subscribed", channel: c, ticket: ticket})
	default:
		delete(s.hub.listens, c)
	}
}

func (s *simulation) hubReads(n int) {
	if !s.hubUp {
		return
	}
	for _, e := range s.hub.read(s.queue, n) {
		if _, wanted := s.wanted[e.channel]; wanted || e.channel == testMarker {
			s.toSession = append(s.toSession, word{kind: "note", note: note(e.channel, e.payload)})
		}
	}
}

func (s *simulation) hubLosesOrReturns() {
	if s.hubUp {
		s.hubUp = false
		s.toSession = append(s.toSession, word{kind: "lost"})
		return
	}
	s.hubUp = true
	s.hub = backend{position: len(s.queue), listens: map[string]bool{testMarker: true}}
}

// executeMark carries out LISTEN marker; NOTIFY marker, token.
func (s *simulation) executeMark() {
	if len(s.marks) > 0 {
		s.server.listens[testMarker] = true
		s.queue = append(s.queue, logged{testMarker, s.marks[0]})
		s.marks = s.marks[1:]
	}
}

// sessionActs marks, or lets the server go.
func (s *simulation) sessionActs() {
	switch {
	case s.handover.Due():
		s.ticket++
		token := fmt.Sprint("token", s.ticket)
		s.handover.Mark(token)
		s.marks = append(s.marks, token)
	case s.handover.Done() && len(s.server.listens) > 0 && len(s.marks) == 0:
		for len(s.fromServer) > 0 {
			s.sessionHearsServer()
		}
		clear(s.server.listens)
		s.settled++
	}
}

func (s *simulation) sessionHearsServer() {
	if len(s.fromServer) == 0 {
		return
	}
	e := s.fromServer[0]
	s.fromServer = s.fromServer[1:]
	v, released := s.handover.FromServer([]byte(e.channel), []byte(e.payload))
	if v == Deliver {
		s.got = append(s.got, e)
	}
	s.take(released)
}

func (s *simulation) sessionHearsHub() {
	if len(s.toSession) == 0 {
		return
	}
	w := s.toSession[0]
	s.toSession = s.toSession[1:]
	switch w.kind {
	case "note":
		if s.handover.FromHub(w.note) == Deliver {
			s.take([]Note{w.note})
		}
	case "subscribed":
		s.handover.Subscribed(w.channel, w.ticket)
	case "lost":
		for c, claim := range s.handover.claims {
			// Only these may miss anything.
			if claim.stage == settled || claim.stage == crossing && s.handover.seenByServer {
				s.gaps[c] = true
			}
		}
		s.take(s.handover.Lost())
	}
}

// take is what the client gets from the hub: in order over all channels.
func (s *simulation) take(notes []Note) {
	for _, n := range notes {
		s.got = append(s.got, logged{n.Channel, string(n.Payload())})
		if n := number(string(n.Payload())); n > s.hubMost {
			s.hubMost = n
		} else {
			s.disorder = true
		}
	}
}

// settle lets everything arrive.
func (s *simulation) settle() {
	if !s.hubUp {
		s.hubLosesOrReturns()
	}
	for range 20 {
		for _, c := range simChannels {
			s.hubListens(c)
		}
		for range 3 {
			s.sessionActs()
			s.executeMark()
			s.fromServer = append(s.fromServer, s.server.read(s.queue, len(s.queue))...)
			s.hubReads(len(s.queue))
			for len(s.fromServer) > 0 {
				s.sessionHearsServer()
			}
			for len(s.toSession) > 0 {
				s.sessionHearsHub()
			}
		}
	}
}

// check compares what the client got on each channel that it still listens on
// with what Postgres's queue had for it. What the queue held before LISTEN
// committed isn't owed, but may come (a backend that lags behind brings it).
func (s *simulation) check() error {
	if !s.handover.Done() || len(s.server.listens) > 0 || s.handover.KeptBytes() > 0 {
		return fmt.Errorf("the change-over doesn't end: %+v, the server has %v", s.handover, s.server.listens)
	}
	if s.disorder {
		return errors.New("the hub's notes come in another order")
	}
	for c, from := range s.listens {
		var want, got []int
		for _, e := range s.queue[from:] {
			if e.channel == c {
				want = append(want, number(e.payload))
			}
		}
		for _, e := range s.got[s.since[c]:] {
			if e.channel == c {
				got = append(got, number(e.payload))
			}
		}
		for i := 1; i < len(got); i++ {
			if got[i] <= got[i-1] {
				return fmt.Errorf("channel %s: %d after %d", c, got[i], got[i-1])
			}
		}
		if s.gaps[c] {
			continue
		}
		if len(got) < len(want) || !slices.Equal(got[len(got)-len(want):], want) {
			return fmt.Errorf("channel %s: got %v, want %v", c, got, want)
		}
	}
	return nil
}

func number(payload string) int {
	n, _ := strconv.Atoi(payload)
	return n
}

// verify compares what is counted with what is there.
func (h *Handover) verify() error {
	var stages [settled + 1]int
	for c, claim := range h.claims {
		stages[claim.stage]++
		if _, underWay := h.underWay[c]; underWay != (claim.stage != settled) {
			return fmt.Errorf("%s is in stage %d, under way: %t", c, claim.stage, underWay)
		}
	}
	if stages[ready] != h.ready || stages[crossing] != h.crossings || len(h.claims)-stages[settled] != len(h.underWay) || stages[crossing] > 0 && h.token == "" {
		return fmt.Errorf("stages %v of %d channels: %+v", stages, len(h.claims), h)
	}
	return nil
}

func TestHandoverSimulation(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("CARPOOL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CARPOOL_SEED=%d", seed)
	const runs, steps = 5_000, 600
	changes, gaps, notes := 0, 0, 0
	for i := range uint64(runs) {
		s := newSimulation(rand.New(rand.NewPCG(seed, i)))
		losses, unlistens := i%2 == 1, i%3 == 1
		for range s.r.IntN(steps) {
			s.step(losses, unlistens)
			if err := s.handover.verify(); err != nil {
				t.Fatalf("run %d (losses %v, unlistens %v): %v", i, losses, unlistens, err)
			}
		}
		s.settle()
		if err := s.check(); err != nil {
			t.Fatalf("run %d (losses %v, unlistens %v): %v", i, losses, unlistens, err)
		}
		changes += s.settled
		notes += len(s.got)
		for _, gap := range s.gaps {
			if gap {
				gaps++
			}
		}
	}
	t.Logf("%d change-overs, %d notes, %d channels with a gap", changes, notes, gaps)
	if changes < runs/2 || gaps == 0 {
		t.Error("the simulation doesn't try what it should")
	}
}
