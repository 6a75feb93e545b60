package metrics

import "carpool/proxy"

// maxSeries is how many pools are told apart. Names of databases and users may
// come from clients, and each pool makes about two hundred lines: those opened
// after so many others are summed under one name, until one of the others is
// gone.
const maxSeries = 250

// othersName is the database and the user of what isn't told apart. It is no
// name that anybody is likely to use.
const othersName = "(others)"

// poolReading is what a scrape reads of one pool, or of several.
type poolReading struct {
	proxy.PoolView
	latency *proxy.Latency
}

// readPools reads the pools, of which those that are too many become one.
func readPools(views []proxy.PoolView) []poolReading {
	list := make([]poolReading, 0, min(len(views), maxSeries+1))
	for i := range views {
		one := poolReading{views[i], views[i].Latency()}
		switch {
		case i < maxSeries:
			list = append(list, one)
		case i == maxSeries:
			one.Database, one.User, one.Mode = othersName, othersName, ""
			list = append(list, one)
		default:
			list[maxSeries].add(&one)
		}
	}
	return list
}

// add sums what can be summed. The sum is paused if all of it is, and as large
// as its pools together, unless one has no limit.
func (r *poolReading) add(o *poolReading) {
	r.Clients += o.Clients
	a, b := &r.Pool, &o.Pool
	a.Idle += b.Idle
	a.Leased += b.Leased
	a.Dialing += b.Dialing
	a.Open += b.Open
	a.Waiting += b.Waiting
	a.LongestWait = max(a.LongestWait, b.LongestWait)
	a.Paused = a.Paused && b.Paused
	if a.Size > 0 && b.Size > 0 {
		a.Size += b.Size
	} else {
		a.Size = 0
	}
	a.ReserveSize += b.ReserveSize
	a.Queued += b.Queued
	a.Withdrawn += b.Withdrawn
	a.Failed += b.Failed
	a.Refused += b.Refused
	a.Dials += b.Dials
	for i, n := range &b.Closed {
		a.Closed[i] += n
	}
	for i, n := range &o.DialFailures {
		r.DialFailures[i] += n
	}
	addTraffic(&r.Traffic, &o.Traffic)
	addHistogram(&r.latency.Wait, &o.latency.Wait)
	addHistogram(&r.latency.Query, &o.latency.Query)
	addHistogram(&r.latency.Transaction, &o.latency.Transaction)
	addHistogram(&r.latency.Login, &o.latency.Login)
}

func addTraffic(a, b *proxy.Traffic) {
	a.Assignments += b.Assignments
	a.Transactions += b.Transactions
	a.Queries += b.Queries
	a.Received += b.Received
	a.Sent += b.Sent
	a.TransactionTime += b.TransactionTime
	a.QueryTime += b.QueryTime
	a.WaitTime += b.WaitTime
	a.ClientParses += b.ClientParses
	a.ServerParses += b.ServerParses
	a.Binds += b.Binds
	a.Logins += b.Logins
	a.Replays += b.Replays
	a.Audits += b.Audits
	a.Pins += b.Pins
	a.StatementHits += b.StatementHits
	a.StatementMisses += b.StatementMisses
	a.StatementEvictions += b.StatementEvictions
}
