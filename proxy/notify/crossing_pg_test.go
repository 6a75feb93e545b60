package notify

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"carpool/proxy/upstream"
)

// Senders notify while clients listen, change over to the hub and stop
// listening, at moments that a seed decides. Every payload says who sent it and
// which of that sender's notes on the channel it is.

const (
	crossSenders  = 8
	crossNotes    = 5000 // of each sender
	crossClients  = 12
	crossChannels = 3
)

// crossingTest is one such test.
type crossingTest struct {
	t      *testing.T
	hub    *Hub
	begun  [crossSenders][crossChannels]atomic.Int64 // notes whose transaction has begun
	final  [crossSenders][crossChannels]int64        // good once over
	over   atomic.Bool                               // all is sent
	losses bool                                      // the hub's server is killed now and then

	crossed, delivered, gaps atomic.Int64
}

func channelName(c int) string { return fmt.Sprint("cross ", c) }

// send is one sender's work.
func (x *crossingTest) send(ctx context.Context, id int, r *rand.Rand) {
	conn := connect(x.t, nil)
	defer conn.Close(ctx)
	for sent := 0; sent < crossNotes; {
		var sql strings.Builder
		for range min(1+r.IntN(20), crossNotes-sent) {
			c := r.IntN(crossChannels)
			fmt.Fprintf(&sql, "NOTIFY %s, '%d %d';", quote(channelName(c)), id, x.begun[id][c].Add(1))
			sent++
		}
		if _, err := conn.Exec(ctx, sql.String()).ReadAll(); err != nil {
			x.t.Error(err)
			return
		}
	}
	for c := range crossChannels {
		x.final[id][c] = x.begun[id][c].Load()
	}
}

// crossClient is one client with its session: what the session would do.
type crossClient struct {
	*crossingTest
	ear      *ear
	handover *Handover
	server   *pgconn.PgConn
	has      [crossChannels]bool // the server listens on it
	wants    [crossChannels]bool
	marked   bool // the server listens on the marker
	next     [crossChannels][crossSenders]int64
	least    [crossChannels][crossSenders]int64 // a first note may be no later
}

// get takes a note that is delivered to the client.
func (c *crossClient) get(channel string, payload []byte) {
	var sender, number int64
	var at int
	if _, err := fmt.Sscan(string(payload), &sender, &number); err != nil {
		c.t.Errorf("payload %q: %v", payload, err)
		return
	}
	if _, err := fmt.Sscanf(channel, "cross %d", &at); err != nil || !c.wants[at] {
		c.t.Errorf("a note on %q, which the client doesn't listen on", channel)
		return
	}
	c.delivered.Add(1)
	next := &c.next[at][sender]
	switch {
	case *next == 0 && number > c.least[at][sender] && !c.losses:
		c.t.Errorf("%s: the first note of sender %d is %d, the client listened from %d on", channel, sender, number, c.least[at][sender])
	case *next > 0 && number < *next:
		c.t.Errorf("%s: note %d of sender %d comes again, or late: %d is next", channel, number, sender, *next)
	case *next > 0 && number > *next && !c.losses:
		c.t.Errorf("%s: note %d of sender %d comes, %d is missing", channel, number, sender, *next)
	}
	*next = number + 1
}

func (c *crossClient) getAll(notes []Note) {
	for _, n := range notes {
		c.get(n.Channel, n.Payload())
	}
}

func (c *crossClient) exec(sql string) {
	if _, err := c.server.Exec(context.Background(), sql).ReadAll(); err != nil {
		c.t.Errorf("%s: %v", sql, err)
	}
}

// hearHub does what the hub said meanwhile.
func (c *crossClient) hearHub() {
	for _, s := range c.ear.take() {
		switch s.what {
		case "notes":
			for _, n := range s.notes {
				if c.handover.FromHub(n) == Deliver {
					c.get(n.Channel, n.Payload())
				}
			}
		case "subscribed":
			c.handover.Subscribed(s.channel, s.ticket)
		case "lost":
			c.getAll(c.handover.Lost())
		case "restored":
			c.gaps.Add(1)
		default:
			c.t.Errorf("%s: %v", s.channel, s.err)
		}
	}
}

// hearServer takes a notification of the client's own server.
func (c *crossClient) hearServer(n *pgconn.Notification) {
	v, released := c.handover.FromServer([]byte(n.Channel), []byte(n.Payload))
	if v == Deliver {
		c.get(n.Channel, []byte(n.Payload))
	}
	c.getAll(released)
}

// listen is LISTEN by the client. What has begun to be sent when it is through
// may come or not, what begins later must.
func (c *crossClient) listen(at int) {
	known := c.wants[at]
	c.wants[at] = true
	if !known {
		for s := range crossSenders {
			c.least[at][s] = math.MaxInt64 // not known yet
		}
	}
	c.exec("LISTEN " + quote(channelName(at)))
	c.has[at] = true
	if known {
		return
	}
	for s := range crossSenders {
		c.least[at][s] = c.begun[s][at].Load() + 1
	}
	c.handover.Begin(channelName(at), c.hub.Listen(c.ear, channelName(at)))
}

// unlisten is UNLISTEN by the client.
func (c *crossClient) unlisten(at int) {
	c.exec("UNLISTEN " + quote(channelName(at)))
	c.hub.Unlisten(c.ear, channelName(at))
	c.getAll(c.handover.Forget(channelName(at)))
	c.has[at], c.wants[at], c.next[at] = false, false, [crossSenders]int64{}
}

// act does what is due; it reports whether there was anything.
func (c *crossClient) act() bool {
	switch {
	case c.handover.Due():
		token := c.hub.Token(c.ear)
		c.handover.Mark(token)
		message := AppendMark(nil, c.hub.Marker(), token)
		c.marked = true
		c.exec(string(message[5 : len(message)-1]))
	case c.handover.Done() && c.marked:
		c.exec("UNLISTEN *")
		c.marked, c.has = false, [crossChannels]bool{}
		c.crossed.Add(1)
	default:
		return false
	}
	return true
}

// live is the client's life.
func (c *crossClient) live(r *rand.Rand) {
	for !c.over.Load() {
		c.hearHub()
		switch n := r.IntN(40); {
		case n < 2:
			c.listen(r.IntN(crossChannels))
		case n < 3:
			if at := r.IntN(crossChannels); c.wants[at] {
				c.unlisten(at)
			}
		case n < 20:
			c.act()
		default:
			c.exec("") // brings what has come
		}
	}
	for at := range crossChannels {
		if !c.wants[at] {
			c.listen(at)
		}
	}
	// The last ones, which everybody gets.
	deadline := time.Now().Add(patience)
	for !c.handover.Done() || c.marked {
		c.hearHub()
		if !c.act() {
			c.exec("")
		}
		if time.Now().After(deadline) {
			c.t.Errorf("the change-over doesn't end: %+v", c.handover)
			return
		}
	}
}

// finish checks that the last notes have come.
func (c *crossClient) finish() {
	if c.losses {
		return
	}
	for at := range crossChannels {
		for s := range crossSenders {
			next, final := c.next[at][s], c.final[s][at]
			if next == 0 && c.least[at][s] <= final || next > 0 && next != final+1 {
				c.t.Errorf("channel %d: note %d of sender %d is the next one, the last is %d", at, next, s, final)
			}
		}
	}
}

func runCrossing(t *testing.T, losses bool) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	x := &crossingTest{t: t, hub: startHub(t, dialerTo(postgres, upstream.TLSDisable), brisk()), losses: losses}
	var senders, clients, killer sync.WaitGroup
	for i := range crossSenders {
		senders.Go(func() { x.send(context.Background(), i, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	all := make([]*crossClient, crossClients)
	for i := range all {
		c := &crossClient{crossingTest: x, ear: newEar(), handover: NewHandover(x.hub.Marker())}
		c.server = connect(t, c.hearServer)
		all[i] = c
		clients.Go(func() {
			defer c.server.Close(context.Background())
			c.live(rand.New(rand.NewPCG(seed, uint64(100+i))))
		})
	}
	if losses {
		killer.Go(func() {
			for !x.over.Load() {
				if pid := x.hub.Stats().PID; pid != 0 {
					exec(t, postgres, "SELECT pg_terminate_backend(%d), pg_sleep(0.02)", pid)
				}
			}
		})
	}
	senders.Wait()
	x.over.Store(true)
	killer.Wait()
	clients.Wait()
	for _, c := range all {
		// Notes on one channel come in order: behind this one comes no other.
		x.hub.Listen(c.ear, "the end")
	}
	eventually(t, "all listen on the end", func() bool { return hubBackends(t, postgres) == "1" && x.hub.Stats().Channels == crossChannels+1 })
	for _, c := range all {
		ended := false
		for deadline := time.Now().Add(patience); !ended && time.Now().Before(deadline); {
			exec(t, postgres, `NOTIFY "the end"`)
			for _, s := range c.ear.take() {
				for _, n := range s.notes {
					if n.Channel == "the end" {
						ended = true
					} else if c.handover.FromHub(n) == Deliver {
						c.get(n.Channel, n.Payload())
					}
				}
			}
		}
		if !ended {
			t.Fatal("the end doesn't come")
		}
		c.finish()
	}
	t.Logf("%d change-overs, %d notes delivered, %d gaps told", x.crossed.Load(), x.delivered.Load(), x.gaps.Load())
	if x.crossed.Load() < crossClients || x.delivered.Load() == 0 || losses != (x.gaps.Load() > 0) {
		t.Error("that isn't what was to be tried")
	}
}

func TestChangeOverLosesAndDoublesNothing(t *testing.T) { runCrossing(t, false) }

// With losses there are gaps, and still nothing comes twice or out of order.
func TestChangeOverWhileTheHubIsLost(t *testing.T) { runCrossing(t, true) }
