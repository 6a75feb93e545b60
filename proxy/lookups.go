package proxy

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// What can be seen of auth_query.

// LookupCounts is what became of lookups of users by auth_query since the start.
type LookupCounts struct {
	// Found and Unknown are questions that databases answered, Failed those that
	// they didn't or not usefully. Logins that wait for the same answer share a
	// question. Remembered is how often a login took an answer of before.
	Found, Unknown, Failed, Remembered int64
}

// lookupCounters count for LookupCounts. Any goroutine writes.
type lookupCounters struct{ found, unknown, failed, remembered atomic.Int64 }

// note counts the answer to a question.
func (c *lookupCounters) note(a found) {
	switch {
	case a.err != nil:
		c.failed.Add(1)
	case a.known:
		c.found.Add(1)
	default:
		c.unknown.Add(1)
	}
}

func (q *inquiries) counts() LookupCounts {
	c := &q.counters
	return LookupCounts{Found: c.found.Load(), Unknown: c.unknown.Load(), Failed: c.failed.Load(), Remembered: c.remembered.Load()}
}

// Lookup is what can be seen of one database that is asked for users at the
// moment, as one auth_user under one configuration.
type Lookup struct {
	Database, User string // of the auth_query
	// Waiting are the logins that wait for an answer, Asking the questions that
	// have none yet.
	Waiting, Asking int
	// Answers are those that are remembered.
	Answers int
	// Open are the connections for it, of which Idle ask nothing.
	Open, Idle int
}

// Lookups returns the databases that are asked for users at the moment, by
// name. Any goroutine may call it.
func (p *Proxy) Lookups() []Lookup {
	q := p.inquiries
	q.mu.Lock()
	at := make(map[inquirySource]*Lookup)
	of := func(key inquirySource) *Lookup {
		if at[key] == nil {
			at[key] = &Lookup{Database: key.database, User: key.user}
		}
		return at[key]
	}
	for key := range q.answers {
		of(key.inquirySource).Answers++
	}
	for key, f := range q.flights {
		l := of(key.inquirySource)
		l.Asking++
		l.Waiting += len(f.sessions)
	}
	for key, servers := range q.sources {
		st, l := servers.Stats(), of(key)
		l.Open, l.Idle = st.Open, st.Idle
	}
	q.mu.Unlock()
	list := make([]Lookup, 0, len(at))
	for _, l := range at {
		list = append(list, *l)
	}
	slices.SortFunc(list, func(a, b Lookup) int {
		return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.User, b.User))
	})
	return list
}
