package notify

import (
	"errors"
	"fmt"
	"time"

	"carpool/proxy/wire"
)

// batchSize is how many statements are sent before their answers are waited
// for. It bounds what a server that doesn't read makes us keep.
const batchSize = 256

// prelude makes the session fit for listening: no timeout ends it, and payloads
// come as they are. Postgres before 14 doesn't know idle_session_timeout. A query
// in a deferrable transaction, which the user may have as its default, waits for
// other clients' transactions.
const (
	preludeAtOnce   = "SET default_transaction_deferrable TO off"
	preludeTimeout  = "SET statement_timeout TO 0"
	preludeEncoding = "SET client_encoding TO 'SQL_ASCII'"
	preludeIdle     = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'idle_session_timeout'"
)

// link is the hub's way to the server: at most one dial or connection at a time.
type link struct {
	stream *stream // nil: none
	opened time.Time
	pid    uint32 // the server's

	dialing bool
	stale   bool          // the connection, or the one that is being dialed, is to be replaced
	retryAt time.Time     // not before this; zero: at once
	retry   time.Duration // the next wait
	warned  bool          // the present row of failures has been logged

	underWay []statement // sent, in order, not yet answered
	sentAt   time.Time   // when the last of them was
	heardAt  time.Time   // when the last bytes came
	idleAt   time.Time   // since when no channel is wanted; zero: one is
	behind   []catchUp   // that wait for a statement to be sent after they were asked for
	catching []catchUp   // that end with the answer to one that is under way
	report   wire.Report // of the ErrorResponse to the first of underWay
	failed   bool        // there was one
	buf      []byte      // scratch of say
}

// chunks is where the server's messages come from; nil without a connection.
func (l *link) chunks() <-chan []byte {
	if l.stream == nil {
		return nil
	}
	return l.stream.chunks
}

// purpose is what a statement is for.
type purpose uint8

const (
	forPrelude purpose = iota
	forMarker
	forListen
	forUnlisten
	forLife
	forCatchUp
)

// statement is one that was sent to the server.
type statement struct {
	purpose purpose
	channel *channel
}

// dialing is the outcome of a Dialer.
type dialing struct {
	conn *Conn
	err  error
}

// attend does what the link has to do now, and returns when it has to be
// attended to again if nothing happens; zero is never.
func (h *Hub) attend(now time.Time) time.Time {
	l, r := &h.link, &h.registry
	h.counters.channels.Store(int64(r.wanted))
	h.counters.listeners.Store(int64(len(r.subscribers)))
	if l.stale && !l.dialing {
		h.replace()
	}
	switch {
	case l.dialing:
		return time.Time{}
	case l.stream == nil:
		if r.wanted == 0 {
			return time.Time{}
		}
		if now.Before(l.retryAt) {
			return l.retryAt
		}
		h.redial()
		return time.Time{}
	case len(l.underWay) > 0:
		return h.orLost(now, later(l.sentAt, l.heardAt).Add(h.times.patience))
	case h.speak(now):
		return now.Add(h.times.patience)
	case r.wanted > 0:
		l.idleAt = time.Time{}
	case l.idleAt.IsZero():
		l.idleAt = now
	}
	if !l.idleAt.IsZero() && !now.Before(l.idleAt.Add(h.times.linger)) {
		h.log.Info("nobody listens any more: closing the connection for notifications", "pid", l.pid)
		h.hangUp()
		return time.Time{}
	}
	next := l.heardAt.Add(h.times.silence)
	if !now.Before(next) {
		h.say(now, forLife, nil, "")
		h.flush()
		return now.Add(h.times.patience)
	}
	if !l.idleAt.IsZero() {
		next = earlier(next, l.idleAt.Add(h.times.linger))
	}
	return next
}

// replace ends the connection, so that another is opened at once.
func (h *Hub) replace() {
	l := &h.link
	l.stale = false
	if l.stream != nil {
		h.lose(errors.New("listening for notifications: the way to the server has changed"))
	}
	l.retry, l.retryAt = 0, time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// orLost is at, unless that has passed: then the server is taken for gone.
func (h *Hub) orLost(now, at time.Time) time.Time {
	if now.Before(at) {
		return at
	}
	h.lose(fmt.Errorf("listening for notifications: no sign of life from the server within %s", h.times.patience))
	return h.attend(now)
}

// redial opens a connection on a goroutine that ends with Close at the latest.
func (h *Hub) redial() {
	h.link.dialing = true
	go func() {
		conn, err := h.dial(h.ctx)
		h.dialed <- dialing{conn, err}
	}()
}

// connected takes over a new connection, or waits for the next attempt.
func (h *Hub) connected(d dialing) {
	l := &h.link
	l.dialing = false
	now := time.Now()
	if d.err == nil {
		l.stream, d.err = newStream(d.conn)
	}
	if d.err != nil {
		h.later(now, d.err)
		return
	}
	l.opened, l.heardAt, l.pid = now, now, d.conn.PID
	for _, sql := range [...]string{preludeAtOnce, preludeTimeout, preludeEncoding, preludeIdle} {
		h.say(now, forPrelude, nil, sql)
	}
	h.say(now, forMarker, nil, "LISTEN "+quote(h.marker))
	h.flush()
}

// later puts off the next dial, a longer time after every failure in a row.
func (h *Hub) later(now time.Time, err error) {
	l := &h.link
	if l.retry == 0 {
		l.retry = h.times.retry
	}
	l.retryAt = now.Add(l.retry)
	l.retry = min(2*l.retry, h.times.retryMax)
	if h.registry.wanted == 0 {
		h.log.Info("the connection for notifications, which nobody needs now, is lost", "error", err)
	} else if !l.warned {
		l.warned = true
		h.log.Warn("no connection for notifications", "channels", h.registry.wanted, "error", err)
	}
}

// speak sends what the server has to be told about channels, and reports
// whether there was anything. Statements are pipelined, each in a transaction
// of its own, so that one that fails takes no other with it.
func (h *Hub) speak(now time.Time) bool {
	for range batchSize {
		ch := h.registry.next()
		if ch == nil {
			break
		}
		if len(ch.members) > 0 {
			ch.standing = starting
			h.say(now, forListen, ch, "LISTEN "+quote(ch.name))
		} else {
			ch.standing = stopping
			h.say(now, forUnlisten, ch, "UNLISTEN "+quote(ch.name))
		}
	}
	h.sayCatchUps(now)
	return h.flush()
}

// say adds a statement to those that flush sends.
func (h *Hub) say(now time.Time, p purpose, ch *channel, sql string) {
	l := &h.link
	l.buf = wire.AppendQuery(l.buf, sql)
	l.underWay = append(l.underWay, statement{p, ch})
	l.sentAt = now
}

// flush sends what was said, if anything.
func (h *Hub) flush() bool {
	l := &h.link
	if len(l.buf) == 0 {
		return false
	}
	l.stream.send(l.buf)
	l.buf = l.buf[:0]
	return true
}

// answered takes the ReadyForQuery that ends the answer to a statement.
func (h *Hub) answered() error {
	l, r := &h.link, &h.registry
	if len(l.underWay) == 0 {
		return errors.New("listening for notifications: the server answers what wasn't asked")
	}
	s := l.underWay[0]
	l.underWay = l.underWay[1:]
	var err error
	if l.failed {
		err = fmt.Errorf("the server refused: %q (%q)", l.report.Message, l.report.Code)
	}
	l.failed, l.report = false, wire.Report{}
	switch s.purpose {
	case forPrelude, forLife:
		return err
	case forMarker:
		if err != nil {
			return err // a standby, for one, listens on nothing
		}
		l.warned = false
		h.counters.connected.Store(true)
		h.counters.pid.Store(l.pid)
		h.log.Info("listening for notifications", "channels", r.wanted, "pid", l.pid)
	case forListen:
		if err != nil {
			r.refused(s.channel, fmt.Errorf("listening on %q: %w", s.channel.name, err))
			return nil
		}
		r.began(s.channel)
	case forUnlisten:
		if err != nil {
			return err
		}
		r.ceased(s.channel)
	case forCatchUp:
		if err != nil {
			return err
		}
		l.caughtUp()
	}
	return nil
}

// lose ends a connection that failed, and tells who is concerned.
func (h *Hub) lose(err error) {
	l := &h.link
	if l.failed && l.report.Message != "" { // its last words say more
		err = fmt.Errorf("listening for notifications: the server said %q (%q)", l.report.Message, l.report.Code)
	}
	now := time.Now()
	if now.Sub(l.opened) >= h.times.retryMax {
		l.retry = 0
	}
	h.hangUp()
	h.later(now, err)
	if h.registry.bereave(err) {
		h.counters.gaps.Add(1)
	}
}

// hangUp closes the connection, if there is one, and waits for its goroutines
// and for a dial under way.
func (h *Hub) hangUp() {
	l := &h.link
	if l.dialing {
		if d := <-h.dialed; d.err == nil {
			l.stream, _ = newStream(d.conn) // to be closed like any other
		}
		l.dialing = false
	}
	if l.stream != nil {
		l.stream.end()
	}
	ended := *l
	*l = link{retry: ended.retry, retryAt: ended.retryAt, warned: ended.warned}
	h.counters.connected.Store(false)
	h.counters.pid.Store(0)
	ended.giveUp()
}
