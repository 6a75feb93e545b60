package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conn is a value that notices when it is used or closed twice.
type conn struct {
	used   atomic.Int32
	closed atomic.Int32
	reason Reason
}

// client waits on a channel; it is the simplest Waiter.
type client struct {
	Ticket[*conn]
	got chan outcome
}

type outcome struct {
	lease Lease[*conn]
	err   error
}

func newClient() *client {
	c := &client{got: make(chan outcome, 1)}
	c.Waiter, c.Home = c, -1
	return c
}

func (c *client) Deliver(_ *Ticket[*conn], l Lease[*conn], err error) { c.got <- outcome{l, err} }

// ask checks out and waits for as long as it takes.
func (c *client) ask(p *Pool[*conn]) (Lease[*conn], error) {
	lease, o, err := p.Checkout(&c.Ticket, p.reg.Now())
	if o == Queued {
		got := <-c.got
		return got.lease, got.err
	}
	return lease, err
}

// backend dials and closes conns and counts them.
type backend struct {
	mu     sync.Mutex
	conns  []*conn
	open   int
	most   int
	dialed int
	err    error         // what dials fail with
	takes  time.Duration // how long a dial takes
}

func (b *backend) dial(ctx context.Context, _ Variant) (*conn, error) {
	select {
	case <-time.After(b.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dialed++
	if b.err != nil {
		return nil, b.err
	}
	c := new(conn)
	b.conns = append(b.conns, c)
	b.open++
	b.most = max(b.most, b.open)
	return c, nil
}

func (b *backend) close(c *conn, r Reason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	c.closed.Add(1)
	c.reason = r
}

func (b *backend) settings() Settings[*conn] {
	return Settings[*conn]{Name: "p", Size: 2, LoginRetry: 15 * time.Second, Dial: b.dial, Close: b.close}
}

// start returns a registry whose janitor runs until the test ends.
func start(t *testing.T) *Registry[*conn] {
	r := NewRegistry[*conn](nil)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		r.Shutdown()
		cancel()
		wg.Wait()
	})
	return r
}

func TestCheckoutWaitsForDialAndHandOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{takes: time.Second}
		r := start(t)
		p := r.Open(b.settings())
		a, c := newClient(), newClient()
		lease, err := a.ask(p)
		if err != nil || r.Now() != time.Second {
			t.Fatalf("%v after %v", err, r.Now())
		}
		if lease.Pool() != p || !lease.Active() || lease.IdleFor() != 0 || lease.Home() != -1 {
			t.Fatalf("a lease of %+v", lease)
		}
		lease.Checkin(r.Now())
		time.Sleep(3 * time.Second)
		again, o, err := p.Checkout(&c.Ticket, r.Now())
		if o != Granted || err != nil || again.IdleFor() != 3*time.Second || again.Value != lease.Value {
			t.Fatalf("%v, %v, idle for %v", o, err, again.IdleFor())
		}
		again.Discard(ReasonUnclean, r.Now())
		if s := p.Stats(); s.Granted != 2 || s.Queued != 1 || s.WaitTime != time.Second || s.Open != 0 || s.Closed[ReasonUnclean] != 1 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestLeaseEndsOnlyOnce(t *testing.T) {
	for name, second := range map[string]func(first, other *Lease[*conn]){
		"the same":          func(l, _ *Lease[*conn]) { l.Checkin(0) },
		"a copy":            func(_, l *Lease[*conn]) { l.Checkin(0) },
		"a copy, discarded": func(_, l *Lease[*conn]) { l.Discard(ReasonBroken, 0) },
		"never granted":     func(_, _ *Lease[*conn]) { new(Lease[*conn]).Checkin(0) },
	} {
		t.Run(name, func(t *testing.T) {
			b := new(backend)
			r := start(t)
			p := r.Open(b.settings())
			first, err := newClient().ask(p)
			if err != nil {
				t.Fatal(err)
			}
			other := first
			first.Checkin(0)
			// Lent again meanwhile: the stale copy mustn't end this lease.
			now, err := newClient().ask(p)
			if err != nil {
				t.Fatal(err)
			}
			defer now.Checkin(0)
			defer func() {
				if recover() == nil {
					t.Fatal("a second end went through")
				}
			}()
			second(&first, &other)
		})
	}
}

func TestQueuedTicketCannotBeUsedAgain(t *testing.T) {
	b := new(backend)
	set := b.settings()
	set.Dial = func(ctx context.Context, _ Variant) (*conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	r := start(t)
	p := r.Open(set)
	c := newClient()
	if _, o, err := p.Checkout(&c.Ticket, 0); o != Queued {
		t.Fatal(o, err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Fatal("a queued ticket was checked out again")
			}
		}()
		_, _, _ = p.Checkout(&c.Ticket, 0)
	}()
	if !p.Withdraw(&c.Ticket) || p.Withdraw(&c.Ticket) {
		t.Fatal("a ticket is withdrawn once")
	}
}

func TestShutdownEndsDialsAndWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{takes: time.Hour}
		r := NewRegistry[*conn](nil)
		p := r.Open(b.settings())
		c := newClient()
		if _, o, err := p.Checkout(&c.Ticket, r.Now()); o != Queued {
			t.Fatal(o, err)
		}
		r.Shutdown()
		if got := <-c.got; !errors.Is(got.err, ErrClosed) {
			t.Fatal(got.err)
		}
		if r.Now() != 0 {
			t.Fatalf("it took %v", r.Now())
		}
		if _, o, err := p.Checkout(&c.Ticket, r.Now()); o != Refused || !errors.Is(err, ErrClosed) {
			t.Fatal(o, err)
		}
		if s := p.Stats(); s.Open != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestDialTimeoutIsADialFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{takes: time.Hour}
		set := b.settings()
		set.DialTimeout, set.LoginRetry = 2*time.Second, time.Second
		r := start(t)
		p := r.Open(set)
		// The outage is known to last since the first failure; the second
		// attempt fails when the retry time is over, and with it the waiter.
		_, err := newClient().ask(p)
		if !errors.Is(err, context.DeadlineExceeded) || r.Now() > 5*time.Second {
			t.Fatalf("%v after %v", err, r.Now())
		}
	})
}

func TestJanitorKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(backend)
		set := b.settings()
		set.IdleTimeout, set.MinSize = 10*time.Second, 1
		r := start(t)
		p := r.Open(set)
		p.Attach()
		a, c := newClient(), newClient()
		one, _ := a.ask(p)
		two, err := c.ask(p)
		if err != nil {
			t.Fatal(err)
		}
		one.Checkin(r.Now())
		two.Checkin(r.Now())
		time.Sleep(9 * time.Second)
		if s := p.Stats(); s.Idle != 2 {
			t.Fatalf("%+v", s)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s := p.Stats(); s.Idle != 1 || s.Closed[ReasonIdleTimeout] != 1 {
			t.Fatalf("%+v", s)
		}
		p.Detach()
		synctest.Wait()
		if s := p.Stats(); s.Idle != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestPauseWaitsUntilEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(backend)
		r := start(t)
		p := r.Open(b.settings())
		lease, err := newClient().ask(p)
		if err != nil {
			t.Fatal(err)
		}
		impatient, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.Pause(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		paused := make(chan error, 1)
		go func() { paused <- p.Pause(context.Background()) }()
		waiting := newClient()
		if _, o, err := p.Checkout(&waiting.Ticket, r.Now()); o != Queued {
			t.Fatal(o, err)
		}
		synctest.Wait()
		if len(paused) != 0 || !lease.CloseNeeded() {
			t.Fatal("the pause ended too early")
		}
		lease.Checkin(r.Now())
		if err := <-paused; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(waiting.got) != 0 {
			t.Fatal("a paused pool lends")
		}
		p.Resume()
		got := <-waiting.got
		if got.err != nil {
			t.Fatal(got.err)
		}
		go func() { paused <- p.Pause(context.Background()) }()
		synctest.Wait()
		p.Resume()
		if err := <-paused; !errors.Is(err, ErrResumed) {
			t.Fatal(err)
		}
		got.lease.Checkin(r.Now())
	})
}

func TestAwaitRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(backend)
		r := start(t)
		p := r.Open(b.settings())
		old, err := newClient().ask(p)
		if err != nil {
			t.Fatal(err)
		}
		p.Retire()
		done := make(chan error, 1)
		go func() { done <- p.AwaitRetired(context.Background()) }()
		fresh, err := newClient().ask(p)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(done) != 0 || p.Stats().Retiring != 1 || !old.CloseNeeded() || fresh.CloseNeeded() {
			t.Fatalf("%+v", p.Stats())
		}
		old.Checkin(r.Now())
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		fresh.Checkin(r.Now())
	})
}

func TestRemovedPoolIsForgottenWhenItsLeasesEnd(t *testing.T) {
	b := new(backend)
	q := NewQuota("db", 1)
	r := start(t)
	set := b.settings()
	set.Quotas = []*Quota{q}
	p := r.Open(set)
	lease, err := newClient().ask(p)
	if err != nil {
		t.Fatal(err)
	}
	r.Remove(p)
	r.Remove(p)
	other := r.Open(set)
	if used, limit := r.QuotaUse(q); used != 1 || limit != 1 || len(r.Pools()) != 1 {
		t.Fatalf("%d of %d used, pools %v", used, limit, r.Pools())
	}
	waiting := newClient()
	if _, o, err := other.Checkout(&waiting.Ticket, r.Now()); o != Queued {
		t.Fatal(o, err)
	}
	lease.Checkin(r.Now())
	got := <-waiting.got
	if got.err != nil || got.lease.Pool() != other {
		t.Fatal(got.err)
	}
	got.lease.Checkin(r.Now())
	if s := r.Snapshot(); len(s) != 1 || s[0].Open != 1 {
		t.Fatalf("%+v", s)
	}
}

// TestStress lets clients of two pools under one quota come, wait, give up and
// use values while the pools are administered, and dials fail now and then.
func TestStress(t *testing.T) {
	const clients, turns = 24, 400
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	b := new(backend)
	q := NewQuota("db", 5)
	r := start(t)
	set := b.settings()
	set.Size, set.LoginRetry, set.Quotas = 4, 5*time.Second, []*Quota{q}
	set.IdleTimeout, set.Lifetime, set.MinSize = time.Millisecond, 20*time.Millisecond, 1
	refused := errors.New("refused")
	var n atomic.Int64
	set.Dial = func(ctx context.Context, v Variant) (*conn, error) {
		if n.Add(1)%100 == 0 {
			return nil, refused
		}
		return b.dial(ctx, v)
	}
	pools := []*Pool[*conn]{r.Open(set), r.Open(set)}

	var wg sync.WaitGroup
	var served atomic.Int64
	for i := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			c := newClient()
			for range turns {
				if stressTurn(t, r, pools[rng.IntN(2)], c, rng) {
					served.Add(1)
				}
			}
		})
	}
	stop := make(chan struct{})
	var admin sync.WaitGroup
	admin.Go(func() { administer(r, pools, q, seed, stop) })
	wg.Wait()
	close(stop)
	admin.Wait()
	r.Shutdown()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open != 0 || served.Load() < clients*turns/4 {
		t.Fatalf("%d open, %d served", b.open, served.Load())
	}
	for _, c := range b.conns {
		if c.closed.Load() != 1 {
			t.Fatalf("a value was closed %d times", c.closed.Load())
		}
	}
}

// stressTurn is one checkout of c; it reports whether c was served.
func stressTurn(t *testing.T, r *Registry[*conn], p *Pool[*conn], c *client, rng *rand.Rand) bool {
	c.Variant = 0
	if rng.IntN(20) == 0 {
		c.Variant = 1
	}
	lease, o, _ := p.Checkout(&c.Ticket, r.Now())
	if o == Queued {
		if rng.IntN(10) == 0 && p.Withdraw(&c.Ticket) {
			return false
		}
		got := <-c.got
		lease = got.lease
	}
	if !lease.Active() {
		return false
	}
	v := lease.Value
	if v.used.Add(1) != 1 || v.closed.Load() != 0 {
		t.Error("a value is used by two, or closed")
	}
	if rng.IntN(4) == 0 {
		lease.SetHome(rng.IntN(3))
		_ = lease.CloseNeeded()
	}
	v.used.Add(-1)
	if rng.IntN(30) == 0 {
		lease.Discard(ReasonBroken, r.Now())
	} else {
		lease.Checkin(r.Now())
	}
	return true
}

// administer retires, pauses, resizes and reads the pools until stop.
func administer(r *Registry[*conn], pools []*Pool[*conn], q *Quota, seed uint64, stop <-chan struct{}) {
	rng := rand.New(rand.NewPCG(seed, 99))
	every := time.NewTicker(time.Millisecond)
	defer every.Stop()
	for {
		select {
		case <-stop:
			return
		case <-every.C:
		}
		p := pools[rng.IntN(2)]
		switch rng.IntN(6) {
		case 0:
			p.Retire()
		case 1:
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			_ = p.Pause(ctx)
			cancel()
			p.Resume()
		case 2:
			r.SetLimit(q, 2+rng.IntN(5))
		case 3:
			set := p.Settings()
			set.Size = 2 + rng.IntN(4)
			p.Configure(set)
		case 4:
			p.Attach()
			p.Detach()
		case 5:
			_ = r.Snapshot()
		}
	}
}
