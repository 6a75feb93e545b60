package admin

import (
	"strings"

	"carpool/proxy"
	"carpool/proxy/wire"
)

// command is one verb besides SHOW.
type command struct {
	name  string                                   // in lower case
	usage string                                   // of its argument, as SHOW HELP prints it
	run   func(*session, []byte, statement) []byte // nil: not built yet
}

// commands are all verbs that only admin_users may use.
var commands = [...]command{
	{"reload", "", nil},
	{"pause", "[db]", nil},
	{"resume", "[db]", nil},
	{"disable", "db", nil},
	{"enable", "db", nil},
	{"reconnect", "[db]", nil},
	{"kill", "[db]", nil},
	{"kill_client", "id", nil},
	{"suspend", "", nil},
	{"wait_close", "[db]", nil},
	{"shutdown", "[WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]", (*session).shutdown},
}

// execute appends the answer to a statement that has a verb.
func (s *session) execute(dst []byte, st statement) []byte {
	switch st.verb {
	case "show", "select": // to PgBouncer they are the same, and its clients know
		return s.show(dst, st)
	case "set":
		return s.set(dst, st)
	}
	for i := range commands {
		c := &commands[i]
		switch {
		case c.name != st.verb:
		case !s.admin:
			return wire.AppendError(dst, adminNeeded())
		case c.run == nil:
			return wire.AppendError(dst, notBuilt(strings.ToUpper(c.name)))
		default:
			return c.run(s, dst, st)
		}
	}
	return wire.AppendError(dst, invalidCommand(st.text))
}

// shutdown begins to end the proxy. The answer to an immediate one may not be
// sent any more.
func (s *session) shutdown(dst []byte, st statement) []byte {
	mode := proxy.Immediate
	switch argument := strings.ToLower(st.arg); {
	case st.args == 0:
	case argument == "wait_for_servers" && !st.isName:
		mode = proxy.WaitForServers
	case argument == "wait_for_clients" && !st.isName:
		mode = proxy.WaitForClients
	default:
		return wire.AppendError(dst, invalidCommand(st.text))
	}
	s.console.proxy.Shutdown(mode)
	return appendComplete(dst, "SHUTDOWN")
}

// variable is a parameter of Postgres's that drivers ask for, or set, whomever
// they talk to.
type variable struct{ name, value string }

var variables = [...]variable{
	{"client_encoding", "UTF8"},
	{"default_transaction_isolation", "read committed"},
	{"standard_conforming_strings", "on"},
	{"datestyle", "ISO"},
	{"timezone", "GMT"},
	{"application_name", ""},
	{"extra_float_digits", "1"},
}

func findVariable(name string) (variable, bool) {
	for _, v := range variables {
		if strings.EqualFold(v.name, name) {
			return v, true
		}
	}
	return variable{}, false
}

// set accepts drivers' variables from everybody and does nothing with them.
func (s *session) set(dst []byte, st statement) []byte {
	if _, ok := findVariable(st.arg); ok {
		dst = wire.AppendNotice(dst, notice("SET ignored"))
		return appendComplete(dst, "SET")
	}
	if !s.admin {
		return wire.AppendError(dst, adminNeeded())
	}
	return wire.AppendError(dst, notBuilt("SET of carpool's settings"))
}
