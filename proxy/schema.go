package proxy

import (
	"bytes"
	"sync/atomic"
)

// schema counts the changes of a database's schema that are known of: those by
// commands that pass through, and those that a server's complaint gives away.
// What was prepared before the last one may return other columns by now.
type schema struct{ epoch atomic.Uint64 }

// now is the present count.
func (c *schema) now() uint64 { return c.epoch.Load() }

// changed counts one more.
func (c *schema) changed() { c.epoch.Add(1) }

var (
	tagAlter      = []byte("ALTER ")
	tagDrop       = []byte("DROP ")
	tagCreateView = []byte("CREATE VIEW") // it may replace one
)

// altersSchema reports whether a command with the tag may have given a
// statement that was prepared before another result. Other CREATEs only add
// what no statement has used. Who has temporary objects mostly drops those.
func altersSchema(tag []byte, temporary bool) bool {
	switch {
	case len(tag) < len(tagDrop):
		return false
	case tag[0] == 'A':
		return bytes.HasPrefix(tag, tagAlter)
	case tag[0] == 'D':
		return !temporary && bytes.HasPrefix(tag, tagDrop)
	}
	return bytes.HasPrefix(tag, tagCreateView)
}
