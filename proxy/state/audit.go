package state

import (
	"slices"

	"carpool/proxy/wire"
)

// Question is what a server is asked about the state of its session. The zero
// value asks nothing.
type Question struct {
	// Holds are the kinds of state that are asked about. Those that aren't
	// Askable are passed over.
	Holds Holdings
	// Names are the parameters whose values are wanted, if HoldsParameters is
	// asked, in any case; role and session_authorization may be among them. What
	// can't be a parameter's name, and what no session can be given back (such
	// as transaction_isolation), is passed over.
	Names []string
	// All, if HoldsParameters is asked, wants every parameter that the session
	// has set, whatever its name, role and session_authorization too. Servers
	// don't list custom parameters that belong to no library that is loaded:
	// those have to be among Names.
	All bool
	// ValuesOnly, without All, doesn't ask where the values of Names come from,
	// which saves the server a look at all of its parameters and most of the work.
	// A Setting is then said to be Explicit if it has a value (one that isn't
	// empty, if it has a dot in its name). Values are with units. An error is the
	// answer if a parameter is hidden from the session's role.
	ValuesOnly bool
}

// Askable are the kinds of state that a server can be asked about. What it can't
// tell is which libraries, values of sequences, seeds and connections of dblink
// its session has.
func Askable() Holdings {
	return HoldsParameters | HoldsStatements | HoldsCursors | HoldsListens | HoldsTemporary | HoldsAdvisoryLocks
}

// MaxFound is the largest number of channels, and of statements, that an answer
// has; if there are more, Findings.Row refuses the answer.
const MaxFound = 12_000

// AppendAudit appends one Query message that asks what q says, to be sent when
// no transaction is open: what one holds would be found too. It appends nothing
// if q asks nothing. The rows of the answer are for Findings.Row.
//
// The query is pure ASCII, and means the same whatever the session has set and
// whoever its role is: every name in it is qualified. It changes nothing. An
// error as the answer means that nothing is known. Three things lead to one: a
// statement_timeout of a millisecond, if it is itself asked for (before version
// 13 of Postgres, always); a name or value with characters that client_encoding
// doesn't have; a right to look at the system catalogs that was taken from
// everybody.
func AppendAudit(dst []byte, q *Question) []byte {
	start := len(dst)
	dst, mark := wire.Begin(dst, wire.Query)
	a := audit{dst: append(dst, auditTransaction...)}
	empty := len(a.dst)
	parameters := q.Holds&HoldsParameters != 0
	unhurried := !parameters || !q.asks("statement_timeout")
	if unhurried {
		a.dst = append(a.dst, untimed...)
		empty = len(a.dst)
	}
	if parameters {
		a.parameters(q)
	}
	if a.parts > 0 && !unhurried && q.Holds&Askable()&^HoldsParameters != 0 {
		a.dst = append(append(a.dst, ';'), untimed...)
		a.parts = 0
	}
	for i := range audits {
		if q.Holds&audits[i].holds != 0 {
			a.part(audits[i].query)
		}
	}
	if len(a.dst) == empty {
		return a.dst[:start]
	}
	return wire.Finish(append(a.dst, 0), mark)
}

// asks reports whether the parameter called name is asked for, if any is.
func (q *Question) asks(name string) bool {
	return q.All || slices.ContainsFunc(q.Names, func(n string) bool { return compareFold(n, name) == 0 })
}

const (
	// auditTransaction comes first: with the defaults of the session the query
	// might have to wait, for a snapshot that is safe (SERIALIZABLE, READ ONLY,
	// DEFERRABLE), or fail (SERIALIZABLE on a standby). It lasts as long as the
	// query, since the statements of one Query are one transaction.
	auditTransaction = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;"
	// untimed, which lasts as long, gives what follows the time it needs. Of
	// statement_timeout itself it would hide what the session has set.
	untimed = "SET LOCAL statement_timeout TO 0;"
)

// The first column of a row says what has been found.
const (
	foundLock      = 'a'
	foundCursor    = 'c'
	foundTemporary = 't'
	foundChannel   = 'l'
	foundStatement = 'p'
	foundSetting   = 's' // that the session has set
	foundDefault   = 'd' // that it hasn't
)

// audits are the questions that are always asked in the same way. They ask the
// functions behind the views, which is less work to plan.
//
// Whatever is in a schema depends on it, so one look into pg_depend (2615 is
// pg_namespace) finds temporary objects of every sort.
var audits = [...]struct {
	holds Holdings
	query string
}{
	{HoldsAdvisoryLocks, `SELECT 'a',NULL,NULL WHERE EXISTS(SELECT FROM pg_catalog.pg_lock_status() AS l ` +
		`WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())`},
	{HoldsCursors, `SELECT 'c',NULL,NULL WHERE EXISTS(SELECT FROM pg_catalog.pg_cursor() AS c WHERE c.is_holdable)`},
	{HoldsTemporary, `SELECT 't',NULL,NULL WHERE EXISTS(SELECT FROM pg_catalog.pg_depend AS d ` +
		`WHERE d.refclassid OPERATOR(pg_catalog.=) '2615' AND d.refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())`},
	{HoldsListens, `(SELECT 'l',l.name,NULL FROM pg_catalog.pg_listening_channels() AS l(name) LIMIT ` + askedFound + `)`},
	{HoldsStatements, `(SELECT 'p',p.name,NULL FROM pg_catalog.pg_prepared_statement() AS p WHERE p.from_sql LIMIT ` + askedFound + `)`},
}

// One more than there may be is asked for, so that it shows.
const (
	askedFound    = "12001"
	askedValueLen = "16385" // in characters
)

// The parameters that aren't in pg_settings and are asked for by themselves.
const (
	roleName          = "role"
	authorizationName = "session_authorization"
)

// Setting session_authorization leaves the user who has logged in to be seen in
// pg_stat_activity.
//
// Where logins can be given a role (ALTER ROLE, ALTER DATABASE ... SET role),
// having none may be the session's own doing.
const (
	auditRole = `SELECT CASE WHEN pg_catalog.current_setting('role') OPERATOR(pg_catalog.=) 'none' AND NOT EXISTS(` +
		`SELECT FROM pg_catalog.pg_db_role_setting AS r,pg_catalog.unnest(r.setconfig) AS c(setting) ` +
		`WHERE pg_catalog.left(c.setting,5) OPERATOR(pg_catalog.=) 'role=') THEN 'd' ELSE 's' END,` +
		`'role',pg_catalog.current_setting('role')`
	auditAuthorization = `SELECT CASE WHEN pg_catalog.pg_get_userbyid(a.usesysid) OPERATOR(pg_catalog.=) SESSION_USER THEN 'd' ELSE 's' END,` +
		`'session_authorization',SESSION_USER::pg_catalog.text FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a`
)

// audit is a query that is being written.
type audit struct {
	dst    []byte
	parts  int
	others bool // parameters besides those that are asked for by themselves are named
}

// part adds a query whose rows are part of the answer.
func (a *audit) part(query string) {
	if a.parts > 0 {
		a.dst = append(a.dst, " UNION ALL "...)
	}
	a.parts++
	a.dst = append(a.dst, query...)
}

// parameters adds the queries for parameters.
func (a *audit) parameters(q *Question) {
	role, authorization := q.All, q.All
	for _, name := range q.Names {
		switch {
		case compareFold(name, roleName) == 0:
			role = true
		case compareFold(name, authorizationName) == 0:
			authorization = true
		default:
			a.others = a.others || listed(name)
		}
	}
	if authorization {
		a.part(auditAuthorization)
	}
	if role {
		a.part(auditRole)
	}
	switch {
	case q.All || a.others && !q.ValuesOnly:
		a.settings(q)
	case a.others:
		a.values(q)
	}
}

// settings adds the query for the parameters that pg_settings has, and for
// custom parameters, which it hasn't. Where a library has given its parameter a
// name with capital letters, the parameter is taken for a custom one. Those are
// set as long as they exist: once there, they are empty after a RESET, not gone.
func (a *audit) settings(q *Question) {
	const explicit = `s.source OPERATOR(pg_catalog.=) 'session' AND s.name OPERATOR(pg_catalog.<>) ` +
		`ALL('{transaction_deferrable,transaction_isolation,transaction_read_only}'::pg_catalog.text[])`
	if !a.others {
		a.part(`SELECT 's',s.name,pg_catalog.left(s.setting,` + askedValueLen + `) FROM pg_catalog.pg_show_all_settings() AS s WHERE ` + explicit)
		return
	}
	a.part(`SELECT CASE WHEN s.source OPERATOR(pg_catalog.=) 'session' OR v.value IS NOT NULL THEN 's' ELSE 'd' END,` +
		`COALESCE(s.name,n.name),pg_catalog.left(COALESCE(s.setting,v.value),` + askedValueLen + `) FROM pg_catalog.pg_show_all_settings() AS s `)
	if q.All {
		a.dst = append(a.dst, `FULL JOIN `...)
	} else {
		a.dst = append(a.dst, `RIGHT JOIN `...)
	}
	a.names(q)
	a.dst = append(a.dst, ` ON s.name OPERATOR(pg_catalog.=) n.name CROSS JOIN LATERAL (SELECT CASE WHEN s.name IS NULL `+
		`AND pg_catalog.strpos(n.name,'.') OPERATOR(pg_catalog.>) 0 THEN pg_catalog.current_setting(n.name,true) END) AS v(value)`...)
	if q.All {
		a.dst = append(a.dst, ` WHERE n.name IS NOT NULL OR `+explicit...)
	}
}

// values adds the query for the values of parameters alone.
func (a *audit) values(q *Question) {
	a.part(`SELECT CASE WHEN v.value OPERATOR(pg_catalog.=) '' AND pg_catalog.strpos(v.name,'.') OPERATOR(pg_catalog.>) 0 OR v.value IS NULL ` +
		`THEN 'd' ELSE 's' END,v.name,v.value FROM (SELECT n.name,pg_catalog.left(pg_catalog.current_setting(n.name,true),` + askedValueLen + `) FROM `)
	a.names(q)
	a.dst = append(a.dst, ` OFFSET 0) AS v(name,value)`...)
}

// names adds the names that are listed as a table n. They are folded here: how
// the server's lower does it depends on its locale.
func (a *audit) names(q *Question) {
	a.dst = append(a.dst, `pg_catalog.unnest('{`...)
	separate := false
	for _, name := range q.Names {
		if !listed(name) {
			continue
		}
		if separate {
			a.dst = append(a.dst, ',')
		}
		separate = true
		if spelling, ok := spelled(name); ok {
			a.dst = append(a.dst, spelling...)
			continue
		}
		for i := range len(name) {
			a.dst = append(a.dst, lower(name[i]))
		}
	}
	a.dst = append(a.dst, `}'::pg_catalog.text[]) AS n(name)`...)
}

// spelled returns the name of a parameter in which servers use capital letters.
func spelled(name string) (string, bool) {
	for i := range known {
		if compareFold(known[i].name, name) == 0 {
			return known[i].name, true
		}
	}
	return "", false
}

// listed reports whether a parameter is one to look for in pg_settings.
func listed(name string) bool {
	return validName(name) && !transient(name) && compareFold(name, roleName) != 0 && compareFold(name, authorizationName) != 0
}

// transient reports whether a parameter belongs to a transaction, or only tells
// something, so that no other session can be given it.
func transient(name string) bool {
	for _, t := range [...]string{"is_superuser", "seed", "transaction_deferrable", "transaction_isolation", "transaction_read_only"} {
		if compareFold(name, t) == 0 {
			return true
		}
	}
	return false
}
