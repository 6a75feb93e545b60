package proxy

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy/prepared"
	"carpool/proxy/state"
	"carpool/proxy/upstream"
	"carpool/proxy/wire"
)

// route is the way of one user to one database: its pool of servers and what
// applies to the clients that take it.
type route struct {
	proxy    *Proxy
	database string
	user     string
	mode     config.PoolMode
	pool     *pool.Pool[*server]
	target   *upstream.Target
	tenant   *tenant // its database, as a party that limits apply to
	account  *tenant // the user its servers are logged in as, likewise

	queryWait time.Duration
	limits    *timeLimits // nil if there are none
	cacheSize int         // prepared statements per server; 0: names aren't translated

	welcome atomic.Pointer[welcome]
	clients atomic.Int64
	traffic []traffic // one for each worker

	auto      bool          // made for a name that the fallback was asked for
	idleSince time.Duration // guarded by the proxy's routesMu; 0: not known to be idle

	mu       sync.Mutex
	variants map[pool.Variant]*variant
}

// tenant is a database or a user, with limits over all its routes.
type tenant struct {
	name       string
	quota      *pool.Quota
	clients    atomic.Int64
	maxClients int  // 0: no limit
	routed     bool // a user whom servers are logged in as; guarded by routesMu
}

// variant is a set of start-up parameters that clients in session mode have
// brought, kept while any of them is there.
type variant struct {
	params  *state.Params
	clients int
}

// count is where what happens on a worker is counted.
func (r *route) count(w *worker) *traffic { return &r.traffic[w.ID()] }

// routeKey is what a route is found by. All clients of a database with a forced
// user share one.
type routeKey struct{ database, user string }

// routeTo returns the route for a client that has proven to be user, counted as
// one of its clients, or false if there is no such database. Any goroutine may
// call it.
func (p *Proxy) routeTo(database, user string) (*route, bool) {
	d, ok := p.config.Database(database)
	if !ok {
		return nil, false
	}
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	key := routeKey{database, cmp.Or(d.User, user)}
	r, ok := p.routes[key]
	if !ok {
		r = p.openRoute(d, user)
		p.routes[key] = r
	}
	r.clients.Add(1)
	return r, true
}

// closeIdleRoutes closes the routes to databases made for a fallback that
// nobody has used for autodb_idle_timeout: otherwise clients that ask for many
// names would make them grow without end. It is called from time to time.
func (p *Proxy) closeIdleRoutes() {
	limit := p.config.AutoDBIdleTimeout
	if limit <= 0 {
		return
	}
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	now := p.now()
	for key, r := range p.routes {
		switch {
		case !r.auto:
		case r.clients.Load() > 0 || r.pool.Stats().Open > 0:
			r.idleSince = 0
		case r.idleSince == 0:
			r.idleSince = now
		case now-r.idleSince >= limit:
			p.pools.Remove(r.pool)
			delete(p.routes, key)
			p.forgetDatabaseLocked(r.database)
		}
	}
}

// forgetDatabaseLocked forgets a database's limits once no route leads to it.
func (p *Proxy) forgetDatabaseLocked(name string) {
	for key := range p.routes {
		if key.database == name {
			return
		}
	}
	delete(p.databases, name)
}

func (p *Proxy) openRoute(d *config.Database, user string) *route {
	c := p.config
	user = cmp.Or(d.User, user)
	limits := c.Resolve(d, user)
	r := &route{
		proxy:     p,
		database:  d.Name,
		auto:      d.Auto,
		user:      user,
		mode:      limits.PoolMode,
		target:    p.targetFor(d, user, limits),
		tenant:    p.tenantLocked(p.databases, d.Name, limits.MaxDBConnections, limits.MaxDBClientConnections),
		account:   p.tenantLocked(p.users, user, limits.MaxUserConnections, limits.MaxUserClientConnections),
		queryWait: limits.QueryWaitTimeout,
		limits:    timeLimitsOf(limits),
		cacheSize: c.MaxPreparedStatements,
		traffic:   make([]traffic, len(p.workers)),
		variants:  make(map[pool.Variant]*variant),
	}
	r.account.routed = true
	r.pool = p.pools.Open(pool.Settings[*server]{
		Name:           d.Name + "/" + user,
		Size:           limits.PoolSize,
		MinSize:        limits.MinPoolSize,
		ReserveSize:    limits.ReservePoolSize,
		ReserveTimeout: c.ReservePoolTimeout,
		MaxDials:       c.MaxDials,
		Quotas:         []*pool.Quota{r.tenant.quota, r.account.quota},
		Lifetime:       max(limits.ServerLifetime, 1), // 0 is: one use only
		IdleTimeout:    c.ServerIdleTimeout,
		LoginRetry:     c.ServerLoginRetry,
		RoundRobin:     c.ServerRoundRobin,
		Warm:           d.User != "",
		Host:           fmt.Sprint(r.target.Hosts),
		Dial:           r.dial,
		Close:          func(srv *server, why pool.Reason) { r.closeServer(srv, why) },
	})
	return r
}

// enterAccount counts a client of a user who has logged in, if there is room
// for one more.
func (p *Proxy) enterAccount(user string) (account *tenant, ok bool) {
	limits := p.config.Resolve(&config.Database{}, user)
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	t := p.tenantLocked(p.users, user, limits.MaxUserConnections, limits.MaxUserClientConnections)
	if t.maxClients > 0 && t.clients.Load() >= int64(t.maxClients) {
		return t, false
	}
	t.clients.Add(1)
	return t, true
}

// leaveAccount takes back one enterAccount. Users that no server is logged in
// as are forgotten with their last client: where nobody has to prove who he is,
// their names are anything.
func (p *Proxy) leaveAccount(t *tenant) {
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	if t.clients.Add(-1) == 0 && !t.routed {
		delete(p.users, t.name)
	}
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

func (p *Proxy) tenantLocked(in map[string]*tenant, name string, maxServers, maxClients int) *tenant {
	t, ok := in[name]
	if !ok {
		t = &tenant{name: name, quota: pool.NewQuota(name, maxServers), maxClients: maxClients}
		in[name] = t
	}
	return t
}

// targetFor says where the servers of a database are, and how to log in.
func (p *Proxy) targetFor(d *config.Database, user string, limits config.Resolved) *upstream.Target {
	c := p.config
	t := &upstream.Target{
		LoadBalance:    d.LoadBalanceHosts == config.BalanceRoundRobin,
		User:           cmp.Or(d.User, user),
		Database:       d.ServerDBName(),
		Password:       d.Password,
		TLS:            p.serverTLS[d.Name],
		Socket:         socketOptions(c),
		ConnectTimeout: limits.ServerConnectTimeout,
		ConnectQuery:   d.ConnectQuery,
	}
	if fallback, ok := p.serverTLS["*"]; ok && d.Auto {
		t.TLS = fallback
	}
	if t.Password == "" {
		if secret, known := p.lookup(t.User); known {
			t.Password = secret.Reveal()
		}
	}
	for _, a := range c.Addresses(d) {
		t.Hosts = append(t.Hosts, upstream.HostPort{Host: a.Host, Port: uint16(a.Port)})
	}
	for _, param := range d.StartupParameters() {
		t.Params = append(t.Params, wire.Param{Name: param.Name, Value: param.Value})
	}
	return t
}

func socketOptions(c *config.Config) upstream.Socket {
	return upstream.Socket{
		KeepAlive: c.TCPKeepalive, KeepAliveIdle: c.TCPKeepIdle, KeepAliveInterval: c.TCPKeepInterval,
		KeepAliveCount: c.TCPKeepCount, UserTimeout: c.TCPUserTimeout, Buffer: c.TCPSocketBuffer,
	}
}

// variantSeed keeps clients from choosing parameters whose hashes collide.
var variantSeed = maphash.MakeSeed()

// wantVariant notes a client whose server has to be opened with params.
func (r *route) wantVariant(params *state.Params) pool.Variant {
	var h maphash.Hash
	h.SetSeed(variantSeed)
	for p := range params.All() {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(p.Name)))
		h.Write(n[:])
		h.WriteString(p.Name)
		h.WriteString(p.Value)
		h.WriteByte(0)
	}
	v := pool.Variant(h.Sum64())
	if params.Len() == 0 {
		v = 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.variants[v]
	if !ok {
		known = &variant{params: params}
		r.variants[v] = known
	}
	known.clients++
	return v
}

// leaveVariant takes back one wantVariant.
func (r *route) leaveVariant(v pool.Variant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.variants[v]; known != nil {
		if known.clients--; known.clients == 0 {
			delete(r.variants, v)
		}
	}
}

var errVariantLeft = errors.New("the client it was for has left")

// dial opens a server for the pool, on a goroutine of the pool's.
func (r *route) dial(ctx context.Context, v pool.Variant) (*server, error) {
	var private *state.Params
	var extra []wire.Param
	if v != 0 {
		r.mu.Lock()
		known := r.variants[v]
		r.mu.Unlock()
		if known == nil {
			return nil, errVariantLeft
		}
		private = known.params
		for p := range private.All() {
			extra = append(extra, p)
		}
	}
	up, err := upstream.Dial(ctx, r.target, extra)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("server_connect_timeout: %w", err)
		}
		if r.proxy.ctx.Err() == nil && !r.proxy.stopping.Load() {
			r.proxy.log.Warn("server connection couldn't be opened", "database", r.database, "user", r.user, "error", err)
		}
		return nil, err
	}
	return r.enlist(up, private)
}

// enlist makes a server of a fresh connection and gives it to a loop.
func (r *route) enlist(up *upstream.Conn, private *state.Params) (*server, error) {
	p := r.proxy
	if len(up.Rest) > 0 {
		_ = up.Close()
		return nil, fmt.Errorf("%s sent %d bytes after its login that nobody asked for", up.Host, len(up.Rest))
	}
	tracked := make([]wire.Param, 0, len(up.Params))
	for _, param := range up.Params {
		if name, ok := state.Canonical([]byte(param.Name)); ok {
			tracked = append(tracked, wire.Param{Name: name, Value: param.Value})
		}
	}
	base, ok := p.params.Of(tracked)
	if !ok {
		_ = up.Close()
		return nil, fmt.Errorf("%s reports parameters beyond all limits", up.Host)
	}
	srv := &server{proxy: p, route: r, up: up, params: base, base: base, private: private, w: p.leastBusy()}
	if r.cacheSize > 0 && r.mode != config.PoolSession {
		srv.cache = prepared.NewCache(r.cacheSize)
	}
	if private == nil {
		r.refreshWelcome(up.Params, base)
	}
	if p.config.LogConnections {
		p.log.Info("new connection to server", "server", up.Host.String(), "database", r.database, "user", r.user, "pid", up.PID)
	}
	if !srv.w.Post(arrival{srv}) {
		_ = up.Close()
		return nil, pool.ErrClosed
	}
	return srv, nil
}

// closeServer is what the pool calls to end a server.
func (r *route) closeServer(srv *server, why pool.Reason) {
	if r.proxy.config.LogDisconnections {
		r.proxy.log.Info("closing server connection: "+why.String(), "server", srv.address(), "database", r.database)
	}
	srv.w.Post(closing{srv})
}
