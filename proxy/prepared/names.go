package prepared

import "strings"

// maxName is how many bytes of a statement's name count: Postgres keeps its
// prepared statements in a hash table with keys of NAMEDATALEN bytes and
// compares no further.
const maxName = 63

// Name is what a client knows of a statement that it has prepared under a name.
// It stays the same value until the client gives the name up.
type Name struct {
	Statement *Statement
	// At is the preparation that the client has been told the shape of, or is
	// about to be; 0: none.
	At uint64
	// Shape is what the client was told the statement returns; its Rows are 0 if
	// it doesn't know.
	Shape Shape
	// Whole: it was told of the statement, and not just of a portal.
	Whole bool
	// Home is under what the client has prepared it; nil if that isn't known.
	Home *Meaning
	// Seen is under what Statement was chosen; nil if it has to be again.
	Seen *Meaning
}

// Names is what one client calls its prepared statements. The zero value is
// empty, ready, and holds no memory until the first Set. Names longer than 63
// bytes are equal if their first 63 bytes are, as in Postgres. It isn't safe
// for concurrent use.
type Names struct {
	statements map[string]*Name
	bytes      int64
}

// Lookup returns the statement that the client calls name. It allocates
// nothing and takes no reference: the result is good until the name is deleted
// or set anew.
func (n *Names) Lookup(name []byte) (*Name, bool) {
	s, ok := n.statements[string(name[:min(len(name), maxName)])]
	return s, ok
}

// Set makes name stand for s, of which the client knows nothing yet, with a
// reference of its own, and releases what the name stood for before.
func (n *Names) Set(name string, s *Statement) *Name {
	one := &Name{Statement: s}
	n.Put(name, one)
	return one
}

// Put is Set with what the client knows.
func (n *Names) Put(name string, one *Name) {
	if len(name) > maxName {
		name = strings.Clone(name[:maxName]) // the rest needn't stay in memory
	}
	one.Statement.Retain()
	if old, ok := n.statements[name]; ok {
		old.Statement.Release()
	} else {
		n.bytes += nameSize(name)
	}
	if n.statements == nil {
		n.statements = make(map[string]*Name)
	}
	n.statements[name] = one
}

// Become makes the name stand for another statement, for which it takes a
// reference, without a change of what the client knows.
func (n *Name) Become(s *Statement) {
	s.Retain()
	n.Statement.Release()
	n.Statement = s
}

// Delete forgets name and releases its statement. It reports whether the name
// stood for one.
func (n *Names) Delete(name []byte) bool {
	name = name[:min(len(name), maxName)]
	s, ok := n.statements[string(name)]
	if !ok {
		return false
	}
	n.bytes -= nameSize(string(name))
	delete(n.statements, string(name))
	s.Statement.Release()
	return true
}

// Clear forgets all names and releases their statements and the memory. A
// client that leaves must be cleared.
func (n *Names) Clear() {
	for _, s := range n.statements {
		s.Statement.Release()
	}
	*n = Names{}
}

// Len is the number of names.
func (n *Names) Len() int { return len(n.statements) }

// Bytes is about how many bytes of memory the names take, without what they
// stand for.
func (n *Names) Bytes() int64 { return n.bytes }

func nameSize(name string) int64 {
	const overhead = 96 // a place in the map, the Name
	return int64(len(name) + overhead)
}
