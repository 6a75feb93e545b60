package pool

import "time"

// Tickets and items are each in two lists at once: their account's and their
// lane's. The lists are intrusive, so that joining one allocates nothing.
const (
	inAccount = 0
	inLane    = 1
)

type ticketLink[S comparable] struct{ prev, next *Ticket[S] }

// queue is a list of tickets in order of seq.
type queue[S comparable] struct {
	head, tail *Ticket[S]
	n          int
	by         int // which link of the tickets is used
}

// insert puts t in its place; it looks for it from whichever end is nearer: a
// new ticket goes to the back at once, one that keeps an old place is near the
// front.
func (q *queue[S]) insert(t *Ticket[S]) {
	var prev, next *Ticket[S]
	if q.tail == nil || q.tail.seq < t.seq {
		prev = q.tail
	} else {
		for next = q.head; next.seq < t.seq; next = next.link[q.by].next {
		}
		prev = next.link[q.by].prev
	}
	t.link[q.by] = ticketLink[S]{prev, next}
	if prev == nil {
		q.head = t
	} else {
		prev.link[q.by].next = t
	}
	if next == nil {
		q.tail = t
	} else {
		next.link[q.by].prev = t
	}
	q.n++
}

func (q *queue[S]) remove(t *Ticket[S]) {
	k := t.link[q.by]
	if k.prev == nil {
		q.head = k.next
	} else {
		k.prev.link[q.by].next = k.next
	}
	if k.next == nil {
		q.tail = k.prev
	} else {
		k.next.link[q.by].prev = k.prev
	}
	t.link[q.by] = ticketLink[S]{}
	q.n--
}

// itemState is where an item is in its life.
type itemState uint8

const (
	itemLoose  itemState = iota // in the hand of the ledger, within one event
	itemIdle                    // on the shelves of its account and lane
	itemLeased                  // lent
	itemClosed                  // gone
)

// item is an open value.
type item[S comparable] struct {
	value S
	acct  *account[S]
	lane  *lane[S]

	state   itemState
	retired bool
	term    uint64 // counts leases, so that a stale copy of a lease is told from the current one
	home    int    // written by the lessee, read while idle

	born      time.Duration
	spread    float64 // the part of Settings.Lifetime this item goes without
	idleSince time.Duration
	link      [2]itemLink[S]
}

// expiry is when the item's lifetime is over.
func (it *item[S]) expiry() time.Duration {
	lifetime := it.acct.set.Lifetime
	if lifetime <= 0 {
		return never
	}
	return it.born + lifetime - time.Duration(it.spread*float64(lifetime))
}

type itemLink[S comparable] struct{ newer, older *item[S] }

// shelf is a list of idle items, the one used last first.
type shelf[S comparable] struct {
	newest, oldest *item[S]
	n              int
	by             int // which link of the items is used
}

// put adds an item that becomes idle now.
func (s *shelf[S]) put(it *item[S]) {
	it.link[s.by] = itemLink[S]{older: s.newest}
	if s.newest == nil {
		s.oldest = it
	} else {
		s.newest.link[s.by].newer = it
	}
	s.newest = it
	s.n++
}

func (s *shelf[S]) take(it *item[S]) {
	k := it.link[s.by]
	if k.newer == nil {
		s.newest = k.older
	} else {
		k.newer.link[s.by].older = k.older
	}
	if k.older == nil {
		s.oldest = k.newer
	} else {
		k.older.link[s.by].newer = k.newer
	}
	it.link[s.by] = itemLink[S]{}
	s.n--
}
