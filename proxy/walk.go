package proxy

import (
	"maps"
	"slices"

	"carpool/proxy/reactor"
)

// walkBatch is how many sessions or servers of a loop a walk visits in one go.
// To look at one for the console takes about a microsecond.
const walkBatch = 32

// walk visits what is on one loop, a batch at a time, so that the loop isn't
// kept from its work by many. It meets each session that is there from beginning
// to end once. It is owned by the loop.
type walk struct {
	w       *worker
	session func(*session) // may end the session it is given, and no other
	server  func(*server)  // nil: servers aren't visited
	done    func()         // called at the end; may be nil

	next    *session // to be visited; nil: the end
	servers []*server
}

// walk begins a walk on the loop. It answers false, and does nothing, if the
// loop has ended. Any goroutine may call it.
func (w *worker) walk(k walk) bool {
	k.w = w
	return w.Post(reactor.TaskFunc(k.begin))
}

func (k *walk) begin() {
	k.next = k.w.first
	if k.server != nil {
		k.servers = slices.Collect(maps.Keys(k.w.servers))
	}
	k.w.walks = append(k.w.walks, k)
	k.Run(nil)
}

// Run implements reactor.Task: it visits some, and the rest when others have had
// their turn.
func (k *walk) Run(*reactor.Loop) {
	for range walkBatch {
		if s := k.next; s != nil {
			k.next = s.next
			k.session(s)
			continue
		}
		if len(k.servers) == 0 {
			break
		}
		srv := k.servers[0]
		k.servers = k.servers[1:]
		if _, here := k.w.servers[srv]; here {
			k.server(srv)
		}
	}
	if (k.next != nil || len(k.servers) > 0) && k.w.Post(k) {
		return
	}
	k.w.walks = slices.DeleteFunc(k.w.walks, func(o *walk) bool { return o == k })
	if k.done != nil {
		k.done()
	}
}

// walkAll walks all loops at the same time, with what walkOn makes for each, and
// blocks until that is done or the proxy has ended. What walks call runs on the
// loops.
func (p *Proxy) walkAll(walkOn func(*worker) walk) {
	finished := make(chan struct{}, len(p.workers))
	under := 0
	for _, w := range p.workers {
		k := walkOn(w)
		k.done = func() { finished <- struct{}{} }
		if w.walk(k) {
			under++
		}
	}
	for range under {
		select {
		case <-finished: // what a loop has accepted it does, even if it is told to end
		case <-p.ctx.Done(): // but not if it has failed
			return
		}
	}
}
