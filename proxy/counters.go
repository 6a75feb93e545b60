package proxy

import "sync/atomic"

// traffic counts what one route does on one worker. Only that worker's loop
// writes; anyone reads. Times are in nanoseconds.
type traffic struct {
	received, sent                    atomic.Int64 // bytes from clients, from servers
	clientParses, serverParses, binds atomic.Int64
	hits, misses, evictions           atomic.Int64 // of prepared statements on servers
	logins, replays, audits, pins     atomic.Int64
	times                             atomic.Pointer[stopwatches]
	_                                 [64]byte // no two workers on one cache line
}

// stopwatches are how long things take on one route on one worker: assignments
// of a server with the waits for them, transactions, queries, and logins that
// led to a welcome.
type stopwatches struct{ waits, xacts, queries, welcomes stopwatch }

// clocks are the route's stopwatches on this worker, made when they are first
// needed: there may be many thousand routes that nobody takes. Only the
// worker's loop calls it.
func (c *traffic) clocks() *stopwatches {
	if t := c.times.Load(); t != nil {
		return t
	}
	t := &stopwatches{}
	c.times.Store(t)
	return t
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
	// StatementHits is how often a client used a prepared statement that its
	// server had, StatementMisses how often the server had to be given it first,
	// and StatementEvictions how often another had to make room for it.
	StatementHits, StatementMisses, StatementEvictions int64
}

// Latency is how long things took in one pool since it was opened.
type Latency struct {
	// Wait is between asking for a server and beginning to talk to it, for each
	// time that a client got one; Query and Transaction are from their first byte
	// to the end of the answer; Login is from accepting a connection to the
	// welcome.
	Wait, Query, Transaction, Login Histogram
}

func (l *Latency) add(c *traffic) {
	t := c.times.Load()
	if t == nil {
		return
	}
	t.waits.addTo(&l.Wait)
	t.queries.addTo(&l.Query)
	t.xacts.addTo(&l.Transaction)
	t.welcomes.addTo(&l.Login)
}

func (t *Traffic) add(c *traffic) {
	if w := c.times.Load(); w != nil {
		sum := func(s *stopwatch, count, nanos *int64) {
			n, took := s.total()
			*count += n
			*nanos += took
		}
		sum(&w.waits, &t.Assignments, &t.WaitTime)
		sum(&w.xacts, &t.Transactions, &t.TransactionTime)
		sum(&w.queries, &t.Queries, &t.QueryTime)
	}
	t.Received += c.received.Load()
	t.Sent += c.sent.Load()
	t.ClientParses += c.clientParses.Load()
	t.ServerParses += c.serverParses.Load()
	t.Binds += c.binds.Load()
	t.Logins += c.logins.Load()
	t.Replays += c.replays.Load()
	t.Audits += c.audits.Load()
	t.Pins += c.pins.Load()
	t.StatementHits += c.hits.Load()
	t.StatementMisses += c.misses.Load()
	t.StatementEvictions += c.evictions.Load()
}

// processCounters count what belongs to no pool. Any goroutine writes.
type processCounters struct {
	accepted       atomic.Int64 // connections
	acceptFailed   atomic.Int64
	gaveWay        atomic.Int64 // logins that were ended to make room for others
	cancels        atomic.Int64 // requests with a key that is in use
	cancelsUnknown atomic.Int64
	cancelsFailed  atomic.Int64

	toClients   errorCounts // errors that clients got from us
	fromServers errorCounts // errors that servers told us
}

// refused counts an error that a client was told. It is off the success path.
func (c *processCounters) refused(code string) { c.toClients.add(code) }
