package proxy

import (
	"iter"
	"maps"
)

// UserView is what can be seen of one user, by whom clients or servers are
// logged in.
type UserView struct {
	Name             string
	Servers, Clients int
}

// maxUserViews bounds how many users are shown that aren't there.
const maxUserViews = 10_000

// Users returns the users that have a client or a server, and those that the
// configuration and the user list name, the latter up to some thousands. Any
// goroutine may call it.
func (p *Proxy) Users() []UserView {
	p.routesMu.Lock()
	n := p.current.Load()
	tenants := make([]*tenant, 0, len(p.users))
	for _, t := range p.users {
		tenants = append(tenants, t)
	}
	p.routesMu.Unlock()
	seen := make(map[string]bool, len(tenants))
	list := make([]UserView, 0, len(tenants))
	for _, t := range tenants {
		servers, _ := p.pools.QuotaUse(t.quota)
		list = append(list, UserView{Name: t.name, Servers: servers, Clients: int(t.clients.Load())})
		seen[t.name] = true
	}
	for _, names := range []iter.Seq[string]{maps.Keys(n.Users), maps.Keys(n.static), n.userList.Names()} {
		for name := range names {
			if !seen[name] && len(list) < maxUserViews {
				seen[name] = true
				list = append(list, UserView{Name: name})
			}
		}
	}
	return list
}
