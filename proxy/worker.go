package proxy

import (
	"carpool/proxy/reactor"
	"carpool/proxy/state"
)

// scratchSize is the size a worker's scratch buffers start with, in bytes.
const scratchSize = 16 << 10

// worker is one event loop with what its sessions share. Everything in it is
// owned by the loop.
type worker struct {
	*reactor.Loop
	// toServer and toClient are where bytes are put together that can't be
	// passed on as they came.
	toServer []byte
	toClient []byte
	// classifier reads the texts of clients; effects is where what matters of
	// one is put together, question what a server is asked.
	classifier state.Classifier
	effects    []state.Effect
	question   state.Question
	// transactions counts those that may be looked into whatever they say.
	transactions int
	// first is the head of the list of sessions on this loop.
	first  *session
	count  int
	walks  []*walk // under way
	logins logins
	// servers are those on this loop.
	servers map[*server]struct{}
}

func newWorker(l *reactor.Loop) *worker {
	return &worker{Loop: l, toServer: make([]byte, 0, scratchSize), toClient: make([]byte, 0, scratchSize), servers: make(map[*server]struct{})}
}

// reuse returns buf as a scratch buffer for the next time, unless one unusual
// message has made it so large that it had better be given up.
func reuse(buf []byte) []byte {
	const keep = 1 << 20
	if cap(buf) > keep {
		return make([]byte, 0, scratchSize)
	}
	return buf[:0]
}

func (w *worker) enter(s *session) {
	s.next, s.prev = w.first, nil
	if w.first != nil {
		w.first.prev = s
	}
	w.first = s
	w.count++
}

func (w *worker) leave(s *session) {
	for _, k := range w.walks {
		if k.next == s {
			k.next = s.next
		}
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		w.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.next, s.prev = nil, nil
	w.count--
}

// each calls f for every session; f may end the session it is given.
func (w *worker) each(f func(*session)) {
	for s := w.first; s != nil; {
		next := s.next
		f(s)
		s = next
	}
}
