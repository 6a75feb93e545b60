package proxy

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"carpool/config"
	"carpool/proxy/state"
)

// Pin is a client that keeps its server because of what it has left there.
type Pin struct {
	Client, Database, User, Application string
	// Since is how long it has kept the server.
	Since time.Duration
	// Kinds are the kinds of state, by the names of their settings.
	Kinds []string
	// Cause is the first words of the first statement that did it, without
	// literals.
	Cause string
	// ServerPID is the server's process.
	ServerPID uint32
}

// Hazard is a kind of state that clients have left in the sessions of servers.
type Hazard struct {
	Kind                        config.StateKind
	Database, User, Application string
	Times                       int64
	// Cause is the first words of the last statement that did it.
	Cause string
}

// hazardKey is whom and what a hazard is counted by.
type hazardKey struct {
	kind                        config.StateKind
	database, user, application string
}

// hazards keeps account of what clients leave behind. It is off the path of
// ordinary transactions; any goroutine may use it.
type hazards struct {
	mu     sync.Mutex
	pinned map[*session]*Pin
	start  map[*session]time.Duration
	counts map[hazardKey]*Hazard
}

// maxHazards is how many hazards are told apart by application; beyond it they
// are counted by kind, database and user alone, and beyond twice as many by kind.
const maxHazards = 1000

// otherNames stands for the names that aren't told apart.
const otherNames = "others"

// found notes kinds of state that a session has left behind, or may have.
func (h *hazards) found(s *session, kinds state.Holdings, r *residue) {
	application, _ := s.params.Value("application_name")
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counts == nil {
		h.counts = make(map[hazardKey]*Hazard)
	}
	for kind := range kindsIn(kinds) {
		one := h.countLocked(hazardKey{kind, s.route.database, s.account.name, application})
		one.Times++
		one.Cause = r.causes[kind]
	}
}

// countLocked is where a hazard is counted.
func (h *hazards) countLocked(k hazardKey) *Hazard {
	if h.counts[k] == nil && len(h.counts) >= maxHazards {
		k.application = otherNames
	}
	if h.counts[k] == nil && len(h.counts) >= 2*maxHazards {
		k.database, k.user = otherNames, otherNames
	}
	one := h.counts[k]
	if one == nil {
		one = &Hazard{Kind: k.kind, Database: k.database, User: k.user, Application: k.application}
		h.counts[k] = one
	}
	return one
}

// pin notes that a session keeps its server.
func (h *hazards) pin(s *session, p *Pin, since time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pinned == nil {
		h.pinned = make(map[*session]*Pin)
		h.start = make(map[*session]time.Duration)
	}
	h.pinned[s], h.start[s] = p, since
}

// unpin notes that it doesn't any more.
func (h *hazards) unpin(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.pinned, s)
	delete(h.start, s)
}

// Pins returns the clients that keep their servers, the longest first. Any
// goroutine may call it.
func (p *Proxy) Pins() []Pin {
	h, now := &p.hazards, p.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Pin, 0, len(h.pinned))
	for s, pin := range h.pinned {
		one := *pin
		one.Since = now - h.start[s]
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Pin) int {
		return cmp.Or(cmp.Compare(b.Since, a.Since), cmp.Compare(a.Client, b.Client))
	})
	return list
}

// Hazards returns what clients have left behind since the start, the most
// frequent first. Any goroutine may call it.
func (p *Proxy) Hazards() []Hazard {
	h := &p.hazards
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Hazard, 0, len(h.counts))
	for _, one := range h.counts {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b Hazard) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Application, b.Application))
	})
	return list
}
