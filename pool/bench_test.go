package pool

import (
	"context"
	"testing"
	"time"
)

// taker keeps the lease it is given.
type taker struct {
	Ticket[int]
	lease Lease[int]
}

func (w *taker) Deliver(_ *Ticket[int], l Lease[int], _ error) { w.lease = l }

// lentOnce returns a pool of one value, with a total and a quota as in real
// use, and its first taker, who holds the value.
func lentOnce(tb testing.TB) (*Pool[int], *taker) {
	r := NewRegistry[int](NewQuota("total", 100))
	tb.Cleanup(r.Shutdown)
	p := r.Open(Settings[int]{
		Size:        1,
		Quotas:      []*Quota{NewQuota("db", 50)},
		IdleTimeout: time.Minute,
		Lifetime:    time.Hour,
		Dial:        func(context.Context, Variant) (int, error) { return 1, nil },
		Close:       func(int, Reason) {},
	})
	w := &taker{}
	w.Waiter = w
	if _, o, err := p.Checkout(&w.Ticket, 0); o != Queued {
		tb.Fatal(o, err)
	}
	r.dials.Wait()
	return p, w
}

func idleTurn(p *Pool[int], w *taker) {
	w.lease, _, _ = p.Checkout(&w.Ticket, 0)
	w.lease.Checkin(0)
}

// handOff has a give its value to b, who waits.
func handOff(p *Pool[int], a, b *taker) {
	_, _, _ = p.Checkout(&b.Ticket, 0)
	a.lease.Checkin(0)
}

func TestHotPathsDontAllocate(t *testing.T) {
	p, a := lentOnce(t)
	b := &taker{}
	b.Waiter = b
	if n := testing.AllocsPerRun(1000, func() {
		handOff(p, a, b)
		a, b = b, a
	}); n != 0 {
		t.Errorf("waiting and hand-off allocate %v times", n)
	}
	a.lease.Checkin(0)
	if n := testing.AllocsPerRun(1000, func() { idleTurn(p, a) }); n != 0 {
		t.Errorf("checkout and checkin allocate %v times", n)
	}
}

func BenchmarkCheckoutCheckin(b *testing.B) {
	p, w := lentOnce(b)
	w.lease.Checkin(0)
	b.ReportAllocs()
	for b.Loop() {
		idleTurn(p, w)
	}
}

func BenchmarkHandOff(b *testing.B) {
	p, w := lentOnce(b)
	v := &taker{}
	v.Waiter = v
	b.ReportAllocs()
	for b.Loop() {
		handOff(p, w, v)
		w, v = v, w
	}
}
