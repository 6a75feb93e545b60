package proxy

import (
	"bytes"

	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// In session mode the server has its client's state until that leaves, and then
// DISCARD ALL takes it away. Texts are read for what that leaves behind, which
// only the end of the server's session ends.

// beyondReset is what DISCARD ALL doesn't end, dblink's connections, temporary
// replication slots and replication origins among it.
const beyondReset = state.HoldsLibraries | state.HoldsConnections | state.HoldsSeed

// watch reads the text of a message at the front in session mode, if it has one.
// It answers false when there has to be more of it first. What is too long to be
// read may do anything.
func (s *session) watch(p *splice, h wire.Header) bool {
	if !s.private || s.replication || s.server.spent || h.Body == 0 || h.Type != wire.Query && h.Type != wire.Parse {
		return true
	}
	rest := p.rest()
	switch {
	case len(rest) >= h.Size():
		s.server.spent = s.outlastsReset(h.Type, rest[wire.HeaderLen:h.Size()])
	case h.Size() <= maxInPlace:
		return false
	case h.Body <= s.readable():
		return s.beginCollecting(p, h)
	default:
		s.server.spent = true
	}
	return true
}

// outlastsReset reports whether what the text of a message does may stay behind
// a reset.
func (s *session) outlastsReset(typ byte, body []byte) bool {
	if typ == wire.Parse {
		_, rest, ok := wire.ParseStatement(body)
		if !ok {
			return false // the server will say so
		}
		body = rest
	}
	text, _, _ := bytes.Cut(body, []byte{0})
	if len(text) > maxRead {
		return true
	}
	var inner [][]byte // statements that are prepared
	for _, e := range s.w.classifier.Classify(text, s.dialect()) {
		if made(&e)&beyondReset != 0 {
			return true
		}
		if e.Kind == state.KindPrepare {
			inner = append(inner, bytes.Clone(e.Value))
		}
	}
	for _, statement := range inner {
		for _, e := range s.w.classifier.Classify(statement, s.dialect()) {
			if made(&e)&beyondReset != 0 {
				return true
			}
		}
	}
	return false
}
