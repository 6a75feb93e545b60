package proxy

import (
	"fmt"
	"io"
	"time"

	"carpool/pool"
	"carpool/proxy/prepared"
	"carpool/proxy/reactor"
	"carpool/proxy/state"
	"carpool/proxy/upstream"
	"carpool/proxy/wire"

	"golang.org/x/sys/unix"
)

// server is one Postgres backend that we are connected to and logged in to. It
// is what the pool lends. It belongs to one worker at a time; everything in it
// is owned by that worker's loop, or, before it is attached, by the goroutine
// that dialed.
type server struct {
	proxy *Proxy
	route *route
	up    *upstream.Conn // who it is; its descriptor is conn's
	w     *worker
	conn  reactor.Conn

	id     uint64        // no other client's or server's
	opened time.Duration // when it was logged in
	tls    tlsKind
	since  time.Duration // when it was opened or given back last

	lease     pool.Lease[*server] // while it is lent
	session   *session            // whose conversation it is in, if any
	params    *state.Params       // what is set on it
	primed    primed              // what it is being given of the client's parameters
	super     string              // the last that it said of is_superuser since its login, which depends on the role
	temps     bool                // temporary tables were used on it
	base      *state.Params       // what it reported at its login, of what can be set
	sqlNames  map[string]standing // what a client has prepared on it by SQL
	sqlOf     *sqlOwner           // whose they are
	numbersOf cancelKey           // the client since whom it has forgotten nothing of sequences, if clients ask
	private   *state.Params       // start-up parameters it was opened with for one client alone
	purpose   purpose             // what it is fit for
	welcome   *welcome            // what it and its like report; nil if private is set
	cache     *prepared.Cache     // what is prepared on it; nil if names aren't translated
	kept      []byte              // what it was sent and may have to be sent again
	ring      []pending           // memory of the last conversation, for the next

	body     int  // bytes of its message that are still to come
	bodyDrop bool // they are for nobody
	attached bool // conn is on the worker's loop
	doubt    bool // it is to be discarded when it comes back
	spent    bool // so is what no reset clears, if resets are wanted
	dead     string

	chore       chore
	choreFailed bool
	choreReady  bool // ReadyForQuery has come
	timer       reactor.Timer

	cancels     int // cancel requests on their way to it
	cancelAgain bool
	cancelDone  []*cancelRequest
	// unsentCancels are those of clients that none on its way stands for.
	unsentCancels int32
	parked        bool // given back, waiting for them to be through
	parkedFor     upkeep
}

// upkeep is what has to be done with a server before anybody else has it. The
// zero value is nothing.
type upkeep struct {
	reset bool           // server_reset_query
	clean state.Holdings // state that a client has left, or may have
}

// chore is what is done with a server between two sessions.
type chore uint8

const (
	choreNone  chore = iota
	choreCheck       // server_check_query, for the session that gets it
	choreReset       // server_reset_query, after the session that had it
	choreClean       // what frees it of what a client has left there
)

// address is the server as logs name it.
func (srv *server) address() string { return srv.up.Host.String() }

// attach puts a server that was just dialed, or has moved, on its loop. The
// pool may lend a new server before the task that should attach it has had its
// turn; then its first session does.
func (srv *server) attach() {
	if srv.attached {
		return
	}
	srv.attached = true
	srv.w.servers[srv] = struct{}{}
	var err error
	if srv.up.TLS != nil {
		err = srv.w.AttachTLS(&srv.conn, srv.up.FD, srv, *srv.up.TLS)
	} else {
		err = srv.w.Attach(&srv.conn, srv.up.FD, srv)
	}
	srv.timer.Owner = srv
	if err != nil {
		_ = unix.Close(srv.up.FD)
		srv.dead = err.Error()
	}
}

// Data implements reactor.Handler.
func (srv *server) Data(_ *reactor.Conn, b []byte) int {
	switch {
	case srv.dead != "":
		return len(b)
	case srv.chore != choreNone:
		return srv.choreBytes(b)
	case srv.session != nil:
		return srv.session.serverBytes(b)
	}
	return srv.idleBytes(b)
}

// Drained implements reactor.Handler.
func (srv *server) Drained(*reactor.Conn) {
	if srv.session != nil {
		srv.session.serverTook()
	}
}

// HangUp implements reactor.Handler. The end is met when its last bytes are read.
func (srv *server) HangUp(*reactor.Conn) {}

// EOF implements reactor.Handler.
func (srv *server) EOF(*reactor.Conn) { srv.gone(io.EOF) }

// Failed implements reactor.Handler.
func (srv *server) Failed(_ *reactor.Conn, err error) { srv.gone(err) }

// gone deals with a connection that the server, or the network, has ended.
func (srv *server) gone(err error) {
	if srv.dead == "" {
		srv.dead = "server closed the connection"
		if err != io.EOF {
			srv.dead = err.Error()
		}
	}
	srv.conn.Close()
	switch {
	case srv.chore == choreReset, srv.chore == choreClean:
		srv.discard(pool.ReasonBroken)
	case srv.session != nil:
		srv.session.lost(srv.dead)
	case srv.parked:
		srv.unpark()
	default:
		srv.route.pool.Lost(srv, pool.ReasonLost)
	}
}

// Expired implements reactor.Expirer: a chore takes too long.
func (srv *server) Expired(*reactor.Timer) {
	srv.misbehaved("didn't answer in time")
}

// misbehaved ends a server that did what it mustn't while no client listened.
func (srv *server) misbehaved(what string) {
	srv.proxy.log.Warn("closing server connection: "+what, "server", srv.address(), "database", srv.route.database)
	srv.dead = what
	srv.gone(io.EOF)
}

// noteParameter keeps up with a parameter that the server reports. tracked is
// whether it is one that follows the client, name is then its spelling.
func (srv *server) noteParameter(name, value []byte) (known string, tracked bool) {
	known, tracked = state.Reported(name)
	if known == superuserName {
		srv.super = string(value)
	}
	if !tracked {
		return known, false
	}
	next, ok := srv.proxy.params.With(srv.params, known, string(value))
	if !ok {
		srv.doubt = true
		return known, false
	}
	srv.params = next
	return known, true
}

// idleBytes deals with what a server says while nobody has asked: it may
// report parameters, notices and notifications, and that it is about to go.
func (srv *server) idleBytes(b []byte) int {
	return srv.readAlone(b, func(h wire.Header, body []byte) bool {
		switch h.Type {
		case wire.ParameterStatus:
			if name, value, ok := wire.ParseParameterStatus(body); ok {
				srv.noteParameter(name, value)
				return true
			}
		case wire.NoticeResponse, wire.NotificationResponse:
			return true
		}
		return false // an error, too: it is about to go
	})
}

// readAlone reads messages that go to nobody. accept is shown each; a server
// that says anything else is ended.
func (srv *server) readAlone(b []byte, accept func(h wire.Header, body []byte) bool) int {
	pos := 0
	for pos < len(b) && srv.conn.Open() {
		rest := b[pos:]
		if srv.body > 0 {
			n := min(srv.body, len(rest))
			srv.body -= n
			pos += n
			continue
		}
		h, ok, valid := wire.ParseHeader(rest)
		if !ok {
			return pos
		}
		inspected := h.Type == wire.ParameterStatus || h.Type == wire.ReadyForQuery
		if !valid || (inspected && h.Body > maxStatus) {
			srv.misbehaved("sent a message of impossible length")
			return len(b)
		}
		if inspected && len(rest) < h.Size() {
			return pos
		}
		size := min(h.Size(), len(rest))
		if !accept(h, rest[wire.HeaderLen:size]) {
			srv.misbehaved(fmt.Sprintf("sent an unexpected message of type %q", h.Type))
			return len(b)
		}
		srv.body, srv.bodyDrop = h.Size()-size, true
		pos += size
	}
	return pos
}

// startChore sends a query of ours to a server that is out of any
// conversation, and waits for the end of its answer.
func (srv *server) startChore(c chore, sql string) {
	if sql == emptyQuery {
		sql = ""
	}
	srv.startChoreWith(c, wire.AppendQuery(srv.w.toServer[:0], sql))
}

// startChoreWith is startChore for a Query message.
func (srv *server) startChoreWith(c chore, query []byte) {
	srv.chore, srv.choreFailed, srv.choreReady = c, false, false
	srv.route.chores.tested.Add(1)
	limit := srv.proxy.Config().ServerConnectTimeout
	if limit > 0 {
		srv.w.Arm(&srv.timer, srv.w.Now()+limit)
	}
	srv.conn.Send(query)
}

// choreBytes reads the answer to startChore.
func (srv *server) choreBytes(b []byte) int {
	n := srv.readAlone(b, func(h wire.Header, body []byte) bool {
		switch h.Type {
		case wire.ReadyForQuery:
			status, ok := wire.ParseReadyForQuery(body)
			srv.choreFailed = srv.choreFailed || status != wire.TxIdle || srv.choreReady
			srv.choreReady = true
			return ok
		case wire.ErrorResponse:
			srv.choreFailed = true
			srv.proxy.counters.fromServers.add(wire.ParseReport(body).Code)
		case wire.ParameterStatus:
			if name, value, ok := wire.ParseParameterStatus(body); ok {
				srv.noteParameter(name, value)
			}
		case wire.CopyInResponse, wire.CopyBothResponse, wire.Authentication, wire.BackendKeyData:
			return false
		}
		return true
	})
	if srv.choreReady && srv.conn.Open() {
		srv.choreDone()
	}
	return n
}

// endChore ends the chore, if there is one.
func (srv *server) endChore() {
	if srv.chore != choreNone {
		srv.chore = choreNone
		srv.route.chores.tested.Add(-1)
	}
}

func (srv *server) choreDone() {
	c := srv.chore
	srv.endChore()
	srv.w.Disarm(&srv.timer)
	switch {
	case c == choreCheck:
		srv.session.checked(!srv.choreFailed)
	case srv.choreFailed:
		what := "server_reset_query"
		if c == choreClean {
			what = "freeing it of a client's session state"
		}
		srv.proxy.log.Warn("closing server connection: "+what+" failed", "server", srv.address(), "database", srv.route.database)
		srv.discard(pool.ReasonUnclean)
	case c == choreClean:
		srv.giveBack(upkeep{})
	default:
		srv.wasReset()
		srv.giveBack(upkeep{})
	}
}

// wasReset forgets what a reset has cleared.
func (srv *server) wasReset() {
	srv.forgetStatements()
	srv.paramsReset()
}

// forgetStatements: nothing is prepared on the server any more.
func (srv *server) forgetStatements() {
	if srv.cache != nil {
		srv.cache.Clear()
	}
	srv.sqlNames, srv.sqlOf = nil, nil
}

// paramsReset forgets the parameters that the server doesn't report, after it
// has reset them all; of the others it has said what they are now.
func (srv *server) paramsReset() {
	srv.params = srv.proxy.params.ResetAll(srv.params, srv.base)
}

// giveBack ends the lease of a server that no session holds any more, once no
// cancel request is under way to it and what has to be done with it is done.
func (srv *server) giveBack(todo upkeep) {
	query := srv.proxy.Config().ServerResetQuery
	switch {
	case srv.doubt || srv.dead != "" || srv.spent && query != "":
		srv.discard(pool.ReasonUnclean)
	case srv.cancels > 0:
		srv.parked, srv.parkedFor = true, todo
		srv.route.chores.parked.Add(1)
	case todo.reset && query != "" && !srv.lease.CloseNeeded():
		srv.startChore(choreReset, query)
	case todo.clean != 0:
		srv.clean(todo.clean)
	case srv.endsIdle():
		srv.params = srv.proxy.params.Without(srv.params, idleSessionTimeout)
		srv.startChore(choreClean, "RESET "+idleSessionTimeout)
	default:
		lease := srv.lease
		srv.lease = pool.Lease[*server]{}
		srv.since = srv.w.Now()
		lease.Checkin(srv.since)
	}
}

// idleSessionTimeout is the one parameter that can't wait for the next client to
// be taken back: a server ends itself by it while nobody has it, or just when
// somebody is given it.
const idleSessionTimeout = "idle_session_timeout"

// endsIdle reports whether a client has set it.
func (srv *server) endsIdle() bool {
	_, set := srv.params.Value(idleSessionTimeout)
	return set && srv.private == nil && !srv.lease.CloseNeeded()
}

func (srv *server) unpark() {
	srv.leaveParking()
	srv.giveBack(srv.parkedFor)
}

func (srv *server) leaveParking() {
	if srv.parked {
		srv.parked = false
		srv.route.chores.parked.Add(-1)
	}
}

// clean frees the server of what a client has left there: of just that, if it
// is known, or else of everything. What only the end of the session frees it
// of ends it.
func (srv *server) clean(h state.Holdings) {
	if h&(state.HoldsUnknown|state.HoldsParameters) != 0 && h&(state.HoldsLibraries|state.HoldsConnections) == 0 {
		h = state.HoldsAnything
	}
	query, ok := state.AppendClean(srv.w.toServer[:0], h)
	if !ok || srv.lease.CloseNeeded() {
		srv.discard(pool.ReasonUnclean)
		return
	}
	switch {
	case h == state.HoldsAnything:
		srv.wasReset()
	case h&state.HoldsStatements != 0:
		srv.forgetStatements()
	}
	srv.startChoreWith(choreClean, query)
	srv.w.toServer = reuse(query)
}

// discard ends the lease and the server.
func (srv *server) discard(why pool.Reason) {
	srv.endChore()
	srv.leaveParking()
	srv.w.Forget(&srv.timer)
	if srv.dead == "" {
		srv.dead = why.String()
	}
	lease := srv.lease
	srv.lease = pool.Lease[*server]{}
	lease.Discard(why, srv.w.Now())
}

// shut closes the connection, on the server's loop, for the pool.
func (srv *server) shut() {
	if srv.dead == "" {
		srv.dead = "closed by the pool"
	}
	delete(srv.w.servers, srv)
	srv.w.Forget(&srv.timer)
	if srv.conn.Open() {
		srv.conn.Send(wire.AppendEmpty(nil, wire.Terminate))
		srv.conn.Close()
	}
	if srv.cache != nil {
		srv.cache.Clear()
	}
}

// migration moves a leased server to the loop of the session that is to have it.
type migration struct {
	session  *session
	server   *server
	lease    pool.Lease[*server]
	detached bool
}

// Run implements reactor.Task: first on the server's old loop, then on the
// session's.
func (m *migration) Run(*reactor.Loop) {
	if m.detached {
		m.arrive()
		return
	}
	srv, from := m.server, m.server.w
	srv.lease = m.lease
	srv.attach() // it may have been dialed a moment ago
	if fd, layer, ok := srv.conn.Detach(); ok {
		srv.up.FD, srv.up.TLS = fd, layer
		srv.attached = false
	} else if srv.dead == "" {
		srv.dead = "it was busy when it should have been idle"
		srv.conn.Close()
	}
	srv.w.Forget(&srv.timer)
	m.detached = true
	delete(from.servers, srv)
	srv.w = m.session.w
	if !srv.w.Post(m) {
		srv.w = from
		srv.discard(pool.ReasonShutdown)
	}
}

// arrive puts the server on the session's loop.
func (m *migration) arrive() {
	if m.session.state == stateClosed {
		m.server.attach()
		m.server.giveBack(upkeep{})
		return
	}
	m.session.adopt(m.server.lease)
}

// closing closes servers for the pool, each on its own loop.
type closing struct{ server *server }

// Run implements reactor.Task.
func (c closing) Run(*reactor.Loop) { c.server.shut() }
