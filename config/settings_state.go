package config

import (
	"slices"
	"time"
)

// mostQueued bounds listen_queue_size.
const mostQueued = 1_000_000

// What the keys of databases and of users mean.
const (
	insteadOfGlobal = "Instead of the global setting."
	insteadOfWider  = "Instead of the database's or the global setting."
)

var stateKeys = slices.Concat(
	policyKeys(func(c *Config) *StateSettings { return &c.State }, PolicyTransparent.String(), policyDoc),
	[]key[Config]{
		row("session_audit", "", "suspicious", acts|own, audit(func(c *Config) *Audit { return &c.SessionAudit }),
			"When the server is asked at the end of a transaction what is left behind, besides after statements that say so: `off` is never, `suspicious` after those that may hide it, `1/N` after one in N transactions as well, `always` after each."),
		row("deferred_begin", "", "1", acts|own, yesNo(func(c *Config) *bool { return &c.DeferredBegin }),
			"Whether a BEGIN on its own is answered at once and sent to a server together with the next statement, in transaction mode."),
		row("pin_log_after", "s", "60", acts|own, seconds(func(c *Config) *time.Duration { return &c.PinLogAfter }),
			"Time after which it is logged that a client keeps its server because of session state; 0 is never."),
		row("listen_queue_size", "", "100000", acts|own, number(func(c *Config) *int { return &c.ListenQueueSize }, 1, mostQueued),
			"Notifications kept for a client that doesn't read them, or is in a transaction, before it is disconnected; large ones, of more than 160 bytes each, count for more."),
	},
)

var databaseStateKeys = slices.Concat(
	policyKeys(func(d *Database) *StateSettings { return &d.State }, "", func(StateKind) string { return insteadOfGlobal }),
	[]key[Database]{
		row("session_audit", "", "", acts|own, maybeAudit(func(d *Database) *Optional[Audit] { return &d.SessionAudit }),
			insteadOfGlobal),
		row("deferred_begin", "", "", acts|own, maybeYesNo(func(d *Database) *Optional[bool] { return &d.DeferredBegin }),
			insteadOfGlobal),
		row("pin_log_after", "s", "", acts|own, maybeSeconds(func(d *Database) *Optional[time.Duration] { return &d.PinLogAfter }),
			insteadOfGlobal),
		row("listen_queue_size", "", "", acts|own, maybeNumber(func(d *Database) *Optional[int] { return &d.ListenQueueSize }, 1, mostQueued),
			insteadOfGlobal),
	},
)

var userStateKeys = slices.Concat(
	policyKeys(func(u *User) *StateSettings { return &u.State }, "", func(StateKind) string { return insteadOfWider }),
	[]key[User]{
		row("session_audit", "", "", acts|own, maybeAudit(func(u *User) *Optional[Audit] { return &u.SessionAudit }),
			insteadOfWider),
		row("deferred_begin", "", "", acts|own, maybeYesNo(func(u *User) *Optional[bool] { return &u.DeferredBegin }),
			insteadOfWider),
		row("pin_log_after", "s", "", acts|own, maybeSeconds(func(u *User) *Optional[time.Duration] { return &u.PinLogAfter }),
			insteadOfWider),
		row("listen_queue_size", "", "", acts|own, maybeNumber(func(u *User) *Optional[int] { return &u.ListenQueueSize }, 1, mostQueued),
			insteadOfWider),
	},
)

// policyKeys are session_state and the settings of single kinds in the scope
// that T is. Of doc, StateKinds asks about session_state.
func policyKeys[T any](of func(*T) *StateSettings, standard string, doc func(StateKind) string) []key[T] {
	general := func(t *T) *Optional[Policy] { return &of(t).General }
	keys := []key[T]{row("session_state", "", standard, acts|own, maybePolicy(general, generalWords()), doc(StateKinds))}
	for kind := range StateKinds {
		one := func(t *T) *Optional[Policy] { return &of(t).Kinds[kind] }
		keys = append(keys, row("state_"+kind.String(), "", "", acts|own, maybePolicy(one, policyWords(kind)), doc(kind)))
	}
	return keys
}

// policyDoc is what the global settings mean.
func policyDoc(kind StateKind) string {
	switch kind {
	case StateParameters:
		return "Parameters that SET, RESET and set_config change, the role too: `transparent` or `replay`, `reject`, `ignore`; empty is `session_state`."
	case StateStatements:
		return "Statements prepared by SQL PREPARE: `transparent` or `replay`, `reject`, `ignore`; empty is `session_state`."
	case StateCursors:
		return "Cursors WITH HOLD: `transparent` or `pin`, `reject`, `ignore`; empty is `session_state`."
	case StateListen:
		return "LISTEN: `transparent` or `multiplex`, `pin`, `reject`, `ignore`; empty is `session_state`."
	case StateTemporary:
		return "Temporary tables, views, sequences and the like: `transparent` or `pin`, `reject`, `ignore`; empty is `session_state`."
	case StateLocks:
		return "Advisory locks of the session: `transparent` or `pin`, `reject`, `ignore`; empty is `session_state`."
	case StateLibraries:
		return "Libraries that LOAD loads: `transparent` or `pin`, `reject`, `ignore`; empty is `session_state`."
	case StateSequences:
		return "What currval and lastval answer after nextval and setval: `transparent` or `pin`, `reject`, `ignore`; empty is `session_state`."
	case StateSeed:
		return "The seed of random(), by setseed or SET SEED: `transparent` or `pin`, `reject`, `ignore`; empty is `session_state`."
	case StateConnections:
		return "Connections that dblink opens and keeps: `transparent` or `pin`, `reject`, `ignore`; empty is `session_state`."
	case StateUnsure:
		return "What may leave anything behind, such as DO and CALL: `transparent` or `pin`, `reject`, `ignore`; empty is `session_state`."
	}
	return "What happens in transaction mode when a statement leaves something behind in its session: `transparent`, `reject` or `ignore`."
}
