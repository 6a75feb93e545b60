package proxy

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"carpool/proxy/notify"
	"carpool/proxy/upstream"
	"carpool/proxy/wire"
)

// The hubs: one for each route whose clients listen, made when the first one
// does. A hub ends with its route, or with the proxy.

// hubName is how a hub's connection is called on the server.
const hubName = "carpool listen"

// listenHub returns the hub of the route, nil when the route has ended. Any
// goroutine may call it.
func (r *route) listenHub() *notify.Hub {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hub == nil && !r.hubEnded {
		log := r.proxy.log.With("database", r.database, "user", r.terms.Load().user)
		r.hub = notify.New(r.dialHub, log) // closed by endHub
	}
	return r.hub
}

// dialHub opens a hub's connection, the way that servers are opened now.
func (r *route) dialHub(ctx context.Context) (*notify.Conn, error) {
	if err := r.proxy.awaitResumed(ctx, r.database); err != nil {
		return nil, err
	}
	up, err := upstream.Dial(ctx, r.terms.Load().dest.target, []wire.Param{{Name: "application_name", Value: hubName}})
	if err != nil {
		return nil, err
	}
	return &notify.Conn{FD: up.FD, TLS: up.TLS, Rest: up.Rest, PID: up.PID}, nil
}

// reopenHub has the hub, if there is one, dial anew.
func (r *route) reopenHub() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hub != nil {
		r.hub.Reopen()
	}
}

// endHub ends the route's hub and sees to it that there is no other. It blocks
// until no session is called any more.
func (r *route) endHub() {
	r.mu.Lock()
	hub := r.hub
	r.hub, r.hubEnded = nil, true
	r.mu.Unlock()
	if hub != nil {
		hub.Close()
	}
}

// endHubs ends the hubs of all routes.
func (p *Proxy) endHubs() {
	var wait sync.WaitGroup
	for _, r := range p.allRoutes() {
		wait.Go(r.endHub)
	}
	wait.Wait()
}

// allRoutes are the routes that there are, those that have ended too.
func (p *Proxy) allRoutes() []*route {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	list := slices.Clone(p.ended)
	for _, r := range p.routes {
		list = append(list, r)
	}
	return list
}

// ListenStat is what can be seen of one hub: the connection that listens for the
// clients of one pool. Counts are since the pool was opened.
type ListenStat struct {
	Database, User string
	Channels       int    // that are listened on
	Listeners      int    // clients that listen through it
	Delivered      uint64 // notifications, once for every client that got one
	Gaps           uint64 // losses of the connection while somebody listened
	Connected      bool
	ServerPID      uint32 // 0 when not connected
}

// ListenStats returns what can be seen of every hub, by database and user. Any
// goroutine may call it.
func (p *Proxy) ListenStats() []ListenStat {
	var list []ListenStat
	for _, r := range p.allRoutes() {
		r.mu.Lock()
		hub := r.hub
		r.mu.Unlock()
		if hub == nil {
			continue
		}
		st := hub.Stats()
		list = append(list, ListenStat{
			Database: r.database, User: r.terms.Load().user,
			Channels: st.Channels, Listeners: st.Listeners, Delivered: st.Delivered, Gaps: st.Gaps,
			Connected: st.Connected, ServerPID: st.PID,
		})
	}
	slices.SortFunc(list, func(a, b ListenStat) int {
		return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.User, b.User))
	})
	return list
}
