package admin

import (
	"runtime/metrics"
	"slices"

	"carpool/proxy"
)

var (
	listColumns     = slices.Concat(columns(typeText, "list"), columns(typeInt4, "items"))
	memColumns      = slices.Concat(columns(typeText, "name"), columns(typeInt4, "size used free memtotal"))
	peerColumns     = slices.Concat(columns(typeInt4, "peer_id"), columns(typeText, "host"), columns(typeInt4, "port pool_size"))
	peerPoolColumns = columns(typeInt4, "peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login")
	// The system's resolver is asked each time, so no names are kept.
	dnsHostColumns = slices.Concat(columns(typeText, "hostname"), columns(typeInt8, "ttl"), columns(typeText, "addrs"))
	dnsZoneColumns = slices.Concat(columns(typeText, "zonename"), columns(typeInt8, "serial"), columns(typeInt4, "count"))
)

// listRows count what there is.
func (c *Console) listRows() [][]cell {
	clients, logins, servers := 0, 0, 0
	for _, v := range c.proxy.Sockets() {
		switch {
		case v.Server:
			servers++
		case v.State == proxy.ClientLogin:
			logins++
			clients++
		default:
			clients++
		}
	}
	cfg := c.proxy.Config()
	var rows [][]cell
	for _, l := range []struct {
		name  string
		items int
	}{
		{"databases", len(c.databaseRows())},
		{"users", len(c.proxy.Users())},
		{"peers", len(cfg.Peers)},
		{"pools", len(c.proxy.Pools()) + 1},
		{"peer_pools", 0},
		{"free_clients", 0}, // what isn't used isn't kept
		{"used_clients", clients},
		{"login_clients", logins},
		{"free_servers", 0},
		{"used_servers", servers},
		{"dns_names", 0},
		{"dns_zones", 0},
		{"dns_queries", 0},
		{"dns_pending", 0},
	} {
		rows = append(rows, []cell{text(l.name), number(l.items)})
	}
	return rows
}

// peerRows are the peers of the configuration.
func (c *Console) peerRows() [][]cell {
	cfg := c.proxy.Config()
	var rows [][]cell
	for _, p := range cfg.Peers {
		size := cfg.DefaultPoolSize
		if p.PoolSize.Set {
			size = p.PoolSize.Value
		}
		rows = append(rows, []cell{number(p.ID), text(p.Host), number(p.Port), number(size)})
	}
	return rows
}

// memRows tell what memory is used for: first what is kept for each of
// something, without what that refers to, then what Go has in all, with a size
// of 1.
func (c *Console) memRows() [][]cell {
	m := c.proxy.Memory()
	rows := [][]cell{
		memRow("user_cache", m.UserSize, m.Users, 0),
		memRow("pool_cache", m.PoolSize, m.Pools, 0),
		memRow("server_cache", m.ServerSize, m.Servers, 0),
		memRow("client_cache", m.ClientSize, m.Clients, 0),
	}
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/total:bytes"},
	}
	metrics.Read(samples)
	of := func(i int) int { return int(samples[i].Value.Uint64()) }
	return append(rows,
		memRow("go_heap", 1, of(0), of(1)),
		memRow("go_stacks", 1, of(2), 0),
		memRow("go_total", 1, of(3), 0),
	)
}

func memRow(name string, size, used, free int) []cell {
	return []cell{text(name), small(size), small(used), small(free), small(size * (used + free))}
}
