package config

import (
	"fmt"
	"slices"
	"strings"
)

// StateKind is a kind of state that a statement can leave behind in its
// session, so that it would be missing on another server and found by another
// client on this one.
type StateKind uint8

// The kinds of state.
const (
	StateParameters  StateKind = iota // SET, set_config, the role
	StateStatements                   // SQL PREPARE
	StateCursors                      // cursors WITH HOLD
	StateListen                       // LISTEN
	StateTemporary                    // temporary tables, views, sequences, functions
	StateLocks                        // advisory locks of the session
	StateLibraries                    // LOAD
	StateSequences                    // what currval and lastval answer
	StateSeed                         // setseed
	StateConnections                  // connections to other servers, by dblink
	StateUnsure                       // what can't be told from the text

	// StateKinds is their number.
	StateKinds
)

// String returns the kind as it stands in the names of settings, behind
// "state_".
func (k StateKind) String() string { return enumText(k) }

func (StateKind) names() []string {
	return []string{
		"parameters", "statements", "cursors", "listen", "temporary", "locks",
		"libraries", "sequences", "seed", "connections", "unsure",
	}
}

// Policy says what happens in transaction mode when a client makes a kind of
// state. The zero value is PolicyTransparent.
type Policy uint8

// The policies.
const (
	// PolicyTransparent lets the client find its state as on a direct
	// connection. What can be made again is made again on the client's next
	// server, LISTEN is done for all clients of a database by one connection,
	// and with anything else the client keeps its server.
	PolicyTransparent Policy = iota
	// PolicyReject answers with an error.
	PolicyReject
	// PolicyIgnore lets the state leak to whoever uses the server next.
	PolicyIgnore
	// PolicyPin lets the client keep its server. Only StateListen ever has it:
	// for the others it is no different from PolicyTransparent, or there is no
	// need for it.
	PolicyPin
)

// String returns the policy as it is written in a configuration file.
func (p Policy) String() string { return enumText(p) }

func (Policy) names() []string { return []string{"transparent", "reject", "ignore", "pin"} }

// StatePolicies is the policy for each kind of state. The zero value is
// PolicyTransparent for all.
type StatePolicies [StateKinds]Policy

// StateSettings is what one scope says about session state: the whole process,
// a database or a user. The zero value says nothing.
type StateSettings struct {
	General Optional[Policy]             // session_state
	Kinds   [StateKinds]Optional[Policy] // state_parameters, state_statements, ...
}

// over returns policies with what s says put on top: a kind's own setting
// first, then the general one.
func (s *StateSettings) over(policies StatePolicies) StatePolicies {
	for kind, p := range policies {
		policies[kind] = s.Kinds[kind].Or(s.General.Or(p))
	}
	return policies
}

// StateKindSet is a set of kinds of state. The zero value is empty.
type StateKindSet [StateKinds]bool

// generalKinds are the kinds whose policy is from the session_state of one of
// the scopes, the narrowest of which comes first.
func generalKinds(scopes ...*StateSettings) (general StateKindSet) {
	for kind := range general {
		for _, s := range scopes {
			if s.Kinds[kind].Set || s.General.Set {
				general[kind] = !s.Kinds[kind].Set
				break
			}
		}
	}
	return general
}

// policyWord is a policy as it may be written for some kinds of state.
type policyWord struct {
	word   string
	policy Policy
}

// generalWords are those that every kind has.
func generalWords() []policyWord {
	return []policyWord{
		{PolicyTransparent.String(), PolicyTransparent},
		{PolicyReject.String(), PolicyReject},
		{PolicyIgnore.String(), PolicyIgnore},
	}
}

// policyWords are the words for one kind: those that say how its state is made
// transparent stand behind "transparent".
func policyWords(kind StateKind) []policyWord {
	var how []policyWord
	switch kind {
	case StateParameters, StateStatements:
		how = []policyWord{{"replay", PolicyTransparent}}
	case StateListen:
		how = []policyWord{{"multiplex", PolicyTransparent}, {PolicyPin.String(), PolicyPin}}
	default:
		how = []policyWord{{PolicyPin.String(), PolicyTransparent}}
	}
	return slices.Insert(generalWords(), 1, how...)
}

// maybePolicy is the binding of a policy written as one of words.
func maybePolicy[T any](at func(*T) *Optional[Policy], words []policyWord) binding[T] {
	return maybe(at, func(s string) (Policy, error) { return parsePolicy(s, words) }, Policy.String)
}

func parsePolicy(text string, words []policyWord) (Policy, error) {
	allowed := make([]string, len(words))
	for i, w := range words {
		if strings.EqualFold(w.word, text) {
			return w.policy, nil
		}
		allowed[i] = w.word
	}
	return 0, fmt.Errorf("expected one of %s", strings.Join(allowed, ", "))
}
