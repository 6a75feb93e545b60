package proxy

import (
	"bytes"
	"log/slog"
	"time"
	"unicode/utf8"

	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// log_slow: waits for a server and transactions that took long are logged when
// they are over. A session remembers for that what its statements begin with,
// while the setting is on; what isn't slow costs it a copy of some bytes.

// slowText is how much of a statement is remembered, in bytes.
const slowText = 512

// slowWatch is what a session remembers of its present transaction.
type slowWatch struct {
	last, longest excerpt // statements: the last one, and the one that took longest
	took          time.Duration
	queries       int
}

// excerpt is what a statement begins with.
type excerpt struct {
	text    [slowText]byte
	size    int
	dialect state.Dialect // how the text was read when it came
}

func (e *excerpt) set(text []byte, d state.Dialect) { e.size, e.dialect = copy(e.text[:], text), d }

// setPrepared is set for a text that came long ago. How it was read then isn't
// known any more: a text that can be read in several ways isn't shown, or a
// part of a literal might be.
func (e *excerpt) setPrepared(text string) {
	e.size, e.dialect = copy(e.text[:], text), state.Dialect{}
	for _, c := range e.text[:e.size] {
		if c == '\\' || c >= utf8.RuneSelf {
			e.size = 0
			return
		}
	}
}

// watchSlow begins to remember, or ceases to. It is called with each server
// that the session gets.
func (s *session) watchSlow(limit time.Duration) {
	switch {
	case limit <= 0:
		s.slow = nil
	case s.slow == nil:
		s.slow = &slowWatch{}
	default:
		s.slow.forget()
	}
}

func (w *slowWatch) forget() { w.last.size, w.longest.size, w.took, w.queries = 0, 0, 0, 0 }

// sees remembers what the client asks for with the message at the front, of
// which there is at least the header.
func (w *slowWatch) sees(s *session, h wire.Header, rest []byte) {
	body := rest[wire.HeaderLen:min(h.Size(), len(rest))]
	switch h.Type {
	case wire.Query:
		text, _, _ := bytes.Cut(body, []byte{0})
		w.last.set(text, s.dialect())
	case wire.Parse:
		if _, text, ok := bytes.Cut(body, []byte{0}); ok {
			text, _, _ = bytes.Cut(text, []byte{0})
			w.last.set(text, s.dialect())
		}
	case wire.Bind:
		_, name, _, ok := wire.ParseBindNames(body)
		if !ok || len(name) == 0 {
			return // it was said with the Parse
		}
		if n, known := s.names.names.Lookup(name); known {
			text, _ := n.Statement.SQL()
			w.last.setPrepared(text)
		}
	}
}

// answered counts an answer, which took so long.
func (w *slowWatch) answered(took time.Duration) {
	w.queries++
	if took >= w.took {
		w.longest, w.took = w.last, took
	}
}

// transactionOver logs a transaction that was slow, and forgets it.
func (s *session) transactionOver(took time.Duration) {
	w := s.slow
	if limit := s.proxy.Config().LogSlow; limit > 0 && took >= limit {
		s.log().Warn("slow transaction (log_slow)", slog.Duration("took", took.Round(time.Microsecond)),
			slog.Int("queries", w.queries), slog.Duration("longest", w.took.Round(time.Microsecond)),
			slog.String("statement", w.longest.words()), s.application())
	}
	w.forget()
}

// words are the first of the statement, without literals.
func (e *excerpt) words() string { return state.Excerpt(e.text[:e.size], 0, e.size, e.dialect) }

// waitOver logs a wait that was slow.
func (s *session) waitOver(took time.Duration) {
	if limit := s.proxy.Config().LogSlow; limit > 0 && took >= limit {
		s.log().Warn("slow wait for a server (log_slow)", slog.Duration("took", took.Round(time.Microsecond)), s.application())
	}
}

// application is what the client calls itself.
func (s *session) application() slog.Attr {
	name, _ := s.params.Value("application_name")
	return slog.String("application_name", name)
}
