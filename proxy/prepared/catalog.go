package prepared

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"carpool/proxy/wire"
)

// Catalog holds every statement that is referred to, each once. It is shared
// by all clients and servers of a process and safe for concurrent use. It is
// bounded by its users: a statement nobody refers to any more is gone at once.
type Catalog struct {
	prefix string // immutable

	preparations atomic.Uint64

	mu         sync.Mutex
	statements map[identity]*Statement
	last       uint64 // number in the newest name
	bytes      int64
}

// identity is what makes two statements the same.
type identity struct{ dialect, rest string }

// NewCatalog makes an empty catalog. Server-side names are prefix, an
// underscore and a number that is never used again. The prefix should differ
// between processes, so that two poolers in a row don't trip over each other's
// statements, and be short: a name has at most 63 bytes.
func NewCatalog(prefix string) *Catalog {
	return &Catalog{prefix: prefix, statements: make(map[identity]*Statement)}
}

// Intern returns the statement that the given bytes stand for: the body of a
// Parse message after the name, as wire.ParseStatement cuts it. Equal bytes
// give the same Statement as long as it is referred to. The caller gets a
// reference and has to Release it. rest is copied if need be, never kept.
func (c *Catalog) Intern(rest []byte) *Statement { return c.InternIn("", rest) }

// InternIn is Intern for bytes whose meaning depends on how they are read, such
// as the character encoding: the same bytes in two dialects are two statements.
func (c *Catalog) InternIn(dialect string, rest []byte) *Statement {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.statements[identity{dialect, string(rest)}]; ok {
		s.refs.Add(1)
		return s
	}
	return c.addLocked(&Statement{dialect: dialect, rest: string(rest), varies: varies(rest), sensitivity: SensitivityOf(rest)})
}

// In returns the statement of the same bytes in another dialect, with a
// reference for the caller. around is only called if there is none yet: it
// returns commands to be executed before and behind each preparation, or
// nothing.
func (s *Statement) In(dialect string, around func() (ahead, behind string)) *Statement {
	c := s.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	if other, ok := c.statements[identity{dialect, s.rest}]; ok {
		other.refs.Add(1)
		return other
	}
	other := &Statement{dialect: dialect, rest: s.rest, varies: s.varies, sensitivity: s.sensitivity}
	other.ahead, other.behind = around()
	return c.addLocked(other)
}

// addLocked lists a new statement.
func (c *Catalog) addLocked(s *Statement) *Statement {
	c.last++
	s.catalog, s.name = c, c.prefix+"_"+strconv.FormatUint(c.last, 10)
	s.refs.Store(1)
	c.statements[identity{s.dialect, s.rest}] = s
	c.bytes += s.size()
	return s
}

// Preparation is a number for the next preparation of a statement on a server,
// and for no other; never 0.
func (c *Catalog) Preparation() uint64 { return c.preparations.Add(1) }

// Len is the number of statements that are found.
func (c *Catalog) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.statements)
}

// Bytes is about how many bytes of memory the statements take.
func (c *Catalog) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// Statement is one prepared statement under the name it has on every server.
// It is immutable but for the count of references to it, which may be changed
// from any goroutine.
type Statement struct {
	catalog *Catalog
	name    string
	dialect string
	rest    string // body of Parse after the name
	varies  bool
	refs    atomic.Int64

	sensitivity   Sensitivity
	ahead, behind string
}

// Dialect is what it was interned in.
func (s *Statement) Dialect() string { return s.dialect }

// Sensitivity is what its meaning depends on.
func (s *Statement) Sensitivity() Sensitivity { return s.sensitivity }

// Around are commands to be executed before and behind its preparation on a
// server; empty if there are none.
func (s *Statement) Around() (ahead, behind string) { return s.ahead, s.behind }

// Name is the statement's name on servers.
func (s *Statement) Name() string { return s.name }

// Varies reports whether the statement has no shape of its own: what FETCH and
// EXECUTE return depends on what is called by that name at the time, and servers
// don't compare it.
func (s *Statement) Varies() bool { return s.varies }

func varies(rest []byte) bool {
	text := bytes.TrimLeft(rest[:min(len(rest), 80)], " \t\r\n\f")
	for _, verb := range []string{"fetch", "execute"} {
		if len(text) >= len(verb) && strings.EqualFold(string(text[:len(verb)]), verb) {
			return true
		}
	}
	return false
}

// SQL returns the query's text, and whether it was given types for its
// parameters, which no PREPARE can be written with.
func (s *Statement) SQL() (text string, typed bool) {
	text, types, _ := strings.Cut(s.rest, "\x00")
	return text, len(types) > 2 && strings.Trim(types[2:], "\x00") != ""
}

// AppendParse appends a whole Parse message that prepares the statement under
// its server-side name.
func (s *Statement) AppendParse(dst []byte) []byte {
	dst = wire.AppendHeader(dst, wire.Parse, len(s.name)+1+len(s.rest))
	dst = wire.AppendString(dst, s.name)
	return append(dst, s.rest...)
}

// AppendUnnamedParse appends a whole Parse message that makes the statement the
// server's unnamed one.
func (s *Statement) AppendUnnamedParse(dst []byte) []byte {
	dst = wire.AppendHeader(dst, wire.Parse, 1+len(s.rest))
	return append(append(dst, 0), s.rest...)
}

// AppendClose appends a Close message for the statement.
func (s *Statement) AppendClose(dst []byte) []byte {
	dst = wire.AppendHeader(dst, wire.Close, 1+len(s.name)+1)
	return wire.AppendString(append(dst, 'S'), s.name)
}

// Retain takes another reference. Only who holds one may call it.
func (s *Statement) Retain() { s.refs.Add(1) }

// Release gives a reference back; with the last one the statement leaves the
// catalog, and the same bytes get a new name when they come again.
func (s *Statement) Release() {
	// Only the last reference needs the lock: Intern must not find a statement
	// that is about to leave.
	for {
		n := s.refs.Load()
		if n <= 1 {
			break
		}
		if s.refs.CompareAndSwap(n, n-1) {
			return
		}
	}
	c := s.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	switch n := s.refs.Add(-1); {
	case n == 0:
		delete(c.statements, identity{s.dialect, s.rest})
		c.bytes -= s.size()
	case n < 0:
		panic("prepared: statement released more often than retained")
	}
}

// size is about how many bytes the statement takes in memory.
func (s *Statement) size() int64 {
	const overhead = 128 // the struct, its place in the map, rounding
	return int64(len(s.name) + len(s.dialect) + len(s.rest) + len(s.ahead) + len(s.behind) + overhead)
}
