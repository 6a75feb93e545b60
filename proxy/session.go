package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy/reactor"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// session is one client, from the moment it is accepted until it has left and
// the server it held, if any, is clean again. It belongs to one worker for
// life; all its methods run on that worker's loop, Deliver excepted.
type session struct {
	// Immutable once accepted.
	proxy *Proxy
	w     *worker
	peer  peer
	id    uint64 // no other client's or server's

	// Immutable once logged in, but for the route of a session that follows it
	// to its successor.
	route   *route
	account *tenant // the user who logged in, who needn't be the route's
	mode    config.PoolMode
	purpose purpose // of the servers it needs
	key     cancelKey
	// private: the server is opened with this client's own start-up parameters
	// and kept until the client leaves.
	private bool
	// replication: the server speaks the replication protocol to this client,
	// and isn't given to anyone after it.
	replication bool
	tls         tlsKind

	// Owned by the loop.
	client    reactor.Conn
	state     sessionState
	login     *login         // until the client is let in
	console   *consoleClient // nil unless it talks to the console
	ticket    pool.Ticket[*server]
	server    *server
	exchange  exchange
	names     statements
	unnamed   unnamed
	params    *state.Params
	startup   *state.Params  // what the client asked for when it logged in
	super     string         // what it was told of is_superuser then, if a role may have been among that
	rules     *rules         // for what it leaves behind
	residue   *residue       // what it has left behind; nil for most
	named     *namedDeeds    // of its prepared statements that leave something; nil for most
	bound     boundDeeds     // of its portals
	sql       *sqlStatements // that it has prepared by SQL; nil for most
	listening *listening     // what it has to do with LISTEN; nil for most
	deferred  []byte         // the BEGIN that the client was answered and no server has seen
	untried   *untried       // what it asks for at its login, while a server tries that; nil otherwise
	slow      *slowWatch     // nil unless log_slow is on
	timer     reactor.Timer

	reading reading // how its texts are read

	accepted    time.Duration      // when the connection was accepted
	since       time.Duration      // when the state began
	queryStart  time.Duration      // when the server began to work for the client
	xactStart   time.Duration      // when the transaction began
	body        int                // bytes of the client's message that are still to come
	collected   []byte             // a Parse or Query too large for the loop's buffer
	refusedBy   *wire.Report       // what the server said to the client's parameters at first
	refused     *refusedParameters // what a server wouldn't take since; nil for nearly all
	mends       *refusedParameters // what the client is about to replace
	mending     mending
	farewellEnd time.Duration

	bodyDrop   bool // they are not for the server
	holding    bool // the client's next message waits for the server's progress
	clogged    bool // the client's next message waits until it has taken more answers
	failing    bool // the message at the front is to be answered with an error
	skipping   bool // without a server: everything up to Sync is to be dropped
	halfClosed bool // the client has ended its sending side but may still read
	told       bool // a FATAL error from the server was passed on
	canceled   bool // farewell: the query was cancelled
	entered    bool // in the worker's list
	admitted   bool // counted towards max_client_conn
	noticed    bool // query_wait_notify was sent
	aborted    bool // the transaction whose BEGIN is deferred has failed
	unlooked   bool // the server has worked for it and not been looked into
	unserved   bool // the server at hand hasn't answered it anything yet
	leaving    bool // to be sent away after the transaction
	ownNumbers bool // currval and lastval of the server at hand know of nobody else
	recovering bool // what comes next waits until what a RESET took away is back
	poisoned   bool // the server does nothing, having refused a parameter
	poisonTold bool // the client was told why
	begun      bool // the server's transaction began by a BEGIN that was deferred
	canceling  bool // a cancel request came while the server was on its way

	prev, next *session

	// Written by Deliver before it posts the session to its loop, read there.
	granted  pool.Lease[*server]
	grantErr error
}

// sessionState is what a session is doing.
type sessionState uint8

const (
	stateLogin     sessionState = iota // proving who it is
	stateWelcome                       // let in; needs a server to be told what it reports
	stateConsole                       // talking to the console
	stateIdle                          // no server, nothing to do
	stateWaiting                       // in the queue for a server
	stateMigrating                     // its server is on its way from another loop
	stateChecking                      // its server is being checked
	statePriming                       // about to be let in; what it asks for is being tried
	stateActive                        // has a server
	stateFarewell                      // the client is gone, its server is cleaned
	stateClosed
)

func (s sessionState) String() string {
	return [...]string{
		"login", "welcome", "console", "idle", "waiting", "migrating", "checking",
		"priming", "active", "farewell", "closed",
	}[s]
}

func (s *session) become(state sessionState) {
	s.state = state
	s.since = s.w.Now()
	s.rearm()
}

// Data implements reactor.Handler: bytes from the client.
func (s *session) Data(_ *reactor.Conn, b []byte) int {
	switch s.state {
	case stateLogin:
		used := s.loginBytes(b)
		if s.login == nil && used < len(b) && !s.client.Paused() {
			used += s.Data(nil, b[used:]) // sent without awaiting the welcome
		}
		return used
	case stateConsole:
		return s.consoleBytes(b)
	case stateIdle, stateActive:
		return s.clientBytes(b)
	}
	s.client.Pause() // what has come is wanted later
	return 0
}

// Drained implements reactor.Handler: the client has taken everything.
func (s *session) Drained(*reactor.Conn) {
	if s.server != nil {
		s.server.conn.Resume()
	}
	if s.clogged {
		s.clogged = false
		s.client.Resume()
	}
	s.flush()
}

// EOF implements reactor.Handler: the client will send no more.
func (s *session) EOF(*reactor.Conn) {
	if s.state == stateActive && s.answersDue() && s.body == 0 {
		s.halfClosed = true
		s.probe()
		return
	}
	// It may still be reading what was sent before.
	s.disconnected("client unexpected eof")
	s.client.Finish()
	s.leave(abandoned)
}

// answersDue reports whether the server will bring what it is doing to an end
// without hearing more from the client.
func (s *session) answersDue() bool { return s.exchange.awaited() && !s.exchange.copyIn }

// HangUp implements reactor.Handler: the client has ended its sending side
// while it waits for something.
func (s *session) HangUp(*reactor.Conn) { s.probe() }

// probe finds out whether a client that sends no more still reads. A message
// that says nothing new is allowed at any time; a client that is gone altogether
// answers it with a reset, which comes back as Failed.
func (s *session) probe() {
	if s.login != nil {
		s.clientGone("client left during its login")
		return
	}
	if s.server != nil && s.server.body > 0 && !s.server.bodyDrop {
		return // in the middle of a message, whose rest will do as well
	}
	name := "application_name"
	value, _ := s.params.Value(name)
	s.client.Send(wire.AppendParameterStatus(nil, name, value))
}

// Failed implements reactor.Handler: the connection to the client is dead.
func (s *session) Failed(_ *reactor.Conn, err error) {
	s.clientGone("client connection lost: " + causeText(err))
}

// Expired implements reactor.Expirer.
func (s *session) Expired(*reactor.Timer) { s.timeUp() }

// clientGone ends the session of a client that left without saying so.
func (s *session) clientGone(why string) {
	s.disconnected(why)
	s.client.Close()
	s.leave(abandoned)
}

// terminate ends the session of a client that said goodbye.
func (s *session) terminate() {
	s.disconnected("client close request")
	s.client.Close()
	s.leave(dismissed)
}

// reject tells the client why its connection ends, and ends it.
func (s *session) reject(r wire.Report) {
	if s.proxy.Config().LogPoolerErrors && !s.proxy.stopping.Load() {
		s.log().Warn("pooler error: "+r.Message, slog.String("sqlstate", r.Code))
	}
	s.proxy.counters.refused(r.Code)
	s.disconnected(r.Message)
	if s.client.Open() && (s.server == nil || s.server.body == 0 || s.server.bodyDrop) {
		s.client.Send(wire.AppendError(nil, r))
	}
	s.client.Finish()
	s.leave(abandoned)
}

// dismiss ends the session after the last byte has reached the client.
func (s *session) dismiss(why string) {
	s.disconnected(why)
	s.client.Finish()
	s.leave(dismissed)
}

func (s *session) disconnected(why string) {
	if s.entered && s.proxy.Config().LogDisconnections {
		s.log().Info("closing because: " + why + age(s.w.Now()-s.accepted))
	}
}

// age is how long a connection has lasted, for the end of a log line.
func age(d time.Duration) string { return fmt.Sprintf(" (age=%ds)", d/time.Second) }

// leave gives up everything that the session holds except a server that has to
// be cleaned first: then it goes on until that is done.
func (s *session) leave(how departure) {
	if s.state == stateClosed || s.state == stateFarewell {
		return
	}
	waiting := s.state == stateWaiting || s.state == stateWelcome
	if s.login != nil {
		s.login.end(s)
		s.login = nil
	}
	if s.console != nil {
		s.console.end()
		s.console = nil
	}
	if waiting && s.server == nil {
		// If it can't be withdrawn, it is on its way and given back on arrival.
		s.route.pool.Withdraw(&s.ticket)
	}
	s.stopListening()
	s.proxy.forget(s)
	s.collected = nil
	if s.server == nil {
		s.close()
		return
	}
	s.farewell(how)
}

// close is the end of the session.
func (s *session) close() {
	s.state = stateClosed
	s.w.Forget(&s.timer)
	s.exchange.end()
	s.names.names.Clear()
	s.unnamed.forget()
	s.unpinned(s.residue)
	s.listening = nil
	s.refused, s.mends = nil, nil
	s.params, s.startup, s.residue, s.named, s.sql, s.deferred, s.bound = nil, nil, nil, nil, nil, nil, boundDeeds{}
}

// Deliver implements pool.Waiter, on any goroutine.
func (s *session) Deliver(_ *pool.Ticket[*server], l pool.Lease[*server], err error) {
	s.granted, s.grantErr = l, err
	if !s.w.Post(s) && err == nil {
		l.Discard(pool.ReasonShutdown, s.proxy.now())
	}
}

// Run implements reactor.Task: what Deliver brought has arrived on the loop.
func (s *session) Run(*reactor.Loop) {
	lease, err := s.granted, s.grantErr
	s.granted, s.grantErr = pool.Lease[*server]{}, nil
	switch {
	case s.state == stateClosed:
		if err == nil {
			lease.Checkin(s.w.Now())
		}
	case s.canceling:
		s.canceling = false
		if err == nil {
			lease.Checkin(s.w.Now())
		}
		s.fail(queryCanceled())
	case errors.Is(err, pool.ErrRemoved) && s.route.superseded.Load():
		s.acquireAgain()
	case err != nil:
		s.reject(noServer(err))
	default:
		s.adopt(lease)
	}
}

// log is the logger with the session's attributes. It is made anew each time,
// since a session logs twice in its life at most.
func (s *session) log() *slog.Logger {
	l := s.proxy.log.With(slog.String("client", s.peer.String()))
	if s.route != nil {
		l = l.With(slog.String("database", s.route.database), slog.String("user", s.route.terms.Load().user))
	}
	return l
}
