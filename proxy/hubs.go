package proxy

import (
	"cmp"
	"slices"
	"sync"

	"carpool/proxy/notify"
)

// The hubs: one for each database whose clients listen, whichever users they
// are, made when the first one does. LISTEN needs no right but that to log in,
// and all routes to a database lead to the same servers: a reload changes where
// in one step for all of them. So it doesn't matter to a client whose login its
// notifications come by; see hublogin.go for whose that is.
//
// What holds whenever mu isn't held:
//
//  1. A session has a hub (listening.hub) exactly while it is counted at it, under
//     the route that it is on.
//  2. A hub is that of its database as long as a route to the database or a session
//     that is counted is left. So a session never goes from one hub to another,
//     though it may go over from one route to another.
//  3. A connection is logged in by what a route has that is known to the
//     configuration, and by what it has now: when that ends the connection is opened
//     anew, and those who listen are told of the gap.

// hubs are the hubs of a proxy. The zero value has none. Any goroutine may call
// its methods; only end blocks. routesMu may be held.
type hubs struct {
	mu    sync.Mutex
	list  map[string]*databaseHub // by database
	ended bool
}

// databaseHub is the hub of a database.
type databaseHub struct {
	// Immutable.
	proxy    *Proxy
	database string
	hub      *notify.Hub

	// Guarded by the mu of hubs.
	listening map[*route]int // sessions that are counted, by their routes; no zeros
	login     *route         // whose login the connection has, or the dial under way; nil is none
	next      uint64         // serial of the route that is asked first for a login
	joined    chan struct{}  // closed when a session joins; nil if nobody waits for that
}

// join counts a session that is on a route, and returns the hub for it; nil when
// the proxy ends.
func (h *hubs) join(r *route) *notify.Hub {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return nil
	}
	d := h.list[r.database]
	if d == nil {
		d = &databaseHub{proxy: r.proxy, database: r.database, listening: make(map[*route]int)}
		d.hub = notify.New(d.dial, r.proxy.log.With("database", r.database)) // closed by forget or end
		if h.list == nil {
			h.list = make(map[string]*databaseHub)
		}
		h.list[r.database] = d
	}
	d.countLocked(r, 1)
	return d.hub
}

// leave takes back join.
func (h *hubs) leave(r *route) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.list[r.database]; d != nil {
		d.countLocked(r, -1)
	}
}

// follow counts a session under the route that it goes over to.
func (h *hubs) follow(from, to *route) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.list[from.database]; d != nil {
		d.countLocked(to, 1)
		d.countLocked(from, -1)
	}
}

func (d *databaseHub) countLocked(r *route, n int) {
	if d.listening[r] += n; d.listening[r] == 0 {
		delete(d.listening, r)
	}
	if n > 0 && d.joined != nil {
		close(d.joined)
		d.joined = nil
	}
}

// reopen has the hub of a database, or all of them (""), dial anew.
func (h *hubs) reopen(database string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, d := range h.list {
		if database == "" || name == database {
			d.hub.Reopen()
		}
	}
}

// forget ends the hub of a database to which no route leads any more, so that no
// session is counted there. It waits on a goroutine of the proxy's.
func (h *hubs) forget(p *Proxy, database string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.list[database]; d != nil {
		delete(h.list, database)
		p.tasks.Go(d.hub.Close)
	}
}

// end ends all hubs and sees to it that there are no others. It blocks until no
// session is called any more.
func (h *hubs) end() {
	h.mu.Lock()
	list := h.list
	h.list, h.ended = nil, true
	h.mu.Unlock()
	var wait sync.WaitGroup
	for _, d := range list {
		wait.Go(d.hub.Close)
	}
	wait.Wait()
}

// ListenStat is what can be seen of one hub: the connection that listens for the
// clients of one database. Counts are since the first of them listened.
type ListenStat struct {
	Database  string
	User      string // whom the connection is logged in as; empty when not connected
	Channels  int    // that are listened on
	Listeners int    // clients that listen through it
	Delivered uint64 // notifications, once for every client that got one
	Gaps      uint64 // losses of the connection while somebody listened
	Connected bool
	ServerPID uint32 // 0 when not connected
}

// ListenStats returns what can be seen of every hub, by database. Any goroutine
// may call it.
func (p *Proxy) ListenStats() []ListenStat {
	h := &p.hubs
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []ListenStat
	for _, d := range h.list {
		st := d.hub.Stats()
		user := ""
		if d.login != nil && st.Connected {
			user = d.login.terms.Load().user
		}
		list = append(list, ListenStat{
			Database: d.database, User: user,
			Channels: st.Channels, Listeners: st.Listeners, Delivered: st.Delivered, Gaps: st.Gaps,
			Connected: st.Connected, ServerPID: st.PID,
		})
	}
	slices.SortFunc(list, func(a, b ListenStat) int { return cmp.Compare(a.Database, b.Database) })
	return list
}
