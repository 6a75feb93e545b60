package state

import "carpool/proxy/wire"

// AppendClean appends one Query message that frees a session of the kinds of
// state in h, to be sent when no transaction is open; the answer is to be
// swallowed, and may contain rows. Anything but success as the answer means
// that the session isn't clean. Before version 13 of Postgres it may be the
// session's statement_timeout that stops it, as that is then for the query as a
// whole. It appends nothing if there is nothing to do.
//
// ok is false, and nothing is appended, if only the end of the session frees it:
// that is so for HoldsLibraries and HoldsConnections. HoldsAnything, all kinds
// together, is the exception, as it is said of what couldn't be read: the
// session is freed of all that a query can free it of, which is what DISCARD ALL
// does and a new seed. Who knows that a library was loaded or a connection
// opened has to ask for that alone.
//
// What the query does besides:
//   - with HoldsStatements the server forgets all prepared statements, those of
//     the protocol too;
//   - with HoldsAnything it does that, and all parameters, role and
//     session_authorization among them, become what they were after the login
//     (custom ones become empty).
//
// Otherwise parameters are left as they are: HoldsParameters is a matter of
// AppendReplay. The query is pure ASCII and works whatever the session has set
// and whoever its role is.
func AppendClean(dst []byte, h Holdings) (out []byte, ok bool) {
	if h == HoldsAnything {
		return wire.AppendQuery(dst, cleanBegin+cleanAll), true
	}
	if h&(HoldsLibraries|HoldsConnections) != 0 {
		return dst, false
	}
	start := len(dst)
	dst, mark := wire.Begin(dst, wire.Query)
	dst = append(dst, cleanBegin...)
	empty := len(dst)
	for i := range cleanings {
		if h&cleanings[i].holds != 0 {
			dst = append(dst, cleanings[i].query...)
		}
	}
	if len(dst) == empty {
		return dst[:start], true
	}
	return wire.Finish(append(dst, 0), mark), true
}

// cleanBegin gives the query the time it needs, which may be seconds for
// thousands of tables, and lets nobody make it wait or fail (auditTransaction).
// It lasts as long as the query, since the statements of one Query are one
// transaction.
const cleanBegin = untimed + auditTransaction

// cleanings are in the order of what depends on what: cursors may be of
// temporary tables.
var cleanings = [...]struct {
	holds Holdings
	query string
}{
	{HoldsCursors, "CLOSE ALL;"},
	{HoldsStatements, "DEALLOCATE ALL;"},
	{HoldsListens, "UNLISTEN *;"},
	{HoldsAdvisoryLocks, cleanLocks},
	{HoldsTemporary, "DISCARD TEMP;"},
	{HoldsSequences, "DISCARD SEQUENCES;"},
	{HoldsSeed, cleanSeed},
}

const (
	cleanLocks = "SELECT pg_catalog.pg_advisory_unlock_all();"

	// A number from -1 to 1 that nobody can know who has set the seed before.
	cleanSeed = "SELECT pg_catalog.setseed(pg_catalog.hashfloat8(pg_catalog.date_part('epoch',pg_catalog.clock_timestamp()))" +
		"::pg_catalog.float8 OPERATOR(pg_catalog./) 2147483648);"

	// cleanAll is what DISCARD ALL does, which may only stand alone, where
	// statement_timeout could stop it. The parameters are last, as that ends
	// what cleanBegin has set. The role that ALTER ROLE gives to logins comes
	// back by RESET ROLE; on old servers the statement before it leaves none.
	cleanAll = "CLOSE ALL;DEALLOCATE ALL;UNLISTEN *;" + cleanLocks + "DISCARD PLANS;DISCARD TEMP;DISCARD SEQUENCES;" + cleanSeed +
		"SET SESSION AUTHORIZATION DEFAULT;RESET ROLE;RESET ALL;"
)
