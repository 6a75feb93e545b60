package proxy

import (
	"sync/atomic"
	"time"

	"carpool/config"
	"carpool/pool"
)

// tenant is a database or a user, with limits over all its routes.
type tenant struct {
	name       string
	quota      *pool.Quota
	clients    atomic.Int64
	maxClients atomic.Int64               // 0: no limit
	limits     atomic.Pointer[timeLimits] // of a user's clients; nil if there are none
	schema     schema                     // of a database

	// Guarded by routesMu.
	maxServers int // quota's limit
	routes     int // those it is a party to
}

// hold counts one more route that the tenant is a party to. The caller holds
// routesMu.
func (t *tenant) hold() *tenant {
	t.routes++
	return t
}

// databaseLocked returns the tenant of a database.
func (p *Proxy) databaseLocked(n *settings, d *config.Database) *tenant {
	t, ok := p.databases[d.Name]
	if !ok {
		t = &tenant{name: d.Name}
		t.quota = pool.NewQuota(t.name, t.databaseLimits(n, d))
		p.databases[d.Name] = t
	}
	return t
}

// userLocked returns the tenant of a user, who needn't be known to the
// configuration.
func (p *Proxy) userLocked(n *settings, name string) *tenant {
	t, ok := p.users[name]
	if !ok {
		t = &tenant{name: name}
		t.quota = pool.NewQuota(name, t.userLimits(n))
		p.users[name] = t
	}
	return t
}

// databaseLimits sets the limits of a database, and returns the one that its
// quota is to have.
func (t *tenant) databaseLimits(n *settings, d *config.Database) (maxServers int) {
	l := n.Resolve(d, d.User)
	t.maxClients.Store(int64(l.MaxDBClientConnections))
	t.maxServers = l.MaxDBConnections
	return t.maxServers
}

// userLimits sets the limits of a user, and returns the one that its quota is
// to have.
func (t *tenant) userLimits(n *settings) (maxServers int) {
	l := n.Resolve(&config.Database{}, t.name)
	t.maxClients.Store(int64(l.MaxUserClientConnections))
	t.limits.Store(timeLimitsOf(l))
	t.maxServers = l.MaxUserConnections
	return t.maxServers
}

// enterAccount counts a client of a user who has logged in, if there is room
// for one more.
func (p *Proxy) enterAccount(user string) (account *tenant, ok bool) {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	t := p.userLocked(p.current.Load(), user)
	if limit := t.maxClients.Load(); limit > 0 && t.clients.Load() >= limit {
		return t, false
	}
	t.clients.Add(1)
	return t, true
}

// leaveAccount takes back one enterAccount.
func (p *Proxy) leaveAccount(t *tenant) {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	t.clients.Add(-1)
	p.forgetUserLocked(t)
}

// forgetUserLocked forgets a user that has no client, and that no server is
// logged in as: where nobody has to prove who he is, their names are anything.
func (p *Proxy) forgetUserLocked(t *tenant) {
	if t.clients.Load() == 0 && t.routes == 0 && p.users[t.name] == t {
		delete(p.users, t.name)
	}
}

// timeLimits are the limits on the clients of one user. 0 is no limit.
type timeLimits struct {
	query           time.Duration
	idleTransaction time.Duration
	transaction     time.Duration
	clientIdle      time.Duration
}

func timeLimitsOf(l config.Resolved) *timeLimits {
	t := timeLimits{
		query: l.QueryTimeout, idleTransaction: l.IdleTransactionTimeout,
		transaction: l.TransactionTimeout, clientIdle: l.ClientIdleTimeout,
	}
	if t == (timeLimits{}) {
		return nil
	}
	return &t
}
