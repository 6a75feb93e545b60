package admin

import (
	"slices"
	"strings"
	"time"

	"carpool/config"
)

var databaseColumns = slices.Concat(
	columns(typeText, "name host"),
	columns(typeInt4, "port"),
	columns(typeText, "database force_user"),
	columns(typeInt4, "pool_size min_pool_size reserve_pool_size server_lifetime"),
	columns(typeText, "pool_mode load_balance_hosts"),
	columns(typeInt4, "max_connections current_connections"),
	columns(typeInt4, "max_client_connections current_client_connections"),
	columns(typeInt4, "paused disabled"),
)

// usage is what the pools of one database have in use together.
type usage struct {
	servers int
	clients int64

	paused, disabled bool // by itself, whatever all are
}

// databaseRows has a row for each database that is configured, for each that
// came from the fallback, and for the console.
func (c *Console) databaseRows() [][]cell {
	cfg := c.proxy.Config()
	used := make(map[string]usage)
	for _, v := range c.proxy.Pools() {
		u := used[v.Database]
		u.servers += v.Pool.Open
		u.clients += v.Clients
		used[v.Database] = u
	}
	list := make([]*config.Database, 0, len(cfg.Databases))
	for _, d := range cfg.Databases {
		if d.Name != "*" {
			list = append(list, d)
		}
	}
	for name := range used {
		if d, ok := cfg.Database(name); ok && d.Auto {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b *config.Database) int { return strings.Compare(a.Name, b.Name) })
	rows := [][]cell{c.consoleDatabaseRow()}
	for _, d := range list {
		u := used[d.Name]
		u.paused, u.disabled = c.proxy.Halted(d.Name)
		rows = append(rows, databaseRow(cfg, d, u))
	}
	return rows
}

func databaseRow(cfg *config.Config, d *config.Database, u usage) []cell {
	limits := cfg.Resolve(d, "")
	mode, balance := "", ""
	if d.PoolMode.Set {
		mode = d.PoolMode.Value.String()
	}
	if len(d.Hosts) > 1 {
		balance = d.LoadBalanceHosts.String()
	}
	return []cell{
		text(d.Name),
		optional(strings.Join(d.Hosts, ",")),
		number(cfg.Addresses(d)[0].Port),
		text(d.ServerDBName()),
		optional(d.User),
		number(limits.PoolSize),
		number(limits.MinPoolSize),
		number(limits.ReservePoolSize),
		number(int64(limits.ServerLifetime / time.Second)),
		optional(mode),
		optional(balance),
		number(limits.MaxDBConnections),
		number(u.servers),
		number(limits.MaxDBClientConnections),
		number(u.clients),
		flag(u.paused),
		flag(u.disabled),
	}
}

// consoleDatabaseRow is the console's own; its sizes are PgBouncer's.
func (c *Console) consoleDatabaseRow() []cell {
	cfg := c.proxy.Config()
	return []cell{
		text(consoleName),
		{},
		number(cfg.ListenPort),
		text(consoleName),
		text(consoleName),
		number(2),
		number(0),
		number(0),
		number(int64(cfg.ServerLifetime / time.Second)),
		text(config.PoolStatement.String()),
		{},
		number(0),
		number(0),
		number(0),
		number(c.sessions.Load()),
		flag(false),
		flag(false),
	}
}
