package report

import "fmt"

// server is what the direct strategies connect to, in a sentence.
func (r Report) server() string {
	if r.Environment.Pooled {
		return "the pooler at the URL"
	}
	return "Postgres"
}

// peak is how many server connections s had at the most, if that was seen: not when nobody looked twice in any round, and
// not when nobody looked while there was one. Behind a pooler at the URL it isn't known whose they are.
func (r Report) peak(s *Strategy) (int64, bool) {
	if s == nil || r.Environment.Pooled || s.Summary.ServerConnections == nil || *s.Summary.ServerConnections == 0 {
		return 0, false
	}
	for _, round := range s.Rounds {
		if len(round.Samples) > 1 {
			return int64(*s.Summary.ServerConnections), true
		}
	}
	return 0, false
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
	text := fmt.Sprintf("A driver's pool belongs to one process: %s with a pool of %s may open %s, and each further process %s more",
		plural(int64(s.Processes), "process"), count(int64(s.PoolSize)), plural(most, "connection"), count(int64(s.PoolSize)))
	text += poolsRoom(r, most)
	if used, ok := r.peak(carpool); ok {
		text += fmt.Sprintf(". Through carpool they used %s together", plural(used, "connection"))
	}
	return []string{text}
}

// poolsRoom tells how pools of that many connections fit the reader's server. A private one's limit says nothing: the
// benchmark chose it.
func poolsRoom(r Report, most int64) string {
	limit, size := int64(r.Environment.MaxConnections), int64(r.Settings.PoolSize)
	switch {
	case limit <= 0 || r.Environment.Private || r.Environment.Pooled:
		return ""
	case most > limit:
		return fmt.Sprintf("; the server takes %s, so such pools are too large for it", count(limit))
	case float64(most) > poolsCrowd*float64(limit):
		return fmt.Sprintf("; that is %s of the %s that the server takes", percent(float64(most)/float64(limit)), count(limit))
	}
	// Some of the limit is reserved for superusers, so it is reached by then at the latest.
	return fmt.Sprintf("; %s reach the server's max_connections, %s", plural((limit+size-1)/size, "process"), count(limit))
}

// mode tells which of carpool's modes the numbers speak for. The pool of session mode is made as large as there are clients,
// so nobody waits in either.
func mode(r Report) []string {
	transaction, session := r.strategy("carpool"), r.strategy("carpool-session")
	if transaction == nil || session == nil {
		return nil
	}
	holds, held, also := "holds a server connection for each connected client", "", ""
	few, known := r.peak(transaction)
	if many, ok := r.peak(session); ok && known && few < many {
		holds += fmt.Sprintf(" (%s here)", count(many))
		held = fmt.Sprintf("transaction mode held %s for all", count(few))
		also = ", and with fewer connections"
	}
	if ratio, ok := faster(transaction, session); ok {
		text := fmt.Sprintf("Transaction mode makes %s as many calls as session mode%s: session mode %s", factor(ratio), also, holds)
		if also == "" {
			text = fmt.Sprintf("Transaction mode makes %s as many calls as session mode, which %s", factor(ratio), holds)
		}
		return []string{joined(text, ", ", held)}
	}
	if ratio, ok := faster(session, transaction); ok {
		text := fmt.Sprintf("Session mode makes %s as many calls as transaction mode here, but %s, busy or not", factor(ratio), holds)
		return []string{joined(text, "; ", held)}
	}
	return []string{joined("The rounds show no difference in speed between transaction and session mode; session mode "+holds+", busy or not", "; ", held)}
}

// joined is text with more behind it, if there is more.
func joined(text, by, more string) string {
	if more == "" {
		return text
	}
	return text + by + more
}

// hop tells what the pooler costs those that could have kept a connection each.
func hop(r Report) []string {
	carpool, direct := r.strategy("carpool"), r.firstOf("direct", "driver-pool")
	ratio, ok := faster(direct, carpool)
	if !ok {
		return nil
	}
	text := fmt.Sprintf("Through carpool there are %s fewer calls a second than on connections kept straight to %s: each call makes one more hop", percent(1-1/ratio), r.server())
	if r.Environment.Pooled {
		return []string{text}
	}
	mine, ok := r.peak(carpool)
	theirs, ok2 := r.peak(direct)
	if ok && ok2 && mine < theirs {
		text += fmt.Sprintf(". What it gives for that is a bound: %s instead of %s, however many processes come", plural(mine, "server connection"), count(theirs))
	} else {
		text += ". What it gives for that is a bound on the server connections, however many processes come"
	}
	return []string{text}
}
