package proxy

import (
	"bytes"
	"sync/atomic"

	"carpool/proxy/state"
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
	tagAlter  = []byte("ALTER ")
	tagDrop   = []byte("DROP ")
	tagCreate = []byte("CREATE ")
	// Of these no text can be about anything else than before.
	tagsHarmless = [...][]byte{[]byte("CREATE INDEX"), []byte("CREATE ROLE"), []byte("CREATE TRIGGER"), []byte("CREATE STATISTICS")}
)

// altersSchema reports whether a command with the tag may have given a text
// another meaning, or a statement that was prepared before another result. What
// is created may hide what was meant until then, in a schema further down the
// search_path. Who has temporary objects mostly creates and drops those.
func altersSchema(tag []byte, temporary bool) bool {
	switch {
	case len(tag) < len(tagDrop):
		return false
	case tag[0] == 'A':
		return bytes.HasPrefix(tag, tagAlter)
	case tag[0] == 'D':
		return !temporary && bytes.HasPrefix(tag, tagDrop)
	}
	if temporary || !bytes.HasPrefix(tag, tagCreate) {
		return false
	}
	for _, harmless := range tagsHarmless {
		if bytes.HasPrefix(tag, harmless) {
			return false
		}
	}
	return true
}

// changes reports whether the next statement of d to be completed has an effect
// of the kind k.
func (d *deeds) changes(k state.Kind) bool {
	if d == nil {
		return false
	}
	for i := range d.effects {
		if e := &d.effects[i]; e.Kind == k && e.Statement == d.completed {
			return true
		}
	}
	return false
}
