package pool

import "context"

// prepareDials gives each dial among the effects its context, under mu so that
// nobody can call a dial off before it has one.
func (r *Registry[S]) prepareDials(fx *effects[S]) {
	for i := range fx.n {
		e := fx.at(i)
		if e.kind != effectDial {
			continue
		}
		d := e.dial
		if d.timeout > 0 {
			d.ctx, d.cancel = context.WithTimeout(context.Background(), d.timeout)
		} else {
			d.ctx, d.cancel = context.WithCancel(context.Background())
		}
		r.dials.Add(1)
	}
}

// dial is the body of a dial's goroutine. Its owner is the registry: the
// dial's context tells it to stop, Shutdown waits for it.
func (r *Registry[S]) dial(d *dial[S]) {
	defer r.dials.Done()
	defer d.cancel()
	value, err := d.open(d.ctx, d.variant)

	var fx effects[S]
	r.mu.Lock()
	if err != nil {
		r.led.dialFailed(d, err, r.Now(), &fx)
	} else {
		r.led.dialed(d, value, r.Now(), &fx)
	}
	r.finish(&fx)
}
