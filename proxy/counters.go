package proxy

import (
	"sync"
	"sync/atomic"
)

// traffic counts what one route does on one worker. Only that worker's loop
// writes; anyone reads. Times are in nanoseconds.
type traffic struct {
	assignments, xacts, queries       atomic.Int64
	received, sent                    atomic.Int64 // bytes from clients, from servers
	xactTime, queryTime, waitTime     atomic.Int64
	clientParses, serverParses, binds atomic.Int64
	logins, replays, audits, pins     atomic.Int64
	_                                 [64]byte // no two workers on one cache line
}

// Traffic is what one pool has done since it was opened. Times are in
// nanoseconds, sizes in bytes.
type Traffic struct {
	Assignments, Transactions, Queries int64
	Received, Sent                     int64
	TransactionTime, QueryTime         int64
	WaitTime                           int64
	ClientParses, ServerParses, Binds  int64
	Logins                             int64
	// Replays is how often a server was given a client's parameters, Audits how
	// often one was asked what a client has left behind, and Pins how often a
	// client has begun to keep its server.
	Replays, Audits, Pins int64
}

func (t *Traffic) add(c *traffic) {
	t.Assignments += c.assignments.Load()
	t.Transactions += c.xacts.Load()
	t.Queries += c.queries.Load()
	t.Received += c.received.Load()
	t.Sent += c.sent.Load()
	t.TransactionTime += c.xactTime.Load()
	t.QueryTime += c.queryTime.Load()
	t.WaitTime += c.waitTime.Load()
	t.ClientParses += c.clientParses.Load()
	t.ServerParses += c.serverParses.Load()
	t.Binds += c.binds.Load()
	t.Logins += c.logins.Load()
	t.Replays += c.replays.Load()
	t.Audits += c.audits.Load()
	t.Pins += c.pins.Load()
}

// processCounters count what belongs to no pool. Any goroutine writes.
type processCounters struct {
	accepted       atomic.Int64 // connections
	acceptFailed   atomic.Int64
	cancels        atomic.Int64 // requests with a key that is in use
	cancelsUnknown atomic.Int64
	cancelsFailed  atomic.Int64

	mu       sync.Mutex
	byReason map[string]int64 // errors that clients got from us, by SQLSTATE
}

// refused counts an error that a client was told. It is off the success path.
func (c *processCounters) refused(code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byReason == nil {
		c.byReason = make(map[string]int64)
	}
	if _, known := c.byReason[code]; !known && len(c.byReason) >= maxCodes {
		code = "other"
	}
	c.byReason[code]++
}

// maxCodes bounds how many SQLSTATEs are counted one by one: some of them come
// from servers.
const maxCodes = 200
