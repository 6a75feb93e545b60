package state

import (
	"iter"
	"slices"

	"carpool/proxy/wire"
)

// Limits of an answer, so that no server can make it grow.
const (
	maxFoundName = 4 * 64  // bytes of a channel's or statement's name, which is 63 in the server's encoding
	maxFoundLen  = 1 << 20 // bytes of all names and values
	maxSettings  = 2 * MaxFound
)

// Setting is a parameter as a server has it.
type Setting struct {
	// Name is spelled as the server does it; that of a custom parameter is in
	// lower case.
	Name string
	// Value is what set_config takes, in the client_encoding of the session.
	Value string
	// Explicit says that the session has set the parameter. Without it, the
	// Value is what the session began with, or empty for a custom parameter that
	// doesn't exist in the session, and for a parameter that doesn't exist or is hidden from the
	// session's role.
	Explicit bool
}

// Findings collects the rows that answer the query of AppendAudit. The zero
// value has found nothing and is ready; it belongs to one loop.
type Findings struct {
	held       Holdings
	settings   []Setting
	channels   []string
	statements []string
	size       int // bytes of names and values
}

// Reset forgets what was found. Strings and sequences handed out before stay
// good.
func (f *Findings) Reset() { *f = Findings{} }

// Row takes the body of one DataRow. It answers false for what can't be a row
// of such an answer, and for more than there may be: a value longer than
// MaxValueLen, more than MaxFound channels or statements. Then it isn't known
// what the session holds. The body may be used again afterwards.
func (f *Findings) Row(body []byte) bool {
	c := wire.Cursor{Rest: body}
	columns, ok := c.Uint16()
	if !ok || columns != 3 {
		return false
	}
	var column [3][]byte
	for i := range column {
		if column[i], ok = value(&c); !ok {
			return false
		}
	}
	if len(c.Rest) != 0 || len(column[0]) != 1 {
		return false
	}
	f.size += len(column[1]) + len(column[2])
	if f.size > maxFoundLen {
		return false
	}
	return f.found(column[0][0], column[1], column[2])
}

// value reads one value of a DataRow: nil if it is NULL.
func value(c *wire.Cursor) (value []byte, ok bool) {
	const null = 1<<32 - 1
	size, ok := c.Uint32()
	if !ok || size == null {
		return nil, ok
	}
	if uint64(size) > uint64(len(c.Rest)) {
		return nil, false
	}
	return c.Bytes(int(size))
}

// found notes one finding. Its name and value are nil if they are NULL.
func (f *Findings) found(what byte, name, value []byte) bool {
	switch what {
	case foundSetting, foundDefault:
		return f.setting(name, value, what == foundSetting)
	case foundChannel:
		return f.named(HoldsListens, &f.channels, name, value)
	case foundStatement:
		return f.named(HoldsStatements, &f.statements, name, value)
	}
	if name != nil || value != nil {
		return false
	}
	switch what {
	case foundLock:
		f.held |= HoldsAdvisoryLocks
	case foundCursor:
		f.held |= HoldsCursors
	case foundTemporary:
		f.held |= HoldsTemporary
	default:
		return false
	}
	return true
}

// setting notes a parameter.
func (f *Findings) setting(name, value []byte, explicit bool) bool {
	s := Setting{Name: string(name), Value: string(value), Explicit: explicit}
	if !sound(s.Name, s.Value) || transient(s.Name) || value == nil && explicit || len(f.settings) == maxSettings {
		return false
	}
	if explicit {
		f.held |= HoldsParameters
	}
	f.settings = append(f.settings, s)
	return true
}

// named notes something that is held and of which only the name is asked for.
func (f *Findings) named(holds Holdings, list *[]string, name, value []byte) bool {
	if value != nil || len(name) == 0 || len(name) > maxFoundName || slices.Contains(name, 0) || len(*list) == MaxFound {
		return false
	}
	f.held |= holds
	*list = append(*list, string(name))
	return true
}

// Held are the kinds of state that are there, of those that were asked about;
// HoldsParameters if one of the parameters found is set by the session.
func (f *Findings) Held() Holdings { return f.held }

// Settings yields the parameters that were asked for, in no order. One of which
// the question had the name more than once may come more than once.
func (f *Findings) Settings() iter.Seq[Setting] { return slices.Values(f.settings) }

// Channels yields the names of the channels on which the session listens, in
// its client_encoding.
func (f *Findings) Channels() iter.Seq[string] { return slices.Values(f.channels) }

// Statements yields the names of the statements that were prepared by PREPARE,
// in the session's client_encoding.
func (f *Findings) Statements() iter.Seq[string] { return slices.Values(f.statements) }
