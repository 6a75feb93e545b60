package prepared

// Cache lists the statements that one server has, in the order of their last
// use. Every operation takes constant time. It isn't safe for concurrent use.
//
// The list is as long as the server's memory may be charged with; what falls
// out has to be closed on the server. Add says what falls out.
type Cache struct {
	max   int
	index map[*Statement]int32 // place in nodes
	nodes []node               // nodes[0] is the list's head and tail
	free  int32                // first unused node, linked by next; 0 = none
}

// node is a place in the list. Nodes are numbered rather than pointed at: a
// full cache is one slice and one map.
type node struct {
	s          *Statement
	copy       Copy
	prev, next int32 // prev is the more recently used
}

// Copy is what is known of a statement as one server has it. Nothing is known
// of the zero value but that it is there.
type Copy struct {
	// At is the number of its preparation, which no other has.
	At uint64
	// Epoch is which state of the database's schema it was prepared under.
	Epoch uint64
	// Shape is what it returns, as far as anybody has asked.
	Shape Shape
}

// NewCache makes an empty cache for at most size statements; at least 1. It
// holds no memory to speak of until the first Add.
func NewCache(size int) *Cache {
	return &Cache{max: max(size, 1)}
}

// Len is the number of statements listed.
func (c *Cache) Len() int { return len(c.index) }

// Has reports whether the server has s, and if so marks it as the one used
// last. It doesn't allocate.
func (c *Cache) Has(s *Statement) bool {
	i, ok := c.index[s]
	if ok && c.nodes[0].next != i {
		c.unlink(i)
		c.linkAfter(0, i)
	}
	return ok
}

// Copy returns what is known of s, to be changed in place, or nil if the server
// doesn't have it. It is good until the next Add or Restore.
func (c *Cache) Copy(s *Statement) *Copy {
	i, ok := c.index[s]
	if !ok {
		return nil
	}
	return &c.nodes[i].copy
}

// Add lists s as the one used last, with a reference of the cache's own. When
// that makes one too many it returns the least recently used, which is listed
// no more: the caller closes it on the server and then releases the cache's
// reference, which is now the caller's. Otherwise it returns nil. Adding what
// is listed already is the same as Has.
func (c *Cache) Add(s *Statement) (evicted *Statement) {
	if c.Has(s) {
		return nil
	}
	c.insert(0, s)
	return c.Excess()
}

// Restore lists s as the least recently used, with a reference of the cache's
// own, unless it is listed: the server turned out to have it after all, since a
// Close that was sent for it never ran. The cache may then hold more than its
// size; Excess says what to close.
func (c *Cache) Restore(s *Statement) {
	if _, ok := c.index[s]; ok {
		return
	}
	tail := int32(0)
	if len(c.nodes) > 0 {
		tail = c.nodes[0].prev
	}
	c.insert(tail, s)
}

// Excess takes the least recently used statement off the list if the list is
// longer than it should be, and returns it with the cache's reference, or nil.
func (c *Cache) Excess() *Statement {
	if len(c.index) <= c.max {
		return nil
	}
	i := c.nodes[0].prev
	s := c.nodes[i].s
	c.remove(i)
	return s
}

// Remove takes s off the list and releases the cache's reference: the server
// doesn't have it, because its Parse failed or was skipped. It reports whether
// s was listed.
func (c *Cache) Remove(s *Statement) bool {
	i, ok := c.index[s]
	if !ok {
		return false
	}
	c.remove(i)
	s.Release()
	return true
}

// Clear empties the list and releases every reference: the server has no
// statements any more (DISCARD ALL), or is gone.
func (c *Cache) Clear() {
	for s := range c.index {
		s.Release()
	}
	*c = Cache{max: c.max}
}

// insert makes a node for s behind node i.
func (c *Cache) insert(i int32, s *Statement) {
	if c.index == nil {
		c.index = make(map[*Statement]int32)
		c.nodes = make([]node, 1, 8)
	}
	n := c.free
	if n != 0 {
		c.free = c.nodes[n].next
	} else {
		n = int32(len(c.nodes))
		c.nodes = append(c.nodes, node{})
	}
	s.Retain()
	c.nodes[n].s = s
	c.index[s] = n
	c.linkAfter(i, n)
}

// remove takes node i out and keeps it for later use.
func (c *Cache) remove(i int32) {
	c.unlink(i)
	delete(c.index, c.nodes[i].s)
	c.nodes[i] = node{next: c.free}
	c.free = i
}

func (c *Cache) unlink(i int32) {
	n := c.nodes[i]
	c.nodes[n.prev].next = n.next
	c.nodes[n.next].prev = n.prev
}

func (c *Cache) linkAfter(i, n int32) {
	next := c.nodes[i].next
	c.nodes[n].prev, c.nodes[n].next = i, next
	c.nodes[i].next = n
	c.nodes[next].prev = n
}
