package report

import (
	"cmp"
	"fmt"
	"slices"
)

// What advice is given from.
const (
	worthSaying = 1.1 // a factor below this isn't worth a sentence
	plain       = 2.0 // a factor that a single round shows as well
	busy        = 0.9 // share of the cores in use that makes the processor the limit
	poolsCrowd  = 0.5 // share of the server's connections that the pools of one program may take
	withinReach = 0.9 // share of the fastest's rate that is as good
)

// Advise tells what r, which Finish or ReadJSON has finished, means for the reader: in sentences, and only what its numbers
// show.
func Advise(r Report) []string {
	var advice []string
	for _, part := range []func(Report) []string{connecting, unguarded, processes, mode, poolSize, hop, limits} {
		advice = append(advice, part(r)...)
	}
	return advice
}

// strategy is the one of that name with its summary, nil when it didn't run or no call succeeded.
func (r Report) strategy(name string) *Strategy {
	for _, s := range r.Strategies {
		if s.Name == name && s.Summary != nil && s.Summary.Calls > 0 {
			return &s
		}
	}
	return nil
}

// firstOf is the first strategy of names that ran.
func (r Report) firstOf(names ...string) *Strategy {
	for _, name := range names {
		if s := r.strategy(name); s != nil {
			return s
		}
	}
	return nil
}

// faster is whether the rounds show that a makes more calls than b, and how many times as many.
func faster(a, b *Strategy) (float64, bool) {
	if a == nil || b == nil || b.Summary.CallsPerSecond.Median <= 0 {
		return 0, false
	}
	ratio := a.Summary.CallsPerSecond.Median / b.Summary.CallsPerSecond.Median
	if min(len(a.Rounds), len(b.Rounds)) == 1 {
		return ratio, ratio >= plain
	}
	return ratio, ratio >= worthSaying && distinct(*a, *b)
}

// connecting tells what it costs to connect for each call, and what to do about it.
func connecting(r Report) []string {
	var told []string
	none := r.strategy("none")
	kept := r.firstOf("direct", "driver-pool", "global")
	if ratio, ok := faster(kept, none); ok && r.Settings.Rate == 0 {
		cost := none.Summary.Latency.P50 - kept.Summary.Latency.P50
		if cost > 0 {
			told = append(told, fmt.Sprintf("Connecting costs about %s a call: the median call takes %s with it and %s on a connection that is open already, which makes %s as many calls a second possible",
				latency(cost), latency(none.Summary.Latency.P50), latency(kept.Summary.Latency.P50), factor(ratio)))
		}
	}
	if ratio, ok := faster(r.strategy("carpool-connect"), none); ok {
		told = append(told, fmt.Sprintf("A program that connects for each call and can't be changed makes %s as many calls when its connection string points at carpool", factor(ratio)))
	}
	if ratio, ok := faster(r.strategy("carpool"), r.strategy("carpool-connect")); ok {
		told = append(told, fmt.Sprintf("Keeping the connections to carpool open brings another %s over connecting to it for each call", factor(ratio)))
	}
	return told
}

// unguarded tells of the connection that all share without a lock.
func unguarded(r Report) []string {
	s := r.strategy("global-unsafe")
	if s == nil {
		return nil
	}
	wrong, failed := s.Summary.WrongCount(), s.Summary.ErrorCount()
	if wrong+failed == 0 {
		return []string{"One connection without a lock showed no wrong answer this time, which is luck: nothing keeps two callers from mixing their queries"}
	}
	all := s.Summary.Calls + wrong + failed
	return []string{fmt.Sprintf("Never share one connection without a lock: of %s, %s got a wrong answer and %s failed (%s of all)",
		plural(all, "call"), count(wrong), count(failed), percent(float64(wrong+failed)/float64(all)))}
}

// processes tells whether the pool of a driver is enough.
func processes(r Report) []string {
	pool, carpool := r.strategy("driver-pool"), r.firstOf("carpool", "carpool-session")
	if pool == nil {
		return nil
	}
	s := r.Settings
	if s.Processes <= 1 {
		if carpool == nil || pool.Summary.CallsPerSecond.Median >= withinReach*carpool.Summary.CallsPerSecond.Median {
			return []string{"In a single process the driver's own pool is enough: a pooler brings something when more processes share the database"}
		}
		return nil
	}
	if s.PoolSize <= 0 {
		return nil
	}
	most := int64(s.Processes) * int64(s.PoolSize)
	text := fmt.Sprintf("A driver's pool belongs to one process: %s with a pool of %d may open %s, and each further process %d more",
		plural(int64(s.Processes), "process"), s.PoolSize, plural(most, "connection"), s.PoolSize)
	limit := int64(r.Environment.MaxConnections)
	switch {
	case limit > 0 && most > limit:
		text += fmt.Sprintf("; the server takes %s, so such pools are too large for it", count(limit))
	case limit > 0 && float64(most) > poolsCrowd*float64(limit):
		text += fmt.Sprintf("; that is %s of the %s that the server takes", percent(float64(most)/float64(limit)), count(limit))
	case limit > 0:
		text += fmt.Sprintf("; the server takes %s, which is enough for %s", count(limit), plural(limit/int64(s.PoolSize), "process"))
	}
	if carpool != nil && carpool.Summary.ServerConnections != nil {
		text += fmt.Sprintf(". Through carpool they used %s together", plural(int64(*carpool.Summary.ServerConnections), "connection"))
	}
	return []string{text}
}

// mode tells which of carpool's modes the numbers speak for.
func mode(r Report) []string {
	transaction, session := r.strategy("carpool"), r.strategy("carpool-session")
	if transaction == nil || session == nil {
		return nil
	}
	if ratio, ok := faster(transaction, session); ok {
		return []string{fmt.Sprintf("Use transaction mode: it makes %s as many calls as session mode, where a client keeps its server connection and others wait", factor(ratio))}
	}
	if ratio, ok := faster(session, transaction); ok {
		return []string{fmt.Sprintf("Session mode makes %s as many calls as transaction mode here; it needs a server connection for each client that is connected, busy or not", factor(ratio))}
	}
	if r.Settings.PoolSize > 0 && r.Settings.Clients > r.Settings.PoolSize {
		return []string{"Transaction and session mode are about as fast here; transaction mode is the one in which idle clients hold no server connection"}
	}
	return []string{"Transaction and session mode are about as fast here, where there are no more clients than server connections; with more clients than the pool is large, only transaction mode serves all of them"}
}

// poolSize tells of the sweeps' knees.
func poolSize(r Report) []string {
	var told []string
	for _, sweep := range r.Sweeps {
		rates := sweep.rates(sweep.subject())
		if len(rates) < kneePoints {
			continue
		}
		best := slices.MaxFunc(rates, func(a, b At) int { return cmp.Compare(a.Rate, b.Rate) })
		name := printable(sweep.subject())
		last := rates[len(rates)-1]
		switch {
		case sweep.Setting == "pool" && sweep.Knee > 0:
			told = append(told, fmt.Sprintf("A pool of %d is enough: it is the smallest that comes within %s of the best of %s, %s at %d",
				sweep.Knee, percent(kneeTolerance), name, rate(best.Rate), best.Value))
		case sweep.Setting == "pool":
			told = append(told, fmt.Sprintf("The calls a second of %s still rise at a pool of %d, the largest that was tried: sweep further before choosing one", name, last.Value))
		case sweep.Setting == "clients" && sweep.Knee > 0:
			told = append(told, fmt.Sprintf("%s with %s reaches within %s of its best rate: more clients wait longer and get hardly more done",
				name, plural(int64(sweep.Knee), "client"), percent(kneeTolerance)))
		case sweep.Setting == "clients":
			told = append(told, fmt.Sprintf("%s still gets more done with every step up to %s, the most that were tried", name, plural(int64(last.Value), "client")))
		}
	}
	return told
}

// hop tells what the pooler costs those that could have kept a connection each.
func hop(r Report) []string {
	carpool, direct := r.strategy("carpool"), r.firstOf("direct", "driver-pool")
	ratio, ok := faster(direct, carpool)
	if !ok {
		return nil
	}
	text := fmt.Sprintf("Through carpool there are %s fewer calls a second than on connections kept straight to Postgres: each call makes one more hop", percent(1-1/ratio))
	mine, theirs := carpool.Summary.ServerConnections, direct.Summary.ServerConnections
	if mine != nil && theirs != nil && *mine < *theirs {
		text += fmt.Sprintf(". What it gives for that is a bound: %d server connections instead of %d, however many processes come", *mine, *theirs)
	} else {
		text += ". What it gives for that is a bound on the server connections, however many processes come"
	}
	return []string{text}
}
