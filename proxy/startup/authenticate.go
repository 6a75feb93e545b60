package startup

import (
	"fmt"

	"carpool/proxy/wire"
)

// Mechanism is one way of proving who one is, for one client and one exchange;
// package auth has them. Its methods are called by one goroutine, except that
// the function which Work returned runs elsewhere while no method is called.
type Mechanism interface {
	// Begin appends the request that starts the exchange to dst.
	Begin(dst []byte) []byte
	// Step reads the body of a client's 'p' message, which is valid only until
	// it returns, and appends the answer to dst. done says that the client has
	// proven who it is. An err ends the exchange; the client learns nothing of
	// what it says.
	Step(dst, body []byte) (out []byte, done bool, err error)
	// Work is asked after every Step that wasn't the last: a function to be run
	// before Resume, or nil if the client's next message is awaited.
	Work() func()
	// Resume goes on after Work has run; its results are like Step's.
	Resume(dst []byte) (out []byte, done bool, err error)
}

// Authenticate starts the exchange of mech, or lets the client in at once if
// mech is nil. It is the answer to Identify.
func (m *Machine) Authenticate(mech Mechanism) Event {
	m.out = m.out[:0]
	if m.state != stateRouting {
		return m.drop()
	}
	if mech == nil {
		m.state = stateAdmitted
		return Event{Kind: Authenticated}
	}
	m.state, m.mech = stateExchange, mech
	m.out = mech.Begin(m.out)
	return Event{}
}

// Resume goes on after the function of a Work event has returned.
func (m *Machine) Resume() Event {
	m.out = m.out[:0]
	if m.state != stateWorking {
		return m.drop()
	}
	out, done, err := m.mech.Resume(m.out)
	return m.settle(out, done, err)
}

// feedExchange reads one authentication message. Nothing but those is legal
// now: least of all another start-up packet.
func (m *Machine) feedExchange(b []byte) (int, Event) {
	if len(b) == 0 {
		return 0, Event{}
	}
	switch b[0] {
	case wire.Password:
	case wire.Terminate:
		return 0, m.drop()
	default:
		return 0, m.reject("08P01", fmt.Sprintf("expected an authentication message, got type %d", b[0]), nil)
	}
	h, ok, valid := wire.ParseHeader(b)
	if !ok {
		return 0, Event{}
	}
	if !valid || h.Body > MaxAuthMessage {
		return 0, m.reject("08P01", "invalid length of authentication message", nil)
	}
	if len(b) < h.Size() {
		return 0, Event{}
	}
	out, done, err := m.mech.Step(m.out, b[wire.HeaderLen:h.Size()])
	return h.Size(), m.settle(out, done, err)
}

// settle draws the conclusion from what the mechanism answered.
func (m *Machine) settle(out []byte, done bool, err error) Event {
	if err != nil {
		m.out = m.out[:0]
		return m.reject("28P01", fmt.Sprintf("password authentication failed for user \"%s\"", printable(m.user)), err)
	}
	m.out = out
	if done {
		m.state, m.mech = stateAdmitted, nil
		return Event{Kind: Authenticated}
	}
	if work := m.mech.Work(); work != nil {
		m.state = stateWorking
		return Event{Kind: Work, Work: work}
	}
	m.state = stateExchange
	return Event{}
}

// printable is name, cut to a name's length, with control characters replaced:
// it is going to be shown on terminals and in logs.
func printable(name string) string {
	b := []byte(name[:min(len(name), MaxName)])
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = '?'
		}
	}
	return string(b)
}
