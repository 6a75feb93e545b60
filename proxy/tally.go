package proxy

// tally counts what became of uses of prepared statements in a conversation,
// until the session adds it to what its route counts.
type tally struct{ hits, misses, evictions int64 }

// moveTo adds the tally to the counters, and begins anew.
func (t *tally) moveTo(c *traffic) {
	c.hits.Add(t.hits)
	c.misses.Add(t.misses)
	c.evictions.Add(t.evictions)
	*t = tally{}
}
