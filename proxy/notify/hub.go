package notify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Dialer opens the hub's connection: logged in, to the database whose
// notifications are wanted. The hub owns what it returns, and sets the client
// encoding and the timeouts itself.
type Dialer func(ctx context.Context) (*Conn, error)

// Listener is a client session, told apart by ==. Its methods are called on the
// hub's goroutine, in order; they must not block, and may call the hub's, except
// Close. A last call may come after UnlistenAll has returned, none comes after
// Close.
type Listener interface {
	// Notes brings the notifications that arrived together, in order, those of
	// the marker channel included. The slice is shared, never changed, and may
	// be kept.
	Notes(batch []Note)
	// Subscribed says that from here on every notification on the channel comes,
	// or why none ever will: then the channel is as if never asked for. ticket is
	// what Listen returned. It comes again, without an error, for channels that
	// are listened on again after a loss.
	Subscribed(channel string, ticket uint64, err error)
	// Lost says that the connection was lost: from here on notifications are
	// missing, until each channel is Subscribed again.
	Lost(err error)
	// Restored says that after a loss all of the Listener's channels are
	// subscribed again: the time to tell the client that there may be a gap.
	Restored()
	// CaughtUp says that all has come that CatchUp asked for, or that it can't be
	// known. ticket is what CatchUp returned.
	CaughtUp(ticket uint64)
}

// Hub listens on a database's channels for all its Listeners through one
// connection, which it opens when the first channel is wanted and closes some
// time after the last is gone. All methods may be called from any goroutine;
// none but Close blocks. After Close they do nothing.
type Hub struct {
	// Immutable.
	dial   Dialer
	log    *slog.Logger
	marker string
	times  times
	ctx    context.Context // the dialing's: ended by Close
	cancel context.CancelFunc
	wake   chan struct{} // capacity 1: commands are queued, or the hub is closed
	dialed chan dialing  // capacity 1
	ended  chan struct{} // closed when run has returned

	// Guarded by mu.
	mu       sync.Mutex
	commands []command
	last     uint64 // ticket
	closed   bool

	// Owned by run.
	registry registry
	link     link
	arrived  []arrival // scratch of deliver

	counters counters
}

// times are the hub's patience and leisure.
type times struct {
	linger   time.Duration // how long the connection outlives its last channel
	silence  time.Duration // after how long without a byte the server is asked for a sign of life
	patience time.Duration // how long an answer may take while not a byte comes
	retry    time.Duration // the first wait before another dial; it doubles
	retryMax time.Duration // the longest wait, and how long a connection lives for the next wait to be the first again
}

// counters are what Stats shows; written by run alone.
type counters struct {
	channels, listeners       atomic.Int64
	received, delivered, gaps atomic.Uint64
	pid                       atomic.Uint32
	connected                 atomic.Bool
}

// Stats are a hub's figures. Counts are since New.
type Stats struct {
	Channels  int    // that are wanted
	Listeners int    // that want one at least
	Received  uint64 // notifications from the server, without the hub's own
	Delivered uint64 // the same, once for every Listener that got it
	Gaps      uint64 // losses of the connection while channels were listened on
	Connected bool   // ready to listen
	PID       uint32 // of the server, 0 when not connected
}

// New returns a hub, which has no connection yet. It has to be closed.
func New(dial Dialer, log *slog.Logger) *Hub {
	return newHub(dial, log, times{
		linger:   30 * time.Second,
		silence:  30 * time.Second,
		patience: 30 * time.Second,
		retry:    100 * time.Millisecond,
		retryMax: 5 * time.Second,
	})
}

func newHub(dial Dialer, log *slog.Logger, t times) *Hub {
	h := &Hub{
		dial:   dial,
		log:    log,
		marker: "carpool_" + random(),
		times:  t,
		wake:   make(chan struct{}, 1),
		dialed: make(chan dialing, 1),
		ended:  make(chan struct{}),
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.registry.init()
	go h.run() // ended by Close, which waits for it
	return h
}

// random is a name that nobody else has.
func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Marker is the channel on which the hub and the clients' servers are brought
// to show tokens. It is always listened on. No two hubs have the same.
func (h *Hub) Marker() string { return h.marker }

// Listen asks for a channel's notifications; Subscribed tells when they come.
// The ticket tells this Listen from earlier ones. A channel that the Listener
// has already is subscribed with the new ticket.
func (h *Hub) Listen(l Listener, channel string) (ticket uint64) {
	return h.post(command{do: doListen, listener: l, channel: channel})
}

// Unlisten takes back Listen.
func (h *Hub) Unlisten(l Listener, channel string) {
	h.post(command{do: doUnlisten, listener: l, channel: channel})
}

// UnlistenAll takes back all that the Listener asked for. The hub forgets it.
func (h *Hub) UnlistenAll(l Listener) {
	h.post(command{do: doUnlistenAll, listener: l})
}

// Token returns a payload that no one else has, and has the hub bring it to the
// Listener when it comes on the marker channel. The Listener's previous token
// comes no more.
func (h *Hub) Token(l Listener) string {
	token := h.marker + "." + random() // which nobody can bring before it is due
	h.post(command{do: doExpect, listener: l, token: token})
	return token
}

// CatchUp asks for what was notified by transactions whose commit the server has
// answered by now: CaughtUp is called behind it, after the next loss at the
// latest, at once while there is no connection. The ticket tells this CatchUp
// from others.
func (h *Hub) CatchUp(l Listener) (ticket uint64) {
	return h.post(command{do: doCatchUp, listener: l})
}

// Reopen closes the connection, if there is one, and opens another: for when the
// Dialer leads elsewhere than before. To those who listen it is a loss.
func (h *Hub) Reopen() { h.post(command{do: doReopen}) }

// Stats returns the figures of now.
func (h *Hub) Stats() Stats {
	c := &h.counters
	return Stats{
		Channels: int(c.channels.Load()), Listeners: int(c.listeners.Load()),
		Received: c.received.Load(), Delivered: c.delivered.Load(), Gaps: c.gaps.Load(),
		Connected: c.connected.Load(), PID: c.pid.Load(),
	}
}

// Close ends the connection and waits until no Listener will be called any
// more. It must not be called by a Listener's method.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed, h.commands = true, nil
	h.mu.Unlock()
	h.cancel()
	<-h.ended
}

// post queues a command for run, and numbers it.
func (h *Hub) post(c command) (number uint64) {
	h.mu.Lock()
	h.last++
	c.number = h.last
	if !h.closed {
		h.commands = append(h.commands, c)
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default: // it will look anyway
	}
	return c.number
}

// obey carries out what is queued.
func (h *Hub) obey() {
	h.mu.Lock()
	commands := h.commands
	h.commands = nil
	h.mu.Unlock()
	for i := range commands {
		h.carryOut(&commands[i])
	}
}

// run is the hub's goroutine. Each turn it looks at one thing that happened,
// does what is queued, and then what its link has to do next.
func (h *Hub) run() {
	defer close(h.ended)
	defer h.hangUp()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if at := h.attend(time.Now()); at.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(at))
		}
		select {
		case <-h.ctx.Done():
			return
		case <-h.wake:
			h.obey()
		case d := <-h.dialed:
			h.obey()
			h.connected(d)
		case chunk, ok := <-h.link.chunks():
			if ok {
				h.receive(chunk)
			} else {
				h.lose(h.link.stream.failure())
			}
		case <-timer.C:
		}
	}
}
