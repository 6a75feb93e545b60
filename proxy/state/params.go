package state

import (
	"iter"
	"strings"

	"carpool/proxy/wire"
)

// Params is a set of parameters and their values. It is immutable, and equal
// sets from one Interner are one pointer. nil is the empty set: everything as
// the server has it by default.
type Params struct {
	list []param // sorted by folded name
}

// param is one parameter of a set.
type param struct {
	name  string // as the server spells it, or as the client did
	value string
	// encoding is the client_encoding that the bytes of a value beyond ASCII
	// are in; empty means the database's own. Not used with ASCII values.
	encoding string
}

// Len is the number of parameters.
func (p *Params) Len() int {
	if p == nil {
		return 0
	}
	return len(p.list)
}

// Value returns the value of the parameter called name, whose case doesn't
// matter.
func (p *Params) Value(name string) (string, bool) {
	if i, ok := p.find(name); ok {
		return p.list[i].value, true
	}
	return "", false
}

// All yields the parameters in the order of their names.
func (p *Params) All() iter.Seq[wire.Param] {
	return func(yield func(wire.Param) bool) {
		for i := range p.Len() {
			if !yield(wire.Param{Name: p.list[i].name, Value: p.list[i].value}) {
				return
			}
		}
	}
}

// find returns the place of name, or the place where it would have to be.
func (p *Params) find(name string) (int, bool) {
	lo, hi := 0, p.Len()
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := compareFold(p.list[mid].name, name); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// compareFold compares two names by their lower-case ASCII form, as Postgres
// does with the names of parameters.
func compareFold(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := lower(a[i]), lower(b[i]); x != y {
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// same reports whether two settings of one parameter mean the same to a server.
func same(a, b *param) bool {
	if a.value == b.value {
		return a.encoding == b.encoding
	}
	return spellingIsFree(a.name) && strings.EqualFold(a.value, b.value) && isASCII(a.value) && isASCII(b.value)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
