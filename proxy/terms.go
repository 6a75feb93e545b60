package proxy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy/upstream"
	"carpool/proxy/wire"
)

// purpose is what a server is fit for, and what a session needs.
type purpose uint8

const (
	// purposeShared is lent for a transaction at a time; names of statements go
	// through as they are.
	purposeShared purpose = iota
	// purposeTranslating is lent for a transaction at a time; names of statements
	// on it are ours.
	purposeTranslating
	// purposePrivate is one client's until it leaves.
	purposePrivate
)

// firstPrivate is the first variant that stands for start-up parameters of a
// client's own. Below it, 0 is the purpose that a route's terms ask for, and the
// others are the purposes of clients that logged in under other terms.
const firstPrivate pool.Variant = 8

// terms are what applies to a route under one configuration. They never change;
// a reload makes new ones.
type terms struct {
	mode      config.PoolMode // of clients that log in under them
	purpose   purpose         // of the servers that these need
	user      string          // whom servers are logged in as
	forced    bool            // by the configuration, whoever the client is
	dest      *destination
	queryWait time.Duration
	rules     *rules
	cacheSize int // prepared statements kept on each server that translates
	pool      poolTerms
}

// poolTerms are what applies to a route's pool.
type poolTerms struct {
	size, minSize, reserveSize, maxDials int
	reserveTimeout, lifetime             time.Duration
	idleTimeout, loginRetry, staleAfter  time.Duration
	roundRobin, warm                     bool
	database, account                    *tenant
}

// destination is where a route's servers are, how to log in to them, and what
// they report.
type destination struct {
	target  *upstream.Target
	tls     tlsPrint
	welcome atomic.Pointer[welcome]
}

// variant is what a session with a purpose asks the pool for, unless it brings
// parameters of its own.
func (t *terms) variant(u purpose) pool.Variant {
	if u == t.purpose {
		return 0
	}
	return pool.Variant(u) + 1
}

// kindOf is the reverse of variant.
func (t *terms) purposeOf(v pool.Variant) purpose {
	switch {
	case v == 0:
		return t.purpose
	case v < firstPrivate:
		return purpose(v - 1)
	}
	return purposePrivate
}

// termsLocked makes the terms of a route to d for a user. before are those that
// the route had, nil if it is new. The caller holds routesMu.
func (p *Proxy) termsLocked(n *settings, d *config.Database, user string, before *terms) *terms {
	l := n.Resolve(d, user)
	t := &terms{
		mode:      l.PoolMode,
		user:      user,
		forced:    d.User != "",
		queryWait: l.QueryWaitTimeout,
		rules:     rulesOf(&l),
		cacheSize: n.MaxPreparedStatements,
		pool: poolTerms{
			size: l.PoolSize, minSize: l.MinPoolSize, reserveSize: l.ReservePoolSize, maxDials: n.MaxDials,
			reserveTimeout: n.ReservePoolTimeout,
			lifetime:       max(l.ServerLifetime, 1), // 0 is: one use only
			idleTimeout:    n.ServerIdleTimeout,
			loginRetry:     n.ServerLoginRetry,
			roundRobin:     n.ServerRoundRobin,
			warm:           d.User != "",
			database:       p.databaseLocked(n, d),
			account:        p.userLocked(n, user),
		},
		dest: &destination{target: n.targetFor(d, user, l), tls: n.serverTLS[l.ServerTLS].print},
	}
	p.passOn(t.dest.target, d)
	if n.ServerCheckQuery != "" {
		t.pool.staleAfter = max(n.ServerCheckDelay, 1)
	}
	switch {
	case t.mode == config.PoolSession:
		t.purpose = purposePrivate
	case t.cacheSize > 0:
		t.purpose = purposeTranslating
	default:
		t.purpose = purposeShared
	}
	if before == nil {
		return t
	}
	if t.cacheSize == 0 {
		t.cacheSize = before.cacheSize // clients of before still have their names
	}
	switch {
	case t.dest.equals(before.dest):
		t.dest = before.dest // it has learnt a few things
	case t.dest.serves(before.dest):
		t.dest.welcome.Store(before.dest.welcome.Load())
	}
	return t
}

// serves reports whether servers opened under old are as good as those that
// would be opened now.
func (t *terms) serves(old *terms) bool {
	return t.purpose == old.purpose && t.cacheSize == old.cacheSize && (t.dest == old.dest || t.dest.serves(old.dest))
}

// serves reports whether it leads to the same servers by the same login.
func (d *destination) serves(old *destination) bool {
	a, b := d.target, old.target
	return slices.Equal(a.Hosts, b.Hosts) && a.User == b.User && a.Password == b.Password && a.Database == b.Database &&
		d.tls == old.tls && a.ConnectQuery == b.ConnectQuery && slices.Equal(a.Params, b.Params)
}

func (d *destination) equals(old *destination) bool {
	a, b := d.target, old.target
	return d.serves(old) && a.LoadBalance == b.LoadBalance && a.Socket == b.Socket && a.ConnectTimeout == b.ConnectTimeout
}

// settings are what the route's pool is to have under the terms.
func (r *route) settings(t *terms) pool.Settings[*server] {
	l := &t.pool
	return pool.Settings[*server]{
		Name:           r.database + "/" + t.user,
		Size:           l.size,
		MinSize:        l.minSize,
		ReserveSize:    l.reserveSize,
		ReserveTimeout: l.reserveTimeout,
		MaxDials:       l.maxDials,
		Quotas:         []*pool.Quota{l.database.quota, l.account.quota},
		Lifetime:       l.lifetime,
		IdleTimeout:    l.idleTimeout,
		LoginRetry:     l.loginRetry,
		StaleAfter:     l.staleAfter,
		RoundRobin:     l.roundRobin,
		Warm:           l.warm,
		Host:           fmt.Sprint(t.dest.target.Hosts),
		Dial:           func(ctx context.Context, v pool.Variant) (*server, error) { return r.dial(ctx, t, v) },
		Close:          r.closeServer,
	}
}

// targetFor says where the servers of a database are, and how to log in.
func (n *settings) targetFor(d *config.Database, user string, l config.Resolved) *upstream.Target {
	t := &upstream.Target{
		LoadBalance:    d.LoadBalanceHosts == config.BalanceRoundRobin,
		User:           cmp.Or(d.User, user),
		Database:       d.ServerDBName(),
		Password:       d.Password,
		TLS:            n.serverTLS[l.ServerTLS].TLS,
		Socket:         socketOptions(n.Config),
		ConnectTimeout: l.ServerConnectTimeout,
		ConnectQuery:   d.ConnectQuery,
		// Without it a server begins with what it reports.
		ConnectSettings: d.ConnectQuery != "",
	}
	if t.Password == "" {
		if secret, known := n.lookup(t.User); known {
			t.Password = secret.Reveal()
		}
	}
	for _, a := range n.Addresses(d) {
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
