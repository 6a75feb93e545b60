package pool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// dice decide what happens next in a simulation: a seeded generator, or the
// bytes of a fuzzer.
type dice interface{ roll(n int) int }

type seeded struct{ *rand.Rand }

func (s seeded) roll(n int) int { return s.IntN(n) }

// simulation drives a ledger with random events and keeps a simple account of
// its own of who waits, who holds what and what is open. Whatever the ledger
// does that disagrees with it is a failure.
type simulation struct {
	led    ledger[int]
	dice   dice
	now    time.Duration
	trace  []string // the last events
	quotas []*Quota
	pools  []*simPool

	free   []*simTicket
	held   []*simLease
	dials  []*dial[int]
	values map[int]*simValue // everything dialed and not closed
	nextID int
	places int // places given out, the reference for first come, first served

	served, failed int
}

type simPool struct {
	acct   *account[int]
	paused bool
	wait   map[Variant][]*simTicket // in order of place
}

type simTicket struct {
	Ticket[int]
	pool  *simPool
	place int
}

type simLease struct {
	Lease[int]
	t *simTicket
}

type simValue struct {
	pool    *simPool
	variant Variant
	leased  bool
}

func newSimulation(d dice, seed uint64) *simulation {
	s := &simulation{dice: d, values: make(map[int]*simValue)}
	s.quotas = []*Quota{NewQuota("total", 9), NewQuota("db", 5), NewQuota("user", 3)}
	s.led.setUp(s.quotas[0], seed)
	for range 4 {
		s.openPool()
	}
	for range 24 {
		s.free = append(s.free, &simTicket{})
	}
	return s
}

func (s *simulation) chance(percent int) bool { return s.dice.roll(100) < percent }

func (s *simulation) settings() Settings[int] {
	set := Settings[int]{
		Name:        fmt.Sprintf("p%d", s.nextID),
		Size:        s.dice.roll(5),
		MinSize:     s.dice.roll(3),
		ReserveSize: s.dice.roll(3),
		MaxDials:    s.dice.roll(4),
		LoginRetry:  time.Duration(s.dice.roll(3)) * 2 * time.Second,
		RoundRobin:  s.chance(30),
		Warm:        s.chance(20),
		Host:        []string{"", "h", "h", "g"}[s.dice.roll(4)],
	}
	s.nextID++
	if s.chance(50) {
		set.ReserveTimeout = 200 * time.Millisecond
	}
	if s.chance(50) {
		set.IdleTimeout = 3 * time.Second
	}
	if s.chance(50) {
		set.Lifetime = 10 * time.Second
	}
	for _, q := range s.quotas[1:] {
		if s.chance(60) {
			set.Quotas = append(set.Quotas, q)
		}
	}
	return set
}

func (s *simulation) openPool() {
	var fx effects[int]
	p := &simPool{wait: make(map[Variant][]*simTicket)}
	p.acct = s.led.open(s.settings(), s.now, &fx)
	s.pools = append(s.pools, p)
	// The account is known to the effects only now.
	s.take(&fx)
}

func (s *simulation) note(format string, args ...any) {
	if len(s.trace) >= 60 {
		s.trace = slices.Delete(s.trace, 0, 30)
	}
	s.trace = append(s.trace, fmt.Sprintf("%v ", s.now)+fmt.Sprintf(format, args...))
}

func (s *simulation) poolOf(a *account[int]) *simPool {
	for _, p := range s.pools {
		if p.acct == a {
			return p
		}
	}
	return nil
}

// simFailure is what a simulation panics with when the ledger disagrees.
type simFailure string

func (s *simulation) fail(format string, args ...any) {
	panic(simFailure(fmt.Sprintf(format, args...)))
}

// step lets one random thing happen and checks everything.
func (s *simulation) step() {
	s.now += time.Duration(s.dice.roll(4)) * time.Millisecond
	p := s.pools[s.dice.roll(len(s.pools))]
	switch r := s.dice.roll(1000); {
	case r < 330:
		s.ask(p)
	case r < 600:
		s.giveBack()
	case r < 640:
		s.drop()
	case r < 690:
		s.leave(p)
	case r < 850:
		s.endDial()
	case r < 930:
		s.pass(time.Duration(s.dice.roll(40)) * time.Millisecond)
	case r < 940:
		s.pass(time.Duration(s.dice.roll(5000)) * time.Millisecond)
	default:
		s.administer(p)
	}
	s.check()
}

func (s *simulation) check() {
	if err := s.led.verify(); err != nil {
		s.fail("%v", err)
	}
	for _, p := range s.pools {
		if p.paused != p.acct.paused && !p.acct.removed {
			s.fail("%s is paused: %t, want %t", p.acct.set.Name, p.acct.paused, p.paused)
		}
		for _, queue := range p.wait {
			for _, t := range queue {
				s.checkObstacle(p, t)
			}
		}
	}
}

// checkObstacle: what a waiter is said to wait for is as full as that says.
func (s *simulation) checkObstacle(p *simPool, t *simTicket) {
	a := p.acct
	o, q := s.led.obstacle(a, &t.Ticket, s.now)
	ok := false
	switch o {
	case NoObstacle: // a tick is due
		ok = a.due <= s.led.latest || s.now > s.led.latest
	case ObstacleOpening:
		ok = len(a.dials) > 0 && !p.paused
	case ObstaclePaused:
		ok = p.paused
	case ObstacleDials:
		ok = len(a.dials) > 0
	case ObstacleBackoff:
		ok = a.host.failures > 0
	case ObstacleSize:
		ok = a.set.Size > 0 && a.used >= a.set.Size || a.excess > 0
	case ObstacleQuota:
		ok = q != nil && q.limit > 0 && s.led.budgets[q].used >= q.limit
	}
	if !ok || (o == ObstacleQuota) != (q != nil) {
		s.fail("ticket %d is said to wait for %d (%v)", t.place, o, q)
	}
}

func (s *simulation) administer(p *simPool) {
	var fx effects[int]
	switch s.dice.roll(12) {
	case 0:
		s.note("retire %s", p.acct.set.Name)
		s.led.retire(p.acct, s.now, &fx)
	case 1:
		s.note("pause %s", p.acct.set.Name)
		s.led.pause(p.acct, s.now, &fx)
		p.paused = true
	case 2, 3, 4:
		s.note("resume %s", p.acct.set.Name)
		s.led.resume(p.acct, s.now, &fx)
		p.paused = false
	case 5:
		set := s.settings()
		if s.chance(50) {
			s.note("replace %s by %+v", p.acct.set.Name, set)
			s.led.replace(p.acct, set, s.now, &fx)
			break
		}
		s.note("configure %s to %+v", p.acct.set.Name, set)
		s.led.configure(p.acct, set, s.now, &fx)
	case 6:
		q := s.quotas[s.dice.roll(len(s.quotas))]
		limit := s.dice.roll(8)
		s.note("limit %s %d", q.name, limit)
		s.led.setLimit(q, limit, s.now, &fx)
	case 7:
		if s.chance(30) {
			s.note("remove %s", p.acct.set.Name)
			s.led.remove(p.acct, s.now, &fx)
			s.take(&fx)
			s.openPool()
			s.pools = slices.DeleteFunc(s.pools, func(o *simPool) bool { return o == p })
			return
		}
	case 8:
		s.led.attach(p.acct, 1, s.now, &fx)
	case 9:
		if p.acct.attached > 0 {
			s.led.attach(p.acct, -1, s.now, &fx)
		}
	default:
		s.lose(&fx)
	}
	s.take(&fx)
}

func (s *simulation) lose(fx *effects[int]) {
	if s.nextID == 0 {
		return
	}
	id := s.dice.roll(s.nextID)
	v := s.values[id]
	for _, p := range s.pools {
		lost := s.led.lost(p.acct, id, ReasonLost, s.now, fx)
		if want := v != nil && !v.leased && v.pool == p; lost != want {
			s.fail("value %d lost from %s: %t, want %t", id, p.acct.set.Name, lost, want)
		}
	}
}

func (s *simulation) ask(p *simPool) {
	if len(s.free) == 0 {
		return
	}
	t := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	t.pool, t.Home, t.Variant = p, s.dice.roll(3)-1, 0
	if s.chance(15) {
		t.Variant = Variant(s.dice.roll(3))
	}
	s.places++
	t.place = s.places
	s.checkout(t, false)
}

func (s *simulation) checkout(t *simTicket, again bool) {
	var fx effects[int]
	p := t.pool
	lease, outcome, err := s.led.checkout(p.acct, &t.Ticket, again, s.now, &fx)
	s.note("checkout %d@%s/%d again=%t: %v %d %v", t.place, p.acct.set.Name, t.Variant, again, outcome, lease.Value, err)
	switch outcome {
	case Granted:
		if q := p.wait[t.Variant]; len(q) > 0 {
			s.fail("ticket %d overtakes %d", t.place, q[0].place)
		}
		s.granted(t, lease)
	case Queued:
		at, _ := slices.BinarySearchFunc(p.wait[t.Variant], t, func(a, b *simTicket) int { return a.place - b.place })
		p.wait[t.Variant] = slices.Insert(p.wait[t.Variant], at, t)
	case Refused:
		if err == nil {
			s.fail("refused without an error")
		}
		s.free = append(s.free, t)
	}
	s.take(&fx)
}

func (s *simulation) granted(t *simTicket, l Lease[int]) {
	v := s.values[l.Value]
	switch {
	case v == nil:
		s.fail("value %d lent after it was closed", l.Value)
	case v.leased:
		s.fail("value %d lent twice", l.Value)
	case v.pool != t.pool || v.variant != t.Variant:
		s.fail("value %d is not what ticket %d asked for", l.Value, t.place)
	case t.pool.paused:
		s.fail("value %d lent by a paused pool", l.Value)
	}
	v.leased = true
	s.served++
	s.held = append(s.held, &simLease{l, t})
}

// pull takes a random lease from those held, nil if there is none.
func (s *simulation) pull() *simLease {
	if len(s.held) == 0 {
		return nil
	}
	i := s.dice.roll(len(s.held))
	l := s.held[i]
	s.held = slices.Delete(s.held, i, i+1)
	s.values[l.Value].leased = false
	return l
}

func (s *simulation) giveBack() {
	var fx effects[int]
	l := s.pull()
	if l == nil {
		return
	}
	s.note("checkin %d by %d", l.Value, l.t.place)
	s.led.checkin(l.end(), s.now, &fx)
	s.free = append(s.free, l.t)
	s.take(&fx)
}

func (s *simulation) drop() {
	var fx effects[int]
	l := s.pull()
	if l == nil {
		return
	}
	s.note("discard %d by %d", l.Value, l.t.place)
	s.led.discard(l.end(), ReasonBroken, s.now, &fx)
	s.take(&fx)
	if s.chance(50) && !l.t.pool.acct.removed {
		s.checkout(l.t, true)
	} else {
		s.free = append(s.free, l.t)
	}
}

func (s *simulation) leave(p *simPool) {
	v := Variant(s.dice.roll(3))
	if len(p.wait[v]) == 0 {
		return
	}
	t := p.wait[v][s.dice.roll(len(p.wait[v]))]
	s.note("withdraw %d", t.place)
	if !s.led.withdraw(&t.Ticket) {
		s.fail("ticket %d waits but can't be withdrawn", t.place)
	}
	s.unqueue(t)
	s.free = append(s.free, t)
}

func (s *simulation) unqueue(t *simTicket) {
	w := t.pool.wait
	w[t.Variant] = slices.DeleteFunc(w[t.Variant], func(o *simTicket) bool { return o == t })
}

func (s *simulation) endDial() {
	if len(s.dials) == 0 {
		return
	}
	i := s.dice.roll(len(s.dials))
	switch r := s.dice.roll(100); {
	case r < 60:
		s.finishDial(i, nil)
	case r < 65:
		s.finishDial(i, scriptErr("fatal"))
	default:
		s.finishDial(i, scriptErr("refused"))
	}
}

func (s *simulation) finishDial(i int, err error) {
	var fx effects[int]
	d := s.dials[i]
	s.dials = slices.Delete(s.dials, i, i+1)
	if err != nil {
		s.note("dial by %s fails: %v", d.acct.set.Name, err)
		s.led.dialFailed(d, err, s.now, &fx)
	} else {
		s.nextID++
		s.note("dial by %s/%d brings %d", d.acct.set.Name, d.variant, s.nextID)
		s.values[s.nextID] = &simValue{pool: s.poolOf(d.acct), variant: d.variant}
		s.led.dialed(d, s.nextID, s.now, &fx)
	}
	s.take(&fx)
}

func (s *simulation) pass(d time.Duration) {
	var fx effects[int]
	s.now += d
	if s.led.due > s.now {
		return
	}
	s.note("tick")
	s.led.tick(s.now, &fx)
	if s.led.due <= s.now {
		s.fail("after a tick the next is due at %v", s.led.due)
	}
	s.take(&fx)
}

// take carries effects out, checking each against the reference.
func (s *simulation) take(fx *effects[int]) {
	for i := range fx.n {
		switch e := fx.at(i); e.kind {
		case effectDeliver:
			s.deliver(e)
		case effectClose:
			v := s.values[e.lease.Value]
			if v == nil || v.leased {
				s.fail("value %d closed twice or while lent: %v", e.lease.Value, e.reason)
			}
			s.note("close %d %v", e.lease.Value, e.reason)
			delete(s.values, e.lease.Value)
		case effectDial:
			if a := e.dial.acct; a.set.MaxDials > 0 && len(a.dials) > a.set.MaxDials {
				s.fail("%d dials at once", len(a.dials))
			}
			if p := s.poolOf(e.dial.acct); p != nil && p.paused {
				s.fail("a paused pool dials")
			}
			s.note("start dial %s/%d", e.dial.acct.set.Name, e.dial.variant)
			s.dials = append(s.dials, e.dial)
		case effectCancel:
			if !slices.Contains(s.dials, e.dial) {
				s.fail("a dial called off isn't in flight")
			}
		}
	}
}

func (s *simulation) deliver(e *effect[int]) {
	for _, p := range s.pools {
		for _, q := range p.wait {
			for i, t := range q {
				if &t.Ticket != e.ticket {
					continue
				}
				s.note("deliver %d: %d %v", t.place, e.lease.Value, e.err)
				s.unqueue(t)
				if e.err != nil {
					s.failed++
					s.free = append(s.free, t)
					return
				}
				if i != 0 {
					s.fail("ticket %d is served before %d", t.place, q[0].place)
				}
				s.granted(t, e.lease)
				return
			}
		}
	}
	s.fail("delivery to a ticket that doesn't wait")
}

// drain lets all that hinders end and everyone give back what they hold; then
// nobody may be left waiting.
func (s *simulation) drain() {
	for _, p := range s.pools {
		var fx effects[int]
		s.led.resume(p.acct, s.now, &fx)
		p.paused = false
		s.take(&fx)
	}
	for _, q := range s.quotas {
		var fx effects[int]
		s.led.setLimit(q, 2, s.now, &fx)
		s.take(&fx)
	}
	for range 2000 {
		for len(s.dials) > 0 {
			s.finishDial(0, nil)
			s.check()
		}
		for len(s.held) > 0 {
			s.giveBack()
			s.check()
		}
		s.pass(50 * time.Millisecond)
		s.check()
		if s.waiting() == 0 && len(s.dials) == 0 {
			return
		}
	}
	s.fail("%d are left waiting", s.waiting())
}

func (s *simulation) waiting() int {
	n := 0
	for _, p := range s.pools {
		for _, q := range p.wait {
			n += len(q)
		}
	}
	return n
}

// shutdown ends the ledger and checks that nothing stays open.
func (s *simulation) shutdown() {
	var fx effects[int]
	s.led.shutdown(s.now, &fx)
	s.take(&fx)
	s.check()
	for len(s.held) > 0 {
		s.giveBack()
	}
	for len(s.dials) > 0 {
		s.finishDial(0, errors.New("canceled"))
	}
	s.check()
	if len(s.values) > 0 {
		s.fail("%d values stay open after shutdown", len(s.values))
	}
}

// simulate runs one simulation and returns what went wrong with it, and how
// many checkouts were served.
func simulate(d dice, seed uint64, more func() bool) (served int, err error) {
	s := newSimulation(d, seed)
	defer func() {
		switch r := recover().(type) {
		case nil:
		case simFailure:
			err = fmt.Errorf("%s; the last events were", r)
			for _, line := range s.trace {
				err = fmt.Errorf("%w\n%s", err, line)
			}
		default:
			panic(r)
		}
	}()
	for more() {
		s.step()
	}
	s.drain()
	s.shutdown()
	return s.served, nil
}

// TestSimulation runs simSteps random events. CARPOOL_SEED=n repeats the world
// of that seed alone.
func TestSimulation(t *testing.T) {
	const stepsPerWorld = 2000
	seed, worlds := rand.Uint64(), simSteps/stepsPerWorld
	if v := os.Getenv("CARPOOL_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("CARPOOL_SEED: %v", err)
		}
		seed, worlds = n, 1
	}
	total := 0
	for range worlds {
		left := stepsPerWorld
		served, err := simulate(seeded{rand.New(rand.NewPCG(seed, 0))}, seed, func() bool { left--; return left >= 0 })
		if err != nil {
			t.Fatalf("CARPOOL_SEED=%d: %v", seed, err)
		}
		total += served
		seed++
	}
	t.Logf("%d checkouts served in %d worlds", total, worlds)
	if total < worlds*stepsPerWorld/50 {
		t.Fatalf("only %d checkouts were served: the simulation tests little", total)
	}
}

// byteDice takes what happens from bytes: each roll takes one or two of them.
type byteDice struct{ b []byte }

func (d *byteDice) roll(n int) int {
	if len(d.b) == 0 {
		return 0
	}
	v := int(d.b[0])
	d.b = d.b[1:]
	if n > 256 && len(d.b) > 0 {
		v = v<<8 | int(d.b[0])
		d.b = d.b[1:]
	}
	return v % n
}

func FuzzLedger(f *testing.F) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := make([]byte, 800)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<12 {
			b = b[:1<<12]
		}
		d := &byteDice{b}
		if _, err := simulate(d, 1, func() bool { return len(d.b) > 0 }); err != nil {
			t.Fatal(err)
		}
	})
}
