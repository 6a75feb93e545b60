package proxy

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"carpool/proxy/wire"
)

// What the clients of the simulation say: mostly what drivers do, now and then
// what nobody should.

var (
	simQueries = []string{
		"select 1", "select 2", "select 3", "select 0", "begin", "commit", "rollback", "fail", "syntax", "", "notice",
		"set", "defer", "copyin", "copyin", "copyinfail", "copyout", "wipe", "discard",
	}
	simNames = []string{
		"a", "a", "b", "c", "cp_1", "cp_3", strings.Repeat("n", 63) + "1", strings.Repeat("n", 63) + "2",
	}
	simPortals = []string{"", "", "", "p"}
)

func (s *exchangeSim) pick(list []string) string { return list[s.r.IntN(len(list))] }

// name is a statement's; the empty one more often.
func (s *exchangeSim) name() string {
	if s.chance(25) {
		return ""
	}
	return s.pick(simNames)
}

func (s *exchangeSim) query() string {
	if s.chance(40) {
		return fmt.Sprintf("select %d", s.r.IntN(4)+s.r.IntN(3))
	}
	return s.pick(simQueries)
}

// nextMessage is what a client says. It prepares nothing with a name in a failed
// transaction: that is refused by the server if it has to be asked, and by the
// exchange if the client waited for what has failed (statements_pg_test).
func (s *exchangeSim) nextMessage(c *simClient) modelMessage {
	next := s.anyMessage(c)
	if s.shared == nil || c.direct.tx != wire.TxFailed || next.t != wire.Parse || next.body[0] == 0 {
		return next
	}
	if _, rest, ok := wire.ParseStatement([]byte(next.body)); ok && mayEnd(rest) {
		return next
	}
	c.plan = nil
	return modelMessage{t: wire.Sync}
}

// anyMessage knows where the direct server stands.
func (s *exchangeSim) anyMessage(c *simClient) modelMessage {
	m := c.direct
	if len(c.plan) == 0 && s.chance(12) {
		c.plan = s.habit(c)
	}
	if len(c.plan) > 0 && m.copying != nil && strings.IndexByte("PBDC", c.plan[0].t) >= 0 {
		c.plan = nil // in COPY, this might be answered without the server, which wouldn't
	}
	switch {
	case len(c.plan) > 0:
		next := c.plan[0]
		c.plan = c.plan[1:]
		return next
	case m.copying == nil:
	case s.chance(97):
		return s.copyMessage()
	default: // likewise
		return modelMessage{[]byte{wire.Query, wire.Execute, wire.FunctionCall}[s.r.IntN(3)], "\x00\x00\x00\x00\x00"}
	}
	n := s.r.IntN(100)
	switch {
	case n < 12:
		list := make([]string, 1+s.r.IntN(3)*s.r.IntN(2))
		for i := range list {
			list[i] = s.query()
		}
		return modelMessage{wire.Query, strings.Join(list, ";")}
	case n < 28:
		return s.parseMessage()
	case n < 46:
		body := s.pick(simPortals) + "\x00" + s.name() + "\x00" + fmt.Sprintf("#%d", s.r.IntN(1e6))
		return modelMessage{wire.Bind, body}
	case n < 54:
		return modelMessage{wire.Describe, s.target()}
	case n < 72:
		limit := uint32(s.r.IntN(3)) * uint32(s.r.IntN(2))
		return modelMessage{wire.Execute, string(binary.BigEndian.AppendUint32([]byte(s.pick(simPortals)+"\x00"), limit))}
	case n < 79:
		return modelMessage{wire.Close, s.target()}
	case n < 94:
		return modelMessage{t: wire.Sync}
	case n < 96:
		return modelMessage{t: wire.Flush}
	case n < 97:
		return modelMessage{wire.FunctionCall, s.pick([]string{"", "fail"})}
	}
	return s.copyMessage()
}

// habit is a batch as drivers send it.
func (s *exchangeSim) habit(c *simClient) []modelMessage {
	name, query := s.name(), s.query()
	known := c.changing()
	if s.chance(30) {
		query = "copyin"
	}
	prepare := modelMessage{wire.Parse, name + "\x00" + query + "\x00\x00\x00"}
	bind := modelMessage{wire.Bind, "\x00" + name + "\x00#" + fmt.Sprint(s.r.IntN(1e6))}
	execute := modelMessage{wire.Execute, "\x00\x00\x00\x00\x00"}
	sync := modelMessage{t: wire.Sync}
	portal := modelMessage{wire.Describe, "P\x00"}
	switch {
	case len(known) > 0 && s.chance(60): // prepared before
		name = s.pick(known)
		bind.body = "\x00" + name + "\x00#" + fmt.Sprint(s.r.IntN(1e6))
		return [][]modelMessage{
			{bind, portal, execute, sync},
			{bind, portal, execute, sync},
			{bind, execute, sync},
			{{wire.Describe, "S" + name + "\x00"}, sync, bind, execute, sync},
			{{t: wire.Sync}, bind, portal, execute, bind, portal, sync},
		}[s.r.IntN(5)]
	case s.chance(40): // somebody has prepared it elsewhere, too
		prepare.body = name + "\x00select 4\x00\x00\x00"
		return []modelMessage{{wire.Close, "S" + name + "\x00"}, prepare, sync}
	case query == "copyin": // as libpq does it
		list := []modelMessage{prepare, bind, execute, sync}
		for range s.r.IntN(3) {
			list = append(list, modelMessage{wire.CopyData, s.pick([]string{"row", "row", "bad"})})
		}
		return append(list, modelMessage{t: wire.CopyDone}, sync)
	case s.chance(50):
		return []modelMessage{prepare, {wire.Describe, "S" + name + "\x00"}, sync, bind, execute, sync}
	}
	return []modelMessage{{wire.Close, "S" + name + "\x00"}, prepare, bind, execute, sync}
}

// changing are the names of the client's statements whose tables change.
func (c *simClient) changing() (names []string) {
	for name, st := range c.direct.statements {
		if name != "" && st.query == "select 4" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *exchangeSim) copyMessage() modelMessage {
	n := s.r.IntN(100)
	switch {
	case n < 50:
		return modelMessage{wire.CopyData, "row"}
	case n < 58:
		return modelMessage{wire.CopyData, "bad"}
	case n < 80:
		return modelMessage{wire.CopyDone, ""}
	case n < 86:
		return modelMessage{wire.CopyFail, "no"}
	case n < 90:
		return modelMessage{t: wire.Flush}
	}
	return modelMessage{t: wire.Sync}
}

func (s *exchangeSim) parseMessage() modelMessage {
	query := s.query()
	if strings.HasPrefix(query, "copy") && s.chance(50) {
		query = "copyin"
	}
	body := s.name() + "\x00" + query + "\x00\x00\x00"
	if s.chance(1) {
		body = body[:len(body)-1]
	}
	return modelMessage{wire.Parse, body}
}

func (s *exchangeSim) target() string {
	switch {
	case s.chance(30):
		return "P" + s.pick(simPortals) + "\x00"
	case s.chance(2):
		return "S" + s.pick(simNames) + "\x00!"
	case s.chance(2):
		return "X" + s.pick(simNames) + "\x00"
	}
	return "S" + s.name() + "\x00"
}
