package proxy

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy/reactor"
)

// A reload puts another configuration in the place of the one in force, under
// way. What holds while it does:
//
//  1. From the moment in which a pool gets its new terms, nobody is lent a
//     server that was opened under others, if those led elsewhere or by another
//     login: pool.Replace does both in one step. Idle servers are closed at
//     once, lent ones when they are given back.
//  2. No limit is exceeded meanwhile: what is still lent counts in the same pool
//     and under the same quotas as what is opened in its stead. Where a database
//     begins or ceases to force a user, its clients go over to other pools; the
//     old ones count towards the quotas until they are empty.
//  3. The configuration and all that was made of it are one immutable value
//     behind one atomic pointer, and so are the terms of a route. Who needs
//     several values that belong together loads it once.
//  4. A route is forgotten when no client is on it and no server is open.

// Reloaded is what came of a Reload.
type Reloaded struct {
	// Applied are the changes that have taken effect. Of log_level and verbose,
	// the caller takes care.
	Applied []config.Change
	// Restart are those that need a restart; the old values stay in force.
	Restart []config.Change
	// Files are files, named by old and new configuration, that hold something
	// else than before, sorted.
	Files []string
	// Replaced is the number of pools whose servers don't fit any more. Idle
	// ones are closed, those in use when they are given back.
	Replaced int
}

// Reload takes on another configuration without a restart, as far as that is
// possible. It reads the files that next names, and blocks meanwhile. All or
// nothing: with an error, which says what is wrong and where, everything stays
// as it was. The Proxy keeps next, which nobody may change afterwards. Any
// goroutine may call it; one Reload runs at a time.
func (p *Proxy) Reload(next *config.Config) (Reloaded, error) {
	p.reloadMu.Lock()
	defer p.reloadMu.Unlock()
	return p.reloadLocked(next, nil)
}

// Set changes one global setting of the configuration in force, as a Reload
// would that finds nothing else changed, and lasts until the next one. A setting
// that needs a restart is among Restart, and stays as it was. What would leave
// nobody who could take it back on the console is ErrNoAdmin.
func (p *Proxy) Set(name, value string) (Reloaded, error) {
	p.reloadMu.Lock()
	defer p.reloadMu.Unlock()
	next, err := p.Config().With(name, value)
	if err != nil {
		return Reloaded{}, err
	}
	return p.reloadLocked(next, func(before, n *settings) error {
		if before.hasAdmin() && !n.hasAdmin() {
			return ErrNoAdmin
		}
		return nil
	})
}

// ErrNoAdmin is why a setting isn't changed by which every administrator would
// lose the console.
var ErrNoAdmin = errors.New("nobody in admin_users could log in any more")

// hasAdmin reports whether anybody in admin_users can log in, as far as can be
// known: whom auth_query finds isn't.
func (n *settings) hasAdmin() bool {
	return slices.ContainsFunc(n.AdminUsers, func(user string) bool {
		if _, known := n.lookup(user); known || n.AuthType == config.AuthAny {
			return true
		}
		_, asked := n.inquiryFor(config.ConsoleDatabase, user)
		return asked
	})
}

// reloadLocked is Reload with reloadMu held. What allow doesn't want, which may
// be nil, isn't put in force.
func (p *Proxy) reloadLocked(next *config.Config, allow func(before, n *settings) error) (Reloaded, error) {
	if problems := next.Validate(); len(problems) > 0 {
		return Reloaded{}, problems
	}
	before := p.current.Load()
	merged := config.Merge(before.Config, next)
	if problems := merged.Validate(); len(problems) > 0 {
		return Reloaded{}, fmt.Errorf("a restart is needed, as with what can't change before: %w", problems)
	}
	n, err := loadSettings(merged, before, p.log)
	if err != nil {
		return Reloaded{}, err
	}
	if allow != nil {
		if err := allow(before, n); err != nil {
			return Reloaded{}, err
		}
	}
	done := Reloaded{Files: n.changedFiles(before)}
	for _, change := range config.Diff(before.Config, next) {
		if change.NeedsRestart {
			done.Restart = append(done.Restart, change)
		} else {
			done.Applied = append(done.Applied, change)
		}
	}
	done.Replaced = p.adopt(n)
	p.openRoutes()
	p.workers[0].Post(reactor.TaskFunc(func() { p.retuneListeners(n.Config) }))
	for _, w := range p.workers {
		w.walk(walk{session: (*session).reloaded})
	}
	return done, nil
}

// adopt puts settings in force, and returns the number of pools whose servers
// are replaced. New calls it, and then Reload, one call at a time.
func (p *Proxy) adopt(n *settings) (replaced int) {
	p.routesMu.Lock()
	if before := p.current.Swap(n); before != nil {
		close(before.replaced)
	}
	p.verifier.Configure(n.SCRAMIterations, n.userList, n.Inquires())
	p.translation.maxNames.Store(int64(n.MaxClientPreparedStatements))
	limits := p.renewTenantsLocked(n)
	var renewals []renewal
	var others []*route
	for _, r := range slices.Collect(maps.Values(p.routes)) {
		rn := p.renewRouteLocked(n, r)
		if rn.action != keepPool {
			renewals = append(renewals, rn)
		}
		if rn.relogin {
			others = append(others, r)
		}
	}
	p.hubs.renew(others...)
	p.forgetRoutesLocked()
	p.routesMu.Unlock()

	// Pools call out when something in them ends, so they hear of it without
	// the lock.
	for quota, limit := range limits {
		p.pools.SetLimit(quota, limit)
	}
	for _, rn := range renewals {
		switch rn.action {
		case configurePool:
			rn.route.pool.Configure(rn.settings)
		case replaceServers:
			rn.route.pool.Replace(rn.settings)
			replaced++
		case removePool:
			p.pools.Remove(rn.route.pool)
			if rn.route.superseded.Load() {
				replaced++
			}
		}
	}
	return replaced
}

// renewal is what a reload does to the pool of a route.
type renewal struct {
	route    *route
	action   poolAction
	settings pool.Settings[*server]
	// relogin: it has ended, or leads elsewhere or by another login.
	relogin bool
}

type poolAction uint8

const (
	keepPool       poolAction = iota
	configurePool             // its servers stay
	replaceServers            // they don't fit any more
	removePool
)

// renewTenantsLocked gives databases and users their new limits. It returns the
// quotas that have another limit now.
func (p *Proxy) renewTenantsLocked(n *settings) map[*pool.Quota]int {
	changed := make(map[*pool.Quota]int)
	for name, t := range p.databases {
		if d, ok := n.Database(name); ok {
			if was := t.maxServers; t.databaseLimits(n, d) != was {
				changed[t.quota] = t.maxServers
			}
		}
	}
	for _, t := range p.users {
		if was := t.maxServers; t.userLimits(n) != was {
			changed[t.quota] = t.maxServers
		}
	}
	return changed
}

// renewRouteLocked gives a route its new terms.
func (p *Proxy) renewRouteLocked(n *settings, r *route) renewal {
	old := r.terms.Load()
	d, ok := n.Database(r.database)
	if !ok {
		return p.orphanLocked(r)
	}
	user := old.user
	switch key := (routeKey{r.database, d.User}); {
	case d.User == user, d.User == "" && !old.forced:
	case d.User != "" && old.forced && p.routes[key] == nil:
		user = d.User
		delete(p.routes, routeKey{r.database, old.user})
		p.routes[key] = r
	default:
		p.endRouteLocked(r)
		r.superseded.Store(true)
		return renewal{route: r, action: removePool, relogin: true}
	}
	t := p.termsLocked(n, d, user, old)
	if user != old.user {
		r.account.routes--
		p.forgetUserLocked(r.account)
		r.account = t.pool.account.hold()
	}
	wasOrphaned := r.orphaned
	r.auto, r.orphaned, r.idleSince = d.Auto, false, 0
	same := t.serves(old)
	if same && t.dest == old.dest && t.pool == old.pool && !wasOrphaned {
		r.terms.Store(t) // which differ in nothing that the pool knows of
		return renewal{}
	}
	r.terms.Store(t)
	if same {
		return renewal{route: r, action: configurePool, settings: r.settings(t)}
	}
	return renewal{route: r, action: replaceServers, settings: r.settings(t), relogin: !t.dest.serves(old.dest)}
}

// orphanLocked: the configuration has a route's database no more. Its clients
// may go on as they are; servers aren't kept for nobody, and with the last
// client the route ends.
func (p *Proxy) orphanLocked(r *route) renewal {
	switch {
	case r.clients.Load() == 0:
		p.endRouteLocked(r)
		return renewal{route: r, action: removePool, relogin: true}
	case r.orphaned:
		return renewal{}
	}
	r.orphaned, r.auto = true, false
	s := r.settings(r.terms.Load())
	s.MinSize, s.Warm = 0, false
	return renewal{route: r, action: configurePool, settings: s}
}

// retuneListeners gives the listening sockets the options of another
// configuration, on the loop that has them.
func (p *Proxy) retuneListeners(c *config.Config) {
	if p.stopping.Load() {
		return // closed, perhaps: the descriptors may be somebody else's by now
	}
	for _, s := range p.sockets {
		if s.tcp {
			if err := retune(s.fd, c); err != nil {
				p.log.Warn("new clients' sockets keep the options they had", "address", s.addr, "error", err)
			}
		}
	}
}

// reloaded: deadlines may be other ones now, and the route another. Who does
// something at the moment finds out when it next needs a server.
func (s *session) reloaded() {
	if s.state == stateIdle && !s.follow() {
		return
	}
	if s.state == stateActive && s.exchange.idle() && !s.followToHub() {
		return
	}
	s.rearm()
}
