package reactor

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// readBufferSize is how much one read takes, in bytes: large enough that a
// big result costs few system calls, small enough to stay in the cache.
const readBufferSize = 64 << 10

// Task is work for a loop, given to it by Post.
type Task interface {
	// Run is called on the loop's goroutine. It must not block.
	Run(l *Loop)
}

// TaskFunc makes a Task of a function.
type TaskFunc func()

// Run implements Task.
func (f TaskFunc) Run(*Loop) { f() }

// Loop is an event loop. Create it with NewLoop, give it a goroutine with Run.
type Loop struct {
	// Immutable.
	id     int
	epoch  time.Time
	poller poller
	// carrier is the poller again, if it moves bytes by itself, or nil.
	carrier carrier

	// Owned by the loop's goroutine.
	now     time.Duration
	turns   uint64 // wake-ups so far
	catchUp int    // looks for events that are left before timers fire; see noteLateness
	read    []byte // what Data is shown lies here
	raw     []byte // ciphertext of TLS connections; made when first needed
	sealed  []byte // what a TLS connection is about to send
	slots   []slot
	free    []int32
	ready   []uint64 // ids of connections to be looked at before the loop waits again
	readied []uint64 // the other half of a double buffer
	wheel   wheel
	buffers buffers
	running []Task
	// finishing are the handlers of connections that are being finished.
	finishing map[*finisher]struct{}

	// Guarded by mu.
	mu    sync.Mutex
	inbox []Task

	// Guarded by wakeMu: the poller's wake isn't called once it is closed, when
	// its descriptor may be somebody else's.
	wakeMu sync.Mutex
	closed bool

	// Atomic.
	asleep  atomic.Bool
	stopped atomic.Bool
	thread  atomic.Int64 // the system's number of it while Run runs, else 0
	conns   atomic.Int64
}

// maxGeneration leaves the two highest bits of an id to the poller.
const maxGeneration = 1<<30 - 1

// slot is one place in the loop's table of descriptors. Its generation tells
// an event of today from one for a descriptor that is long closed: an id is
// the number of the slot and its generation, and whatever may outlive a
// connection refers to it by its id.
type slot struct {
	conn     *Conn
	listener *Listener
	gen      uint32
}

// NewLoop makes a loop with the given poller: "auto", "epoll", "kqueue" or
// "io_uring". epoch is the zero of its clock, and id its number among the
// loops of the process.
func NewLoop(id int, epoch time.Time, pollerName string) (*Loop, error) {
	p, err := newPoller(pollerName)
	if err != nil {
		return nil, fmt.Errorf("making event loop %d: %w", id, err)
	}
	l := &Loop{
		id:     id,
		epoch:  epoch,
		poller: p,
		read:   make([]byte, readBufferSize),
	}
	l.carrier, _ = p.(carrier)
	l.now = time.Since(epoch)
	l.wheel.current = int64(l.now / tick)
	return l, nil
}

// ID is the number given to NewLoop.
func (l *Loop) ID() int { return l.id }

// PollerName says which back end the loop runs on.
func (l *Loop) PollerName() string { return l.poller.name() }

// Now is the loop's clock: time since its epoch, read once per wake-up. It is
// for the loop's goroutine only.
func (l *Loop) Now() time.Duration { return l.now }

// Conns is the number of connections the loop owns. Any goroutine may ask.
func (l *Loop) Conns() int { return int(l.conns.Load()) }

// Post hands work to the loop from any goroutine, the loop's own included, and
// returns at once. Work is done in the order it was posted, after the events
// at hand. After Stop it is dropped, and Post answers false.
func (l *Loop) Post(t Task) bool {
	l.mu.Lock()
	if l.stopped.Load() {
		l.mu.Unlock()
		return false
	}
	l.inbox = append(l.inbox, t)
	l.mu.Unlock()
	l.rouse()
	return true
}

// Stop makes Run return after the work at hand; everything that Post has
// accepted is done. Any goroutine may call it.
func (l *Loop) Stop() {
	l.mu.Lock()
	l.stopped.Store(true)
	l.mu.Unlock()
	l.rouse()
}

// rouse wakes the loop if it sleeps.
func (l *Loop) rouse() {
	if !l.asleep.Swap(false) {
		return
	}
	l.wakeMu.Lock()
	defer l.wakeMu.Unlock()
	if !l.closed {
		l.poller.wake()
	}
}

// Run serves the loop until Stop; then it closes every connection and
// listener that is left, without telling their handlers, and returns. It is
// called once; what the loop holds is given back by Run alone.
func (l *Loop) Run() error {
	defer l.closeAll()
	l.thread.Store(int64(threadID()))
	defer l.thread.Store(0)
	l.woke()
	for !l.stopped.Load() {
		l.runPosted()
		l.runReady()
		if l.catchUp == 0 {
			l.wheel.run(l.now)
		}
		if err := l.wait(); err != nil {
			return fmt.Errorf("waiting for events: %w", err)
		}
	}
	l.runPosted()
	return nil
}

const (
	// lateness is by how much longer than it meant to a loop may have slept before
	// it is taken to have been stopped: by SIGSTOP, with its machine or its
	// container, or for want of a processor.
	lateness = 100 * time.Millisecond
	// catchUps is how often it then looks for events before any timer fires. What
	// came meanwhile came in time: it mustn't be met by time limits that only the
	// loop has missed.
	catchUps = 8
)

// noteLateness begins or goes on with catching up, after a wait that was to be
// over by due.
func (l *Loop) noteLateness(due time.Duration) {
	switch {
	case l.catchUp > 0:
		l.catchUp--
	case l.now-due > lateness:
		l.catchUp = catchUps
	}
}

// wait sleeps until something happens and dispatches it. It doesn't sleep when
// there is work already.
func (l *Loop) wait() error {
	timeout := time.Duration(-1)
	if at, ok := l.wheel.next(); ok {
		timeout = max(at-l.now, 0)
	}
	if len(l.ready) > 0 || l.catchUp > 0 {
		timeout = 0
	}
	due := l.now + timeout
	if err := l.poller.wait(l, timeout); err != nil {
		return err
	}
	if timeout >= 0 { // or else there was no timer
		l.noteLateness(due)
	}
	return nil
}

// doze is called by the poller before it blocks, and answers whether it may:
// not if work was posted meanwhile. Work posted later wakes the poller.
func (l *Loop) doze() bool {
	l.asleep.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.inbox) == 0 && !l.stopped.Load()
}

// woke is called by the poller when it has looked for events, before it
// dispatches them.
func (l *Loop) woke() {
	l.asleep.Store(false)
	l.now = time.Since(l.epoch)
	l.turns++
}

func (l *Loop) runPosted() {
	l.mu.Lock()
	l.running, l.inbox = l.inbox, l.running[:0]
	l.mu.Unlock()
	for i, t := range l.running {
		l.running[i] = nil
		t.Run(l)
	}
}

// runReady looks after connections that need it without an event: kept bytes
// to be shown again, a failure met while sending.
func (l *Loop) runReady() {
	l.ready, l.readied = l.readied[:0], l.ready
	for _, id := range l.readied {
		if c := l.conn(id); c != nil {
			c.clear(isReady)
			c.attend()
		}
	}
}

func (l *Loop) addSlot(s slot) (id uint64) {
	var i int32
	if n := len(l.free); n > 0 {
		i = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		l.slots = append(l.slots, slot{})
		i = int32(len(l.slots) - 1)
	}
	s.gen = (l.slots[i].gen + 1) & maxGeneration
	l.slots[i] = s
	return uint64(s.gen)<<32 | uint64(uint32(i))
}

func (l *Loop) dropSlot(id uint64) {
	i := int32(uint32(id))
	l.slots[i] = slot{gen: l.slots[i].gen}
	l.free = append(l.free, i)
}

// event dispatches what the poller saw on the descriptor with the given id.
func (l *Loop) event(id uint64, e events) {
	s := l.slot(id)
	if s.conn != nil {
		s.conn.event(e)
	} else if s.listener != nil {
		s.listener.acceptAll()
	}
}

// slot returns what has this id, or nothing if it is gone.
func (l *Loop) slot(id uint64) slot {
	i := uint32(id)
	if int(i) >= len(l.slots) || l.slots[i].gen != uint32(id>>32) {
		return slot{}
	}
	return l.slots[i]
}

// conn returns the connection that has this id, or nil if it is gone.
func (l *Loop) conn(id uint64) *Conn { return l.slot(id).conn }

func (l *Loop) closeAll() {
	for i := range l.slots {
		if c := l.slots[i].conn; c != nil {
			c.Close()
		} else if ln := l.slots[i].listener; ln != nil {
			ln.Close()
		}
	}
	l.wakeMu.Lock()
	defer l.wakeMu.Unlock()
	l.closed = true
	l.poller.close()
}
