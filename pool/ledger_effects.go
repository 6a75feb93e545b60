package pool

// effectKind is what the shell is to do.
type effectKind uint8

const (
	effectDeliver effectKind = iota // tell ticket's Waiter lease or err
	effectClose                     // close lease.Value for reason
	effectDial                      // start dial
	effectCancel                    // call dial off
)

// effect is one thing that the ledger has decided on and the shell does after
// unlocking.
type effect[S comparable] struct {
	kind   effectKind
	reason Reason
	ticket *Ticket[S]
	lease  Lease[S]
	err    error
	close  func(S, Reason)
	dial   *dial[S]
}

// effects are those of one event, in order. The first few lie in the structure
// itself, which is on the caller's stack, so that the common events allocate
// nothing.
type effects[S comparable] struct {
	first [2]effect[S]
	more  []effect[S]
	n     int

	wake    bool          // a deadline is earlier than the janitor knows
	drained []*account[S] // watched accounts that changed
}

func (fx *effects[S]) at(i int) *effect[S] {
	if i < len(fx.first) {
		return &fx.first[i]
	}
	return &fx.more[i-len(fx.first)]
}

func (fx *effects[S]) next() *effect[S] {
	if fx.n >= len(fx.first) {
		fx.more = append(fx.more, effect[S]{})
	}
	fx.n++
	return fx.at(fx.n - 1)
}

func (fx *effects[S]) deliver(t *Ticket[S], lease Lease[S], err error) {
	e := fx.next()
	e.kind, e.ticket, e.lease, e.err = effectDeliver, t, lease, err
}

func (fx *effects[S]) close(a *account[S], s S, reason Reason) {
	e := fx.next()
	e.kind, e.lease.Value, e.reason, e.close = effectClose, s, reason, a.set.Close
	fx.note(a)
}

func (fx *effects[S]) start(d *dial[S]) {
	e := fx.next()
	e.kind, e.dial = effectDial, d
}

func (fx *effects[S]) cancel(d *dial[S]) {
	e := fx.next()
	e.kind, e.dial = effectCancel, d
}

// note has the shell look whether someone awaited what became of a.
func (fx *effects[S]) note(a *account[S]) {
	if a.watched {
		fx.drained = append(fx.drained, a)
	}
}
