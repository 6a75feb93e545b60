package proxy

import (
	"carpool/pool"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// departure is the way in which a client has left.
type departure uint8

const (
	// abandoned: it vanished, or was thrown out, and wants no answers.
	abandoned departure = iota
	// dismissed: it said goodbye; what it had asked for before is still done.
	dismissed
)

// farewell cleans the server of a client that has left: what it was doing is
// cancelled, what was begun is brought to an end, the transaction is rolled
// back. Does that take longer than abandoned_query_timeout, or is there any
// doubt, the server is discarded.
func (s *session) farewell(how departure) {
	limit := s.proxy.Config().AbandonedQueryTimeout
	x := &s.exchange
	srv := s.server
	midMessage := s.body > 0 && !s.bodyDrop
	checking := srv.chore != choreNone
	if s.replication || (limit <= 0 && !x.idle()) || midMessage || x.doubt || srv.dead != "" || checking {
		s.drop(pool.ReasonUnclean)
		s.close()
		return
	}
	s.become(stateFarewell)
	s.farewellEnd = s.w.Now() + limit
	s.canceled = false
	s.rearm()
	srv.conn.Resume()
	s.finishBatch()
	if how == abandoned && !x.settled() && !x.errandsOnly() {
		s.cancelAbandoned()
	}
	s.continueFarewell()
}

// finishBatch sends what brings an unfinished batch to its end.
func (s *session) finishBatch() {
	x := &s.exchange
	out := s.w.toServer[:0]
	if x.copyIn {
		out, mark := wire.Begin(out, wire.CopyFail)
		out = wire.AppendString(out, "the client is gone")
		s.server.conn.Send(wire.Finish(out, mark))
		x.client(wire.CopyFail)
	}
	if x.batch && !x.skipping && !x.copyIn {
		// Without Sync nothing of the batch was to be committed, not even what is
		// done. ROLLBACK ends what a batch without BEGIN is, too.
		for _, m := range []byte{wire.Parse, wire.Bind, wire.Execute} {
			if x.client(m) != forward {
				x.doubt = true
				return
			}
		}
		out = appendRollback(out)
		s.server.conn.Send(out)
		out = out[:0]
	}
	if x.batch || x.skipping {
		s.server.conn.Send(wire.AppendEmpty(out, wire.Sync))
		x.client(wire.Sync)
	}
}

// continueFarewell takes the next step once the server has answered.
func (s *session) continueFarewell() {
	x := &s.exchange
	if x.copyIn {
		s.finishBatch() // COPY has only begun since the client left
	}
	switch {
	case x.doubt:
		s.drop(pool.ReasonUnclean)
		s.close()
	case !x.settled():
	case x.status != wire.TxIdle:
		x.ask(errandRollback)
		s.server.conn.Send(wire.AppendQuery(s.w.toServer[:0], "ROLLBACK"))
	default:
		todo := upkeep{reset: s.private || s.proxy.Config().ServerResetQueryAlways, clean: s.remains()}
		if s.unlooked && s.sampled() {
			todo.clean |= state.HoldsUnknown
		}
		srv := s.unlink()
		s.close()
		srv.giveBack(todo)
	}
}

// cancelAbandoned cancels what the server does for a client that is gone.
func (s *session) cancelAbandoned() {
	if !s.canceled {
		s.canceled = true
		s.server.cancel(nil)
	}
}

// farewellTimeUp: the server doesn't come to an end. A query that a client had
// still wanted is cancelled first, with as much time again.
func (s *session) farewellTimeUp() {
	if !s.canceled && s.server != nil && !s.exchange.settled() {
		s.cancelAbandoned()
		s.farewellEnd = s.w.Now() + s.proxy.Config().AbandonedQueryTimeout
		s.rearm()
		return
	}
	s.drop(pool.ReasonUnclean)
	s.close()
}

// appendRollback appends a ROLLBACK in the extended protocol.
func appendRollback(dst []byte) []byte {
	dst, mark := wire.Begin(dst, wire.Parse)
	dst = wire.AppendString(dst, "")
	dst = wire.AppendString(dst, "ROLLBACK")
	dst = wire.Finish(append(dst, 0, 0), mark)
	dst, mark = wire.Begin(dst, wire.Bind)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = wire.Finish(dst, mark)
	dst, mark = wire.Begin(dst, wire.Execute)
	dst = append(dst, 0, 0, 0, 0, 0)
	return wire.Finish(dst, mark)
}
