package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrResumed is what a Pause still waiting gets when the pool is resumed
// meanwhile.
var ErrResumed = errors.New("pool was resumed before it was empty")

// watch is a goroutine waiting for the pool to reach a state.
type watch struct {
	kind watchKind
	done chan error // buffered by one
}

type watchKind uint8

const (
	watchEmpty   watchKind = iota // paused or removed, and nothing open or dialing
	watchRetired                  // nothing open that is retired
)

// Pause stops lending: new Checkouts queue, idle values are closed at once,
// leased ones when their lease ends, dials are called off. It blocks until
// nothing is open or being dialed, the pool is resumed (ErrResumed) or ctx is
// done (its error; the pool stays paused). Every pause of a pool that is
// already paused waits likewise.
func (p *Pool[S]) Pause(ctx context.Context) error {
	p.Hold()
	return p.AwaitEmpty(ctx)
}

// Hold is Pause without the wait.
func (p *Pool[S]) Hold() {
	var fx effects[S]
	r := p.reg
	r.mu.Lock()
	r.led.pause(p.acct, r.Now(), &fx)
	r.finish(&fx)
}

// AwaitEmpty blocks until nothing of a pool that is paused or removed is open or
// being dialed, or ctx is done (its error). For any other pool, and for one that
// is resumed meanwhile, it returns ErrResumed.
func (p *Pool[S]) AwaitEmpty(ctx context.Context) error {
	p.reg.mu.Lock()
	w := p.watchLocked(watchEmpty)
	p.reg.mu.Unlock()
	return p.await(ctx, w, "pause")
}

// Resume lets a paused pool lend again. A pool that isn't paused is left as it
// is.
func (p *Pool[S]) Resume() {
	var fx effects[S]
	r := p.reg
	r.mu.Lock()
	r.led.resume(p.acct, r.Now(), &fx)
	r.finish(&fx)
}

// AwaitRetired blocks until no value is open that was open at the last Retire,
// or ctx is done (its error).
func (p *Pool[S]) AwaitRetired(ctx context.Context) error {
	r := p.reg
	r.mu.Lock()
	w := p.watchLocked(watchRetired)
	r.mu.Unlock()
	return p.await(ctx, w, "wait for retired values")
}

// watchLocked registers a watch and signals it at once if its state is reached
// already.
func (p *Pool[S]) watchLocked(kind watchKind) watch {
	w := watch{kind: kind, done: make(chan error, 1)}
	p.watches = append(p.watches, w)
	p.acct.watched = true
	p.signal()
	return w
}

func (p *Pool[S]) await(ctx context.Context, w watch, what string) error {
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
	}
	p.reg.mu.Lock()
	defer p.reg.mu.Unlock()
	p.watches = slices.DeleteFunc(p.watches, func(o watch) bool { return o.done == w.done })
	p.acct.watched = len(p.watches) > 0
	return fmt.Errorf("%s %s: %w", what, p.acct.set.Name, context.Cause(ctx))
}

// signal ends the watches whose state is reached or out of reach. It is called
// with mu held; the sends can't block.
func (p *Pool[S]) signal() {
	a := p.acct
	p.watches = slices.DeleteFunc(p.watches, func(w watch) bool {
		switch {
		case w.kind == watchEmpty && a.used == 0 && (a.paused || a.removed):
			w.done <- nil
		case w.kind == watchEmpty && !a.paused && !a.removed:
			w.done <- ErrResumed
		case w.kind == watchRetired && a.retiring == 0:
			w.done <- nil
		default:
			return false
		}
		return true
	})
	a.watched = len(p.watches) > 0
}
