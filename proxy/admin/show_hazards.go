package admin

import (
	"slices"

	"carpool/config"
	"carpool/proxy"
)

var hazardColumns = slices.Concat(
	columns(typeText, "kind database user application_name"),
	columns(typeInt8, "times"),
	columns(typeText, "statement advice"),
)

// hazardRows has a row for each kind of session state that made clients keep
// their servers, by whose they were; the most frequent first.
func (c *Console) hazardRows() [][]cell {
	var rows [][]cell
	for _, h := range c.proxy.Hazards() {
		rows = append(rows, hazardRow(&h))
	}
	return rows
}

func hazardRow(h *proxy.Hazard) []cell {
	return []cell{
		text(h.Kind.String()),
		text(h.Database),
		text(h.User),
		text(h.Application),
		number(h.Times),
		text(h.Cause),
		text(advice(h.Kind)),
	}
}

// advice is what an application does instead of leaving a kind of state in its
// session, and the setting for those who can't or needn't.
func advice(kind config.StateKind) string {
	switch kind {
	case config.StateParameters:
		return "Set fewer parameters for a session: those of one transaction by SET LOCAL, those of a user by ALTER ROLE. state_parameters = reject finds out who sets them."
	case config.StateStatements:
		return "Prepare in the protocol, as drivers do, or PREPARE shorter texts under plain ASCII names: those work on any server. state_statements = reject finds out who doesn't."
	case config.StateCursors:
		return "Declare cursors without HOLD, and fetch from them in one transaction, or CLOSE them early. state_cursors = reject finds out who doesn't."
	case config.StateListen:
		return "UNLISTEN what is no longer wanted. state_listen = multiplex, the default, has all who listen share a connection; pin gives each of them a server."
	case config.StateTemporary:
		return "Create temporary tables ON COMMIT DROP in the transaction that uses them, or DROP them early. state_temporary = reject finds out who doesn't."
	case config.StateLocks:
		return "Take advisory locks of the transaction (pg_advisory_xact_lock), or unlock them early. state_locks = reject finds out who doesn't."
	case config.StateLibraries:
		return "Name the library in session_preload_libraries of the server, and don't LOAD it. Then state_libraries = ignore is safe."
	case config.StateSequences:
		return "INSERT ... RETURNING, or the answer of nextval itself, needs no currval or lastval. If nobody calls them, state_sequences = ignore is safe."
	case config.StateSeed:
		return "Compute what has to be repeatable from a number of your own. If nobody needs random() to be, state_seed = ignore is safe."
	case config.StateConnections:
		return "Use foreign tables (postgres_fdw), or dblink with a connection string, and no dblink_connect. state_connections = reject finds out who calls it."
	default:
		return "DISCARD ALL afterwards frees the server. If what such statements (DO, CALL) do leaves nothing in a session, state_unsure = ignore is safe."
	}
}
