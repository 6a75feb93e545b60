package proxy

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"carpool/proxy/reactor"
)

// mostConsoles is how many clients the console has at the same time. They don't
// count towards max_client_conn, so that operators get in when that is reached;
// without a limit of their own, what looks at statistics again and again and
// leaves its connections open would come to take every descriptor.
const mostConsoles = 64

// consoles are the clients of the console. Where there are as many as may be, a
// new one takes the place of one that has nothing to do: of a user who may only
// look before that of an administrator, and of those the one that was heard of
// least recently. The zero value has none. Any goroutine may use it.
type consoles struct {
	mu   sync.Mutex
	list []*consoleClient // guarded by mu
}

// enter takes a place for c, and returns whose place that was, nil if there was
// room. It answers false if there is no place to be had. Who runs this process
// always gets in.
func (o *consoles) enter(c *consoleClient, own bool) (gone *consoleClient, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) >= mostConsoles {
		if gone = o.leastLocked(c.admin); gone == nil && !own {
			return nil, false
		}
		o.removeLocked(gone)
	}
	o.list = append(o.list, c)
	return gone, true
}

// leastLocked is the client that can best be done without, nil if none can. An
// administrator's command isn't interrupted, and nobody who may only look takes
// an administrator's place.
func (o *consoles) leastLocked(forAdmin bool) *consoleClient {
	var least *consoleClient
	for _, c := range o.list {
		if c.admin && (c.busy || !forAdmin) {
			continue
		}
		if least == nil || c.rank(least) < 0 {
			least = c
		}
	}
	return least
}

// rank is negative if c can be done without better than other.
func (c *consoleClient) rank(other *consoleClient) int {
	return cmp.Or(compareBools(c.admin, other.admin), compareBools(c.busy, other.busy), cmp.Compare(c.heard, other.heard))
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func (o *consoles) removeLocked(c *consoleClient) {
	o.list = slices.DeleteFunc(o.list, func(other *consoleClient) bool { return other == c })
}

// leave gives a place back. To do so twice is harmless.
func (o *consoles) leave(c *consoleClient) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.removeLocked(c)
}

// note notes that a client was heard of, and whether something is being done for
// it now.
func (o *consoles) note(c *consoleClient, busy bool, now time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.busy, c.heard = busy, now
}

// giveWay has the session of a console's client end, whose place another
// has. It may be on another loop.
func (c *consoleClient) giveWay() {
	s := c.session
	s.w.Post(reactor.TaskFunc(func() {
		if s.state == stateConsole {
			s.reject(consolePlaceTaken())
		}
	}))
}
