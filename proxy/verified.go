package proxy

import (
	"sync"

	"carpool/proxy/state"
)

// verified remembers which sets of parameters a server has accepted, and how it
// spells them, so that a client that brings the same ones needn't wait until
// they are tried again. Sets are interned: the pointer is the set.
type verified struct {
	mu   sync.Mutex
	sets map[*state.Params]*state.Params
}

// maxVerified bounds the sets remembered; beyond it all are forgotten, and
// learnt again.
const maxVerified = 10_000

func (v *verified) find(asked *state.Params) (accepted *state.Params, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	accepted, ok = v.sets[asked]
	return accepted, ok
}

func (v *verified) add(asked, accepted *state.Params) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sets == nil || len(v.sets) >= maxVerified {
		v.sets = make(map[*state.Params]*state.Params)
	}
	v.sets[asked] = accepted
}
