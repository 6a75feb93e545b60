package proxy

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"slices"
	"strings"
	"time"

	"carpool/config"
	"carpool/proxy/reactor"

	"golang.org/x/sys/unix"
)

// Socket is what can be seen of one connection, a client's or a server's.
type Socket struct {
	// ID is given to no other connection of this process.
	ID             uint64
	Server         bool   // else it is a client's
	Database, User string // "" for a client that hasn't logged in
	Application    string
	Replication    bool // physical or logical
	Logical        bool // replication
	State          SocketState
	Remote, Local  netip.AddrPort // not valid for a Unix socket
	UnixPort       int            // that a Unix socket is named after
	Connected      time.Time
	Requested      time.Time     // when what it does, or has done last, was asked for
	Wait           time.Duration // that it waits for a server, or for its answer
	CloseNeeded    bool          // the server is closed when it is given back
	Link           uint64        // ID of the server that the client has, or of the client that has the server; 0 if none
	RemotePID      uint32        // of the server's process
	TLS            string        // version and cipher suite; "" without
	Prepared       int           // prepared statements
	Unread, Unsent int           // bytes that were received and not dealt with, and that are to be sent yet
	Obstacle       string        // what a client that waits for a server waits for
}

// SocketState is what a connection is doing.
type SocketState uint8

// The states of connections: the first four are clients', the others servers'.
const (
	ClientLogin         SocketState = iota // proving who it is
	ClientActive                           // has a server
	ClientIdle                             // has none and asks for nothing
	ClientWaiting                          // waits for one
	ServerActive                           // a client has it
	ServerIdle                             // in the pool
	ServerUsed                             // in the pool for so long that it is checked before it is lent
	ServerTested                           // is being checked, or reset
	ServerBeingCanceled                    // given back, but a cancel request for it is under way
)

func (s SocketState) String() string {
	return [...]string{"login", "active", "idle", "waiting", "active", "idle", "used", "tested", "being_canceled"}[s]
}

// Sockets returns what can be seen of every connection to a client or a server,
// those that are being dialed apart. Of several event loops each is looked at by
// itself, in batches: connections that come, go or change loops meanwhile may
// be missing. It blocks until all loops have answered. Any goroutine may call
// it.
func (p *Proxy) Sockets() []Socket {
	lists := make([][]Socket, len(p.workers))
	p.walkAll(func(w *worker) walk {
		list := &lists[w.ID()]
		return walk{
			session: func(s *session) { *list = append(*list, s.view()) },
			server:  func(srv *server) { *list = append(*list, srv.view()) },
		}
	})
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b Socket) int { return cmp.Compare(a.ID, b.ID) })
	// One that has moved to another loop meanwhile may have been met twice.
	return slices.CompactFunc(all, func(a, b Socket) bool { return a.ID == b.ID })
}

// wall is a time of the proxy's clock as others read it.
func (p *Proxy) wall(at time.Duration) time.Time { return p.pools.Epoch().Add(at) }

// view is what can be seen of the client.
func (s *session) view() Socket {
	v := Socket{
		ID: s.id, Remote: s.peer.addr, Replication: s.replication, TLS: s.tls.String(), Prepared: s.names.names.Len(),
		Connected: s.proxy.wall(s.accepted), Requested: s.proxy.wall(max(s.queryStart, s.accepted)),
		Unread: s.client.Unread(), Unsent: s.client.Buffered(),
	}
	switch {
	case s.peer.unix:
		v.UnixPort = s.proxy.Config().ListenPort
	case s.client.Open():
		v.Local = localAddress(s.client.FD())
	}
	v.Application, _ = s.params.Value("application_name")
	switch {
	case s.route != nil:
		v.Database, v.User = s.route.database, s.account.name
	case s.console != nil:
		v.Database, v.User = config.ConsoleDatabase, s.console.user
	}
	if s.replication {
		kind, _ := s.params.Value("replication")
		v.Logical = kind == "database"
	}
	if s.server != nil {
		v.Link = s.server.id
	}
	now := s.w.Now()
	switch s.state {
	case stateLogin:
		v.State = ClientLogin
	case stateWaiting, stateWelcome:
		v.State = ClientWaiting
		v.Requested, v.Wait = s.proxy.wall(s.ticket.Since()), max(now-s.ticket.Since(), 0)
		v.Obstacle = s.route.obstacle(&s.ticket)
	case stateIdle, stateConsole:
		v.State = ClientIdle
	default:
		v.State = ClientActive
		if s.state == stateActive && !s.exchange.settled() {
			v.Wait = max(now-s.queryStart, 0)
		}
	}
	return v
}

// view is what can be seen of the server.
func (srv *server) view() Socket {
	p := srv.proxy
	v := Socket{
		ID: srv.id, Server: true, Database: srv.route.database, User: srv.route.terms.Load().user,
		Remote: srv.up.Remote, Local: srv.up.Local, TLS: srv.tls.String(), RemotePID: srv.up.PID,
		Connected: p.wall(srv.opened), Requested: p.wall(srv.since),
		Unread: srv.conn.Unread(), Unsent: srv.conn.Buffered(), State: ServerActive,
	}
	if !v.Remote.IsValid() {
		v.UnixPort = int(srv.up.Host.Port)
	}
	v.Application, _ = srv.params.Value("application_name")
	if srv.cache != nil {
		v.Prepared = srv.cache.Len()
	}
	if s := srv.session; s != nil {
		v.Link, v.Requested, v.Replication = s.id, p.wall(s.queryStart), s.replication
	}
	leased := srv.lease.Active()
	v.CloseNeeded = leased && srv.lease.CloseNeeded()
	switch {
	case srv.parked:
		v.State = ServerBeingCanceled
	case srv.chore != choreNone:
		v.State = ServerTested
	case leased || srv.session != nil:
	case p.isStale(srv.w.Now() - srv.since):
		v.State = ServerUsed
	default:
		v.State = ServerIdle
	}
	return v
}

// isStale reports whether a server that has lain idle for so long is checked
// before it is lent.
func (p *Proxy) isStale(idle time.Duration) bool {
	c := p.Config()
	return c.ServerCheckQuery != "" && idle > c.ServerCheckDelay
}

// localAddress is our end of a connection, not valid for a Unix socket.
func localAddress(fd int) netip.AddrPort {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// tlsKind is how a connection is encrypted. The zero value is not at all.
type tlsKind struct{ version, cipher uint16 }

func tlsKindOf(layer *reactor.TLS) tlsKind {
	if layer == nil {
		return tlsKind{}
	}
	st := layer.Conn.ConnectionState()
	return tlsKind{st.Version, st.CipherSuite}
}

// String is the version and the cipher suite, "" without encryption.
func (k tlsKind) String() string {
	if k.version == 0 {
		return ""
	}
	version := strings.ReplaceAll(tls.VersionName(k.version), "TLS ", "TLSv")
	return version + "/" + tls.CipherSuiteName(k.cipher)
}
