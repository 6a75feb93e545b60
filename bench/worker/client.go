package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"carpool/bench/workload"
)

// client makes the calls of one client, one after another.
type client struct {
	// immutable
	run    *run
	number int // among the clients of all processes
	shard  *shard
	caller workload.Caller
	random *rand.Rand
	alarm  *alarm

	// owned by the client's goroutine while it runs, by Run's else
	kept      *connection   // of the techniques by which each client has one; nil: it is to be opened
	borrowed  *pgxpool.Conn // of the driver's pool, during a call
	turn      *turn         // on the connection that nothing guards
	absent    bool          // couldn't connect at the start and takes no part
	backoff   time.Duration // before the next attempt to connect
	reached   time.Duration // when it last had a connection, since the start
	last      time.Duration // end of its last call, since the start
	due       int64         // calls of the open loop whose time came
	unstarted int64         // of these: not begun before the end

	on atomic.Pointer[net.Conn] // the connection that it is using, to be cut
}

const (
	shortestBackoff = 5 * time.Millisecond // after the first connection that couldn't be opened; it doubles from one to the next
	longestBackoff  = 500 * time.Millisecond
	// lostAfter is the time without a connection after which a client whose run has no other end gives up.
	lostAfter = 15 * time.Second
)

var past = time.Unix(1, 0)

// use says which connection the client uses from now on. It is cut at once if all are being cut.
func (c *client) use(conn *net.Conn) {
	c.on.Store(conn)
	if c.run.isCut.Load() {
		_ = (*conn).SetDeadline(past)
	}
}

// cut ends what the client waits for. It may be called from any goroutine, after run.isCut was set.
func (c *client) cut() {
	if conn := c.on.Load(); conn != nil {
		_ = (*conn).SetDeadline(past)
	}
	c.alarm.interrupt()
}

// calls makes the client's calls until the run is over. over ends with the job's duration, cut when connections are cut.
func (c *client) calls(cut, over context.Context) {
	if c.run.job.Rate > 0 {
		c.callAtRate(cut, over)
		return
	}
	if !c.absent {
		c.callInTurn(cut, over)
	}
}

// callInTurn is the closed loop: a call begins when the one before it and the time to think are over.
func (c *client) callInTurn(cut, over context.Context) {
	r := c.run
	think := r.job.ThinkTime
	now := r.now()
	if think > 0 {
		// All at once would go on in step: the first calls are spread over the time to think.
		now = c.waitUntil(now + time.Duration(c.random.Int64N(int64(think))))
	}
	for r.takes(now) {
		began := r.now()
		err := c.call(cut)
		now = r.now()
		if !c.finish(over, began, now, err) {
			return
		}
		if think > 0 {
			now = c.waitUntil(now + think)
		}
	}
}

// callAtRate is the open loop: calls are due at random times that don't depend on how long calls take, as those of
// independent users are. A call that is due while the client is busy begins late, and its latency counts from when it was
// due.
func (c *client) callAtRate(cut, over context.Context) {
	r := c.run
	gap := float64(time.Second) * float64(r.job.Clients) / r.job.Rate
	duration := r.job.Duration
	due := time.Duration(0)
	for {
		due += time.Duration(gap * c.random.ExpFloat64())
		switch {
		case duration > 0 && due >= duration, duration <= 0 && (c.absent || r.isCut.Load()):
			return
		case !c.absent && r.job.Calls > 0 && r.taken.Add(1) > r.job.Calls:
			return
		}
		c.due++
		// Also after a call that was cut: what was due while it hung still counts.
		if c.absent || duration > 0 && r.now() >= duration {
			c.unstarted++
			continue
		}
		if due > r.now() {
			c.waitUntil(due)
		}
		if r.isCut.Load() {
			return
		}
		err := c.call(cut)
		if !c.finish(over, due, r.now(), err) {
			return
		}
	}
}

// waitUntil blocks until a time since the start, or until the clients are cut, and returns the time that it is then. It
// doesn't wait beyond the job's duration.
func (c *client) waitUntil(due time.Duration) time.Duration {
	if d := c.run.job.Duration; d > 0 {
		due = min(due, d)
	}
	if wait := due - c.run.now(); wait > 0 {
		c.alarm.wait(wait)
	}
	return c.run.now()
}

// call does one call, with whatever the technique does before and after it.
func (c *client) call(cut context.Context) error {
	session, err := c.run.supply.take(cut, c)
	if err != nil {
		return &unconnected{err}
	}
	// The connection is cut rather than watched: a context that can end costs pgconn a goroutine for each query.
	err = c.caller.Call(context.Background(), session)
	c.run.supply.give(c, err)
	return err
}

// finish counts a call that lasted from began to ended, and pauses after one that found no connection. It tells whether the
// client goes on.
func (c *client) finish(over context.Context, began, ended time.Duration, err error) bool {
	c.last = ended
	if err == nil {
		c.shard.record(ended - began)
		c.backoff, c.reached = 0, ended
		return true
	}
	c.run.fail(c, err)
	var none *unconnected
	if !errors.As(err, &none) {
		c.backoff, c.reached = 0, ended
		return true
	}
	if c.run.job.Duration <= 0 && ended-c.reached > lostAfter {
		return false
	}
	c.backoff = min(max(2*c.backoff, shortestBackoff), longestBackoff)
	pause(over, c.backoff)
	return true
}

// unconnected is a call that had no connection to begin on.
type unconnected struct{ err error }

func (e *unconnected) Error() string { return e.err.Error() }
func (e *unconnected) Unwrap() error { return e.err }

// pause blocks for the duration or until ctx ends.
func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
