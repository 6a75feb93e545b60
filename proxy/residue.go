package proxy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"carpool/config"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// residue is what a client has left in the session of the server it holds, or
// may have left: a pure record, without a socket or a clock. Most clients never
// have one.
//
// The texts of statements say what to ask about, and the server says what is:
// at the end of a transaction that gave cause it is asked (an audit), whatever
// was rolled back by then and whatever functions did. Of what nobody can ask
// about, the text has the last word.
type residue struct {
	// What may have happened since the last audit.
	makes  state.Holdings
	ends   state.Holdings
	names  []string // parameters that may have changed, as they were written
	all    bool     // any parameter may have
	reset  bool     // parameters may be back at what the server starts with
	resets []string // those that were reset by their names
	whole  bool     // all of them were
	// roleless: the last word on the role was a RESET, which nothing has undone;
	// keptRoleless: it was when a transaction was committed.
	roleless, keptRoleless bool
	undoing                bool // there was an error or a ROLLBACK, perhaps to a savepoint
	temps                  bool // temporary objects were created, and not just perhaps

	// pins is why the client keeps its server.
	pins state.Holdings
	// causes are the first words of the statements that pinned, since when.
	causes [config.StateKinds]string
	since  time.Duration
	told   state.Holdings // the pins that SHOW PINS knows of
	shown  bool           // SHOW PINS has the client
	logged bool           // that it lasts

	// restore are parameters that a RESET in the present transaction has taken to
	// the server's default instead of the client's own.
	restore []string
	// lasting: not all of them by SET LOCAL.
	lasting bool
	// taken: they certainly were, since nothing came behind it.
	taken bool
	// restored are those of the transaction that were set again in its midst. One
	// that isn't set at the end was rolled back, and the RESET with it.
	restored []string

	asked    state.Holdings  // in the last audit
	findings *state.Findings // while it is under way
	attempts int             // audits in a row that failed
}

// suspects reports whether there is anything to be asked about.
func (r *residue) suspects() bool { return r.makes != 0 || r.ends&r.pins != 0 }

// may notes that an effect may have taken place, by a statement with the given
// first words.
func (r *residue) may(e *state.Effect, m state.Holdings, excerpt func() string) {
	r.makes |= m & state.Askable()
	r.ends |= e.Ends()
	r.temps = r.temps || e.Kind == state.KindCreateTemporary
	switch {
	case m&state.HoldsParameters == 0:
	case e.Kind == state.KindSet, e.Kind == state.KindReset:
		r.touch(e, excerpt)
	default:
		r.all = true
	}
	if blind := m &^ state.Askable(); blind != 0 {
		r.pin(blind, excerpt)
	}
	for kind := range kindsIn(m & state.Askable() &^ r.pins) {
		if r.causes[kind] == "" {
			r.causes[kind] = excerpt()
		}
	}
}

// touch notes that a parameter may have changed.
func (r *residue) touch(e *state.Effect, excerpt func() string) {
	name := string(e.Name)
	switch {
	case name == "" || !state.Nameable(name):
		// It may be a custom one, and servers don't list those.
		r.all = true
		r.pin(state.HoldsParameters, excerpt)
	case !r.touched(name):
		if len(r.names) == state.MaxParams {
			r.all = true
			r.pin(state.HoldsParameters, tooManyParameters)
			return
		}
		r.names = append(r.names, name)
	}
	if name == "session_authorization" && !r.touched("role") {
		r.names = append(r.names, "role") // it resets the role
	}
	if e.Kind == state.KindReset {
		r.wasReset(name)
	}
	if state.IsIdentity(name) {
		r.roleless = e.Kind == state.KindReset
	}
}

// wasReset notes a RESET of a parameter, or of any if its name can't be one.
func (r *residue) wasReset(name string) {
	r.reset = true
	switch {
	case name == "" || !state.Nameable(name):
		r.whole = true
	case !slices.Contains(r.resets, name):
		r.resets = append(r.resets, name)
	}
	if name == "session_authorization" {
		r.wasReset("role")
	}
}

// tooManyParameters is what SHOW PINS says of a client with more than can be set
// again on another server. A RESET ALL or DISCARD ALL frees it.
func tooManyParameters() string {
	return fmt.Sprintf("more than %d parameters, or values of more than %d bytes", state.MaxParams, state.MaxValueLen)
}

// hasTemporary reports whether the client has temporary objects, as far as is
// known.
func (r *residue) hasTemporary() bool {
	return r != nil && (r.temps || r.pins&state.HoldsTemporary != 0)
}

// touched reports whether a parameter is one of those that may have changed.
func (r *residue) touched(name string) bool {
	return slices.ContainsFunc(r.names, func(n string) bool { return strings.EqualFold(n, name) })
}

// unreset reports whether no text is known to have reset a parameter, or one that
// was rolled back: at the end of the transaction it isn't set, though it was set
// again behind that text.
func (r *residue) unreset(name string) bool {
	same := func(n string) bool { return strings.EqualFold(n, name) }
	if slices.ContainsFunc(r.restored, same) {
		return !slices.ContainsFunc(r.restore, same)
	}
	return !r.whole && !slices.ContainsFunc(r.resets, same)
}

// did notes that a statement with an effect has been executed, behind may. lone
// is for one that is a transaction of its own: others may be rolled back.
func (r *residue) did(e *state.Effect, lone bool) {
	switch e.Kind {
	case state.KindDiscardAll:
		r.unpin(state.HoldsSequences | state.HoldsUnknown | state.HoldsParameters)
		r.reset, r.all, r.whole, r.roleless, r.restored = true, true, true, true, r.restored[:0]
	case state.KindDiscardSequences:
		r.unpin(state.HoldsSequences)
	case state.KindResetAll:
		if lone {
			r.unpin(state.HoldsParameters)
		}
		r.reset, r.whole = true, true
	}
}

// undoes notes an error or a ROLLBACK. If it is the end of the transaction, a
// RESET of the role in that is undone.
func (r *residue) undoes() {
	if r != nil {
		r.undoing = true
	}
}

// committed: what was done of the role so far is done.
func (r *residue) committed() {
	if r != nil {
		r.keptRoleless, r.undoing = r.roleless, false
	}
}

// ready: the server is ready, with the transaction in a status.
func (r *residue) ready(status byte) {
	switch {
	case r == nil || !r.undoing || status == wire.TxFailed:
		return
	case status == wire.TxIdle:
		r.roleless = r.keptRoleless
	}
	r.undoing = false
}

// pin notes that the client must keep its server.
func (r *residue) pin(h state.Holdings, excerpt func() string) {
	for kind := range kindsIn(h &^ r.pins) {
		r.causes[kind] = excerpt()
	}
	r.pins |= h
}

func (r *residue) unpin(h state.Holdings) {
	for kind := range kindsIn(h) {
		r.causes[kind] = ""
	}
	r.pins &^= h
}

// question is what the server is to be asked; false if there is nothing.
// reported are parameters whose values servers report anyway: whether they were
// set or reset they don't say, which matters for what the client began with.
func (r *residue) question(q *state.Question, reported, client, startup *state.Params) bool {
	q.Holds = r.makes | r.ends&r.pins&state.Askable()
	q.All = r.all
	q.Names = q.Names[:0]
	if q.Holds&state.HoldsParameters != 0 {
		for _, name := range r.names {
			_, known := reported.Value(name)
			_, own := startup.Value(name)
			if !known || own && r.reset && !r.unreset(name) {
				q.Names = append(q.Names, name)
			}
		}
		if r.all {
			for p := range client.All() {
				if _, known := reported.Value(p.Name); !known && !slices.Contains(q.Names, p.Name) {
					q.Names = append(q.Names, p.Name)
				}
			}
		}
		if r.all && r.reset {
			for p := range startup.All() {
				if !slices.Contains(q.Names, p.Name) {
					q.Names = append(q.Names, p.Name)
				}
			}
		}
		if len(q.Names) == 0 && !q.All {
			q.Holds &^= state.HoldsParameters
		}
	}
	return q.Holds != 0
}

// cause is the first words of a statement that pinned.
func (r *residue) cause() string {
	for kind := range kindsIn(r.pins) {
		if r.causes[kind] != "" {
			return r.causes[kind]
		}
	}
	return ""
}

// settled notes the answer to a question: of what was asked about, held is
// there. Parameters are recorded by the caller.
func (r *residue) settled(asked, held state.Holdings) {
	const pinning = state.HoldsAnything &^ state.HoldsParameters
	gone := asked &^ held & pinning
	r.pins &^= gone
	r.pins |= held & pinning
	for kind := range kindsIn((asked | r.makes) &^ r.pins) {
		r.causes[kind] = ""
	}
	r.forgetSuspicion()
}

// forgetSuspicion: what there was to be asked about is settled.
func (r *residue) forgetSuspicion() {
	r.makes, r.ends, r.names, r.all, r.reset, r.temps = 0, 0, r.names[:0], false, false, false
	r.restore, r.lasting, r.taken, r.findings, r.attempts = r.restore[:0], false, false, nil, 0
	r.restored, r.resets, r.whole = r.restored[:0], r.resets[:0], false
	r.roleless, r.keptRoleless, r.undoing = false, false, false
}

// remains is what a server has to be freed of when the client is gone.
func (r *residue) remains() state.Holdings {
	if r == nil {
		return 0
	}
	return r.pins | r.makes
}
