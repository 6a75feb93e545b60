package admin

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"carpool/proxy"
	"carpool/proxy/wire"
)

// Console is the console of one proxy. It is safe for concurrent use.
type Console struct {
	// Immutable.
	proxy   *proxy.Proxy
	version string
	orders  Orders

	// Atomic.
	sessions atomic.Int64 // open
	queries  atomic.Int64 // answered since the start

	mu      sync.Mutex
	samples samples // guarded by mu
}

// New makes the console of a proxy; version is the program's name and version,
// such as "carpool 1.0". The caller hands it to [proxy.Proxy.SetConsole], and
// keeps Run running.
func New(p *proxy.Proxy, version string) *Console {
	c := &Console{proxy: p, version: version}
	c.samples.begin(time.Now())
	return c
}

// Run takes a sample of the counters each stats_period, until ctx ends. Without
// it averages are those since the start.
func (c *Console) Run(ctx context.Context) {
	c.proxy.EachStatsPeriod(ctx, func() {
		totals, now := c.totals(), time.Now()
		c.mu.Lock()
		c.samples.add(totals, now)
		c.mu.Unlock()
	})
}

// Parameters implements [proxy.Console].
func (c *Console) Parameters() []wire.Param {
	return []wire.Param{
		{Name: "server_version", Value: versionNumber(c.version) + "/bouncer"},
		{Name: "client_encoding", Value: "UTF8"},
		{Name: "server_encoding", Value: "UTF8"},
		{Name: "DateStyle", Value: "ISO"},
		{Name: "TimeZone", Value: "GMT"},
		{Name: "standard_conforming_strings", Value: "on"},
		{Name: "is_superuser", Value: "on"},
	}
}

// Open implements [proxy.Console].
func (c *Console) Open(user string, admin bool, log *slog.Logger) proxy.ConsoleSession {
	c.sessions.Add(1)
	return &session{console: c, user: user, admin: admin, log: log, statements: make(map[string]*prepared), portals: make(map[string]*portal)}
}
