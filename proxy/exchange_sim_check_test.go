package proxy

import (
	"strings"

	"carpool/proxy/prepared"
	"carpool/proxy/wire"
)

// What the simulation holds against each other.

// got compares what the client gets with what the direct server said.
func (s *exchangeSim) got(c *simClient, b []byte) {
	for _, m := range split(nil, b) {
		if m.body == "async" {
			if m.t == wire.NotificationResponse {
				c.async++
			}
			continue
		}
		if m.t == wire.ErrorResponse {
			if r := wire.ParseReport([]byte(m.body)); r.Code != "" {
				m.body = r.Code // one of ours
			}
		}
		if len(c.want) > 1 && m.t == wire.ErrorResponse && c.want[0].t == wire.ParameterDescription && c.want[1] == m {
			c.want = c.want[1:] // it may be refused before the parameters are described
		}
		if len(c.want) == 0 {
			s.fail("client %d got %c %q, nothing was due", c.id, m.t, m.body)
			return
		}
		if c.want[0] != m {
			s.fail("client %d got %c %q, want %c %q", c.id, m.t, m.body, c.want[0].t, c.want[0].body)
			return
		}
		c.want = c.want[1:]
	}
}

// look checks what must hold when a server is free, and when nothing moves.
func (s *exchangeSim) look(c *simClient) {
	srv := c.on
	if srv.dead && len(srv.out) == 0 {
		s.seen["died"]++
		if !c.direct.dead {
			s.fail("client %d killed its server", c.id)
		}
		srv.closed = true
		s.part(c)
		return
	}
	if c.idle() {
		for len(srv.in) > 0 { // what nobody answers may still be under way
			s.serverReads(srv)
		}
		srv.flush()
		for len(srv.out) > 0 && s.failure == "" && srv.out[0].body == "async" {
			s.deliver(c)
		}
		s.whenFree(c)
		return
	}
	if len(srv.in) == 0 && len(srv.out) == 0 && len(srv.held) == 0 && c.held == nil && c.direct.free() {
		s.fail("client %d keeps a server for nothing", c.id)
	}
}

func (s *exchangeSim) whenFree(c *simClient) {
	srv := c.on
	switch {
	case s.failure != "":
	case !srv.free() || len(srv.out) > 0:
		s.fail("client %d: its server isn't free: %v", c.id, srv.out)
	case len(c.want) > 0:
		s.fail("client %d lacks %c %q", c.id, c.want[0].t, c.want[0].body)
	case !c.direct.free():
		s.fail("client %d: without the pooler it wouldn't be free", c.id)
	case c.async != srv.async:
		s.fail("client %d got %d notifications of %d", c.id, c.async, srv.async)
	}
	s.compareStatements(c)
	if s.chance(70) && c.held == nil {
		srv.closed = srv.closed || c.doubt
		s.part(c)
	}
}

// compareStatements holds what is noted of statements against what the servers
// have.
func (s *exchangeSim) compareStatements(c *simClient) {
	if s.shared == nil || s.failure != "" {
		return
	}
	named := 0
	for name, query := range c.direct.statements {
		if name == "" {
			continue
		}
		named++
		one, ok := c.names.names.Lookup([]byte(name))
		if !ok {
			s.fail("client %d: %q is forgotten", c.id, name)
			return
		}
		st := one.Statement
		if parse := string(st.AppendParse(nil)); !strings.Contains(parse, "\x00"+query.query+"\x00") {
			s.fail("client %d: %q stands for %q, want %q", c.id, name, parse, query.query)
		}
		if has, ok := c.on.statements[st.Name()]; c.names.cache.Has(st) && (!ok || has.query != query.query) {
			s.fail("client %d: the server's %s is %v, want %q", c.id, st.Name(), has, query.query)
		} else if copy := c.names.cache.Copy(st); copy != nil && copy.Shape.Rows != 0 && copy.Shape.Rows != shapeOf(has) {
			s.fail("client %d: the server's %s doesn't return what was noted of it, but %q", c.id, st.Name(), has.shape)
		}
	}
	have := len(c.on.statements)
	if _, ok := c.on.statements[""]; ok {
		have--
	}
	if n := c.names.names.Len(); n != named {
		s.fail("client %d has %d names, want %d", c.id, n, named)
	}
	if n := c.names.cache.Len(); n != have {
		s.fail("%d statements are noted of server %p, it has %d", n, c.on, have)
	}
}

// shapeOf is what a server says of a statement's rows.
func shapeOf(st *modelStatement) uint64 {
	if strings.HasPrefix(st.query, "select") {
		return prepared.ShapeOfRows([]byte(st.shape))
	}
	return prepared.ShapeOfRows(nil)
}

// count notes which situations come up: a simulation in which they don't shows
// nothing.
func (s *exchangeSim) count(c *simClient, msg modelMessage, v verdict, size int) {
	if c.statements == nil || c.empty() {
		return
	}
	last := c.queue[len(c.queue)-1]
	switch {
	case msg.t == wire.Parse && v == drop && last.treatment == makeUp:
		s.seen["made up"]++
	case last.refusal == refuseResult:
		s.seen["refused a result"]++
	case last.treatment == substitute:
		s.seen["doomed"]++
	case msg.t == wire.Bind && v == replace && size > 2*len(msg.body)+30:
		s.seen["injected"]++
	}
	if n := len(c.queue); n > 1 && c.queue[n-2].treatment == swallow && c.queue[n-2].kind == kindClose {
		s.seen["evicted"]++
	}
}

// syncs is the number of Syncs that are owed an answer.
func (c *simClient) syncs() (n int) {
	for i := c.head; i < len(c.queue); i++ {
		if c.queue[i].kind == kindSync {
			n++
		}
	}
	return n
}
