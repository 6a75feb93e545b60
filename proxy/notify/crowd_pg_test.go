package notify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carpool/proxy/upstream"
)

// gauge counts up to a mark, and says when it is reached.
type gauge struct {
	n       atomic.Int64
	mark    int64
	reached chan struct{}
}

func newGauge(mark int) *gauge { return &gauge{mark: int64(mark), reached: make(chan struct{})} }

func (g *gauge) add(n int) {
	if now := g.n.Add(int64(n)); now >= g.mark && now-int64(n) < g.mark {
		close(g.reached)
	}
}

func (g *gauge) await(t *testing.T, what string) {
	t.Helper()
	select {
	case <-g.reached:
	case <-time.After(patience):
		t.Fatalf("%d of %d %s", g.n.Load(), g.mark, what)
	}
}

// onlooker is one of a crowd: it counts, and looks at the order.
type onlooker struct {
	subscribed, heard *gauge
	wrong             *atomic.Int64
	last              []int64 // of each sender
	want              string  // the channel
}

func (o *onlooker) Notes(batch []Note) {
	for i := range batch {
		n := &batch[i]
		sender, number, _ := strings.Cut(string(n.Payload()), " ")
		s, err := strconv.Atoi(sender)
		at, failed := strconv.ParseInt(number, 10, 64)
		if err != nil || failed != nil || n.Channel != o.want || at <= o.last[s] {
			o.wrong.Add(1)
			continue
		}
		o.last[s] = at
	}
	o.heard.add(len(batch))
}
func (o *onlooker) Subscribed(string, uint64, error) { o.subscribed.add(1) }
func (o *onlooker) Lost(error)                       { o.wrong.Add(1) }
func (o *onlooker) Restored()                        {}
func (o *onlooker) CaughtUp(uint64)                  {}

// crowd has many listeners, on as many channels or fewer, and senders that
// notify at random. Every notification reaches everyone it is for, once and in
// its sender's order.
func crowd(t *testing.T, listeners, channels, notes int) {
	const senders = 8
	h := startHub(t, dialerTo(postgres, upstream.TLSDisable), brisk())
	deliveries := notes * (listeners / channels)
	subscribed, heard := newGauge(listeners), newGauge(deliveries)
	var wrong atomic.Int64
	before := heapInUse()
	start := time.Now()
	all := make([]*onlooker, listeners)
	for i := range all {
		all[i] = &onlooker{subscribed, heard, &wrong, make([]int64, senders), fmt.Sprint("crowd ", i%channels)}
		h.Listen(all[i], all[i].want)
	}
	subscribed.await(t, "are subscribed")
	took := time.Since(start)
	held := heapInUse() - before
	// That of the hub before this one may still be ending.
	eventually(t, "they cost one server connection", func() bool { return hubBackends(t, postgres) == "1" })
	start = time.Now()
	var wait sync.WaitGroup
	for s := range senders {
		wait.Go(func() {
			r := rand.New(rand.NewPCG(uint64(s), 1))
			conn := connect(t, nil)
			defer conn.Close(context.Background())
			for sent := 0; sent < notes/senders; {
				var sql strings.Builder
				for range min(50, notes/senders-sent) {
					sent++
					fmt.Fprintf(&sql, "NOTIFY \"crowd %d\", '%d %d';", r.IntN(channels), s, sent)
				}
				if _, err := conn.Exec(context.Background(), sql.String()).ReadAll(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	sent := time.Since(start)
	heard.await(t, "are heard")
	arrived := time.Since(start)
	// What comes twice, comes by now: the next note stands behind it.
	marker := newEar()
	marker.listen(t, h, "behind")
	exec(t, postgres, "NOTIFY behind")
	marker.expect(t, "notes")
	t.Logf("%d listeners on %d channels: subscribed in %v, %d bytes of heap each; %d notifications sent in %v, %d deliveries after %v",
		listeners, channels, took.Round(time.Millisecond), held/int64(listeners), notes, sent.Round(time.Millisecond), deliveries, arrived.Round(time.Millisecond))
	if s := h.Stats(); s.Received != uint64(notes+1) || heard.n.Load() != int64(deliveries) || wrong.Load() != 0 || s.Gaps != 0 {
		t.Errorf("%d heard, %d of them wrong; stats %+v", heard.n.Load(), wrong.Load(), s)
	}
	start = time.Now()
	for _, o := range all {
		h.UnlistenAll(o)
	}
	marker.listen(t, h, "behind") // commands are done in order
	t.Logf("all have left after %v", time.Since(start).Round(time.Millisecond))
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestCrowdOnItsOwnChannels(t *testing.T) { crowd(t, 5000, 5000, 100_000) }
func TestCrowdOnOneChannel(t *testing.T)     { crowd(t, 5000, 1, 400) }
