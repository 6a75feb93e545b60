package proxy

import "unsafe"

// Memory is what can be seen of the process's memory. Sizes are in bytes.
type Memory struct {
	Clients, ClientSize int
	Servers, ServerSize int
	Pools, PoolSize     int
	Users, UserSize     int
}

// Memory returns what can be seen of the process's memory: how much of what it
// keeps for each. Any goroutine may call it.
func (p *Proxy) Memory() Memory {
	m := Memory{
		Clients: int(p.clients.Load()), ClientSize: int(unsafe.Sizeof(session{})),
		ServerSize: int(unsafe.Sizeof(server{})), PoolSize: int(unsafe.Sizeof(route{})), UserSize: int(unsafe.Sizeof(tenant{})),
	}
	for _, st := range p.pools.Snapshot() {
		m.Servers += st.Idle + st.Leased
	}
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	m.Pools, m.Users = len(p.routes), len(p.users)
	return m
}
