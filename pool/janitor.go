package pool

import (
	"context"
	"time"
)

// Run keeps time for the pools: idle and lifetime limits, the reserve, back-off
// and MinSize. It blocks until ctx is done, and sleeps until the ledger's next
// deadline. One Run at a time. After ctx is done nothing is retried any more;
// Shutdown ends what is left.
func (r *Registry[S]) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
			r.tick()
		}
		r.mu.Lock()
		due := r.led.due
		r.mu.Unlock()
		timer.Reset(max(due-r.Now(), 0))
	}
}

func (r *Registry[S]) tick() {
	var fx effects[S]
	r.mu.Lock()
	r.led.tick(r.Now(), &fx)
	r.finish(&fx)
}
