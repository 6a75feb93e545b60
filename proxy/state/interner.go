package state

import (
	"encoding/binary"
	"runtime"
	"slices"
	"strings"
	"sync"
	"weak"

	"carpool/proxy/wire"
)

// Limits of one set, so that nobody can make it grow: not a client by its
// start-up packet, nor a server by what it reports.
const (
	// MaxParams is the largest number of parameters in a set: as many as a
	// start-up packet may bring, and those that servers report besides.
	MaxParams = 128 + 64
	// MaxValueLen is the length of the longest value in bytes.
	MaxValueLen = 16 << 10
	// maxSetLen limits the names and values of a set together, in bytes.
	maxSetLen = 64 << 10
)

// Interner makes sets of parameters and sees to it that equal sets are one
// pointer. It is shared by all sessions and safe for concurrent use; the zero
// value is ready. A set that no session and no server refers to is left to the
// garbage collector, so what clients have set in the past takes no memory.
type Interner struct {
	mu   sync.Mutex
	sets map[string]weak.Pointer[Params] // by the bytes that appendKey writes
	key  []byte                          // scratch
}

// Of returns the set of the given parameters; of those with the same name, the
// last counts. It answers false when the set is beyond the limits or a
// parameter can't be one: a name that isn't a parameter's name, a value that is
// too long or holds a zero byte. Non-ASCII values are taken to be in the
// database's own encoding, as Postgres takes those of a start-up packet.
func (i *Interner) Of(params []wire.Param) (*Params, bool) {
	var list []param
	for _, p := range params {
		if !sound(p.Name, p.Value) {
			return nil, false
		}
		list = insert(list, param{name: p.Name, value: p.Value})
	}
	return i.intern(list)
}

// With returns p with the parameter name set to value, in these spellings. It
// answers p and false when that is beyond the limits, as in Of; then what p is
// thought to describe isn't known any more. A value beyond ASCII is taken to be
// in the client_encoding of p.
func (i *Interner) With(p *Params, name, value string) (*Params, bool) {
	if !sound(name, value) {
		return p, false
	}
	next := param{name: name, value: value}
	if !isASCII(value) {
		next.encoding, _ = p.Value("client_encoding")
	}
	var list []param
	if p != nil {
		if at, ok := p.find(name); ok && p.list[at] == next {
			return p, true
		}
		list = slices.Clone(p.list)
	}
	out, ok := i.intern(insert(list, next))
	if !ok {
		return p, false
	}
	return out, true
}

// Without returns p without the parameter name.
func (i *Interner) Without(p *Params, name string) *Params {
	at, ok := p.find(name)
	if !ok {
		return p
	}
	out, _ := i.intern(slices.Delete(slices.Clone(p.list), at, at+1))
	return out
}

// Reset returns p with the parameter name as a RESET leaves it: without it, or
// empty if it is a custom one. It answers p without it and false when that is
// beyond the limits, as in Of.
func (i *Interner) Reset(p *Params, name string) (*Params, bool) {
	if !custom(name) {
		return i.Without(p, name), true
	}
	out, ok := i.With(p, name, "")
	if !ok {
		return i.Without(p, name), false
	}
	return out, true
}

// ResetAll returns p with the parameters that aren't in kept as a RESET leaves
// them.
func (i *Interner) ResetAll(p, kept *Params) *Params {
	out := p
	for n := range p.Len() {
		name := p.list[n].name
		if _, ok := kept.find(name); !ok {
			out, _ = i.Reset(out, name)
		}
	}
	return out
}

// Settle returns what both sides have after AppendReplay's query has taken a
// server to client: client's parameters, but in the server's spelling. server
// is what the server has as far as it has reported it, up to the end of the
// query, and reported what it reported at its login, of which only the names
// count: it says so when one of these changes, so where it was silent, the value
// it has is what the client's means ("ISO" where it has "ISO, MDY").
func (i *Interner) Settle(client, server, reported *Params) *Params {
	if client == server || client == nil {
		return client
	}
	list := slices.Clone(client.list)
	for n := range list {
		if _, ok := reported.find(list[n].name); !ok {
			continue
		}
		if at, ok := server.find(list[n].name); ok {
			list[n] = server.list[at]
		}
	}
	out, ok := i.intern(list)
	if !ok {
		return client
	}
	return out
}

// Len is the number of different sets that are in use, or were until the last
// garbage collection.
func (i *Interner) Len() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.sets)
}

// intern returns the one set that has list for its content. list is kept.
func (i *Interner) intern(list []param) (*Params, bool) {
	if len(list) == 0 {
		return nil, true
	}
	if len(list) > MaxParams {
		return nil, false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key = appendKey(i.key[:0], list)
	if len(i.key) > maxSetLen {
		i.key = nil
		return nil, false
	}
	if p := i.sets[string(i.key)].Value(); p != nil {
		return p, true
	}
	for n := range list {
		// A value may be a part of something larger, such as a start-up packet.
		list[n].name, list[n].value = strings.Clone(list[n].name), strings.Clone(list[n].value)
	}
	p := &Params{list: slices.Clip(list)}
	if i.sets == nil {
		i.sets = make(map[string]weak.Pointer[Params])
	}
	key := string(i.key)
	i.sets[key] = weak.Make(p)
	runtime.AddCleanup(p, i.drop, key)
	return p, true
}

// drop forgets the set with the given key after the collector has taken it,
// unless an equal one has been made since.
func (i *Interner) drop(key string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.sets[key].Value() == nil {
		delete(i.sets, key)
	}
}

// insert puts p in its place in the sorted list, instead of one with the same
// name.
func insert(list []param, p param) []param {
	at, found := (&Params{list: list}).find(p.name)
	if found {
		list[at] = p
		return list
	}
	return slices.Insert(list, at, p)
}

// appendKey writes the content of a list such that different lists differ.
func appendKey(dst []byte, list []param) []byte {
	for i := range list {
		for _, s := range [...]string{list[i].name, list[i].value, list[i].encoding} {
			dst = binary.AppendUvarint(dst, uint64(len(s)))
			dst = append(dst, s...)
		}
	}
	return dst
}

// sound reports whether a parameter can be part of a set at all. An encoding's
// name is ASCII, since AppendReplay has to write it where all must be.
func sound(name, value string) bool {
	return validName(name) && len(value) <= MaxValueLen && strings.IndexByte(value, 0) < 0 &&
		(isASCII(value) || compareFold(name, "client_encoding") != 0)
}
