package state

import "strings"

// known are the parameters that Postgres servers of all supported versions
// report and that a session can change, in the spelling that servers use.
var known = [...]struct {
	name string
	free bool // the case of letters in values doesn't matter
}{
	{"application_name", false},
	{"client_encoding", true},
	{"DateStyle", true},
	{"default_transaction_read_only", true},
	{"IntervalStyle", true},
	{"scram_iterations", true},
	{"search_path", false},
	{"standard_conforming_strings", true},
	{"TimeZone", true},
}

// fixed are parameters that servers report but no session can simply set: facts
// about the server or the login. crdb_version and padb_version come from kin of
// Postgres.
var fixed = [...]string{
	"crdb_version",
	"in_hot_standby",
	"integer_datetimes",
	"is_superuser",
	"padb_version",
	"role",
	"server_encoding",
	"server_version",
	"server_version_num",
	"session_authorization",
}

// Tracked reports whether a parameter that a server reports is one that a
// client can have changed, and which has to follow the client to its next
// server. The case of name doesn't matter.
func Tracked(name string) bool {
	for _, f := range fixed {
		if strings.EqualFold(f, name) {
			return false
		}
	}
	return validName(name)
}

// loginOnly reports whether a name belongs to start-up packets alone: what
// isn't a parameter of the session, and parameters that a running session can't
// set (PGC_BACKEND and PGC_SU_BACKEND in Postgres's sources), or not for good
// and, from Postgres 16 on, not back: seed and those of the transaction at hand.
func loginOnly(name string) bool {
	switch name = strings.ToLower(name); name {
	case "user", "database", "options", "replication",
		"ignore_system_indexes", "jit_debugging_support", "jit_profiling_support",
		"local_preload_libraries", "log_connections", "log_disconnections",
		"post_auth_delay", "session_preload_libraries",
		"seed", "transaction_deferrable", "transaction_isolation", "transaction_read_only":
		return true
	}
	return strings.HasPrefix(name, "_pq_.")
}

// renamed are parameters that Postgres still takes by the names they once had.
// It lists and shows them by the new ones alone.
var renamed = [...]struct{ old, now string }{
	{"sort_mem", "work_mem"},
	{"vacuum_mem", "maintenance_work_mem"},
}

// nameNow returns the name that the parameter called name has now, if name is
// one it once had.
func nameNow(name []byte) (now string, old bool) {
	for i := range renamed {
		if equalFold(renamed[i].old, name) {
			return renamed[i].now, true
		}
	}
	return "", false
}

// Canonical returns name in the spelling that servers report, or a copy of it
// if it isn't a parameter that Postgres reports, and whether it is Tracked. Of a
// parameter that once had this name it is the name of today.
// For the parameters that Postgres reports it doesn't allocate.
func Canonical(name []byte) (string, bool) {
	if now, old := nameNow(name); old {
		return now, true
	}
	for i := range known {
		if equalFold(known[i].name, name) {
			return known[i].name, true
		}
	}
	for _, f := range fixed {
		if equalFold(f, name) {
			return f, false
		}
	}
	s := string(name)
	return s, validName(s)
}

// Reported is Canonical for a parameter in a server's report: followed is
// whether what the server says is taken for the client's doing.
//
// default_transaction_read_only isn't. It is how all of a server is made
// read-only, and writable again, by its configuration, and sessions report that
// in the midst of whatever they do. Whom such a report was taken for, it would
// make read-only on other servers as well, and for good; and those who were told
// otherwise before would be kept writing. As with parameters that servers don't
// report, what clients set is read in their statements.
func Reported(name []byte) (canonical string, followed bool) {
	canonical, followed = Canonical(name)
	return canonical, followed && canonical != "default_transaction_read_only"
}

// spellingIsFree reports whether the case of letters in the parameter's values
// has no meaning.
func spellingIsFree(name string) bool {
	for i := range known {
		if strings.EqualFold(known[i].name, name) {
			return known[i].free
		}
	}
	return false
}

// takesQuotedList reports whether the value of a parameter is a list of
// identifiers that are quoted already (GUC_LIST_QUOTE in Postgres's sources).
// SET would take such a value for a single identifier.
func takesQuotedList(name string) bool {
	switch strings.ToLower(name) {
	case "search_path", "temp_tablespaces", "local_preload_libraries",
		"session_preload_libraries", "shared_preload_libraries", "unix_socket_directories":
		return true
	}
	return false
}

func equalFold(a string, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// Nameable reports whether name can be the name of a parameter in a set.
func Nameable(name string) bool { return validName(name) }

// custom reports whether a parameter isn't one of Postgres's own. Custom ones
// come into being when they are set or reset, and stay in their session.
func custom(name string) bool { return strings.IndexByte(name, '.') >= 0 }

// maxNameLen is the longest name of a parameter, in bytes. Postgres has no such
// limit for custom parameters; none that exists comes near it.
const maxNameLen = 128

// validName reports whether name can be the name of a parameter: ASCII
// identifiers separated by dots. Longer ones than Postgres takes for identifiers
// can only be set by set_config, and never be named in a RESET.
func validName(name string) bool {
	if name == "" || len(name) > maxNameLen {
		return false
	}
	length := 0
	for i := range len(name) {
		switch c := lower(name[i]); {
		case c >= 'a' && c <= 'z', c == '_':
			length++
		case (c >= '0' && c <= '9' || c == '$') && length > 0:
			length++
		case c == '.' && length > 0:
			length = 0
		default:
			return false
		}
		if length > maxIdentifier {
			return false
		}
	}
	return length > 0
}
