package admin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy"
	"carpool/proxy/wire"
)

// command is one verb besides SHOW and SET.
type command struct {
	name  string // in lower case
	usage string // of its argument, as SHOW HELP prints it
	run   func(*session, context.Context, statement) result
}

// commands are all verbs that only admin_users may use.
var commands = [...]command{
	{"reload", "", (*session).reload},
	{"pause", "[db]", (*session).pause},
	{"resume", "[db]", (*session).resume},
	{"disable", "db", (*session).disable},
	{"enable", "db", (*session).enable},
	{"reconnect", "[db]", (*session).reconnect},
	{"kill", "[db]", (*session).kill},
	{"kill_client", "id", (*session).killClient},
	{"suspend", "", (*session).suspend},
	{"wait_close", "[db]", (*session).waitClose},
	{"shutdown", "[WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]", (*session).shutdown},
}

func findCommand(verb string) *command {
	for i := range commands {
		if commands[i].name == verb {
			return &commands[i]
		}
	}
	return nil
}

// prepare takes a query apart and looks its words up. Whether the user may do
// what it says, and whether that is possible, is found out by run.
func (s *session) prepare(sql string) (*prepared, *wire.Report) {
	st, ok := parse(sql)
	p := &prepared{statement: st}
	switch {
	case !ok:
	case st.verb == "", st.verb == "set", findCommand(st.verb) != nil:
		return p, nil
	case isShow(st.verb) && isHelp(st):
		return p, nil
	case isShow(st.verb):
		if sh, known := s.console.findShow(st); known {
			p.show = sh
			return p, nil
		}
	}
	r := invalidCommand(sql)
	return nil, &r
}

// run does what a statement says.
func (s *session) run(ctx context.Context, p *prepared) result {
	s.console.queries.Add(1)
	st := p.statement
	switch {
	case st.verb == "":
		return result{}
	case isShow(st.verb):
		return s.show(p)
	case st.verb == "set":
		return s.set(st)
	case !s.admin:
		return failed(adminNeeded())
	}
	return findCommand(st.verb).order(s, ctx, st)
}

// order runs a command, and logs who gives it. One that isn't carried out, or not
// to its end, has a second line.
func (c *command) order(s *session, ctx context.Context, st statement) result {
	verb, log := strings.ToUpper(c.name), s.log
	if st.args > 0 {
		log = log.With(c.argument(), printable(st.arg))
	}
	log.Info(verb + " command issued")
	r := c.run(s, ctx, st)
	if r.failure != nil {
		log.Info(verb+" command wasn't carried out", "sqlstate", r.failure.Code, "error", r.failure.Message)
	}
	return r
}

// argument is what the log calls the command's argument.
func (c *command) argument() string {
	switch strings.Trim(c.usage, "[]") {
	case "db":
		return "database"
	case "id":
		return "id"
	}
	return "mode"
}

// onDatabase runs an order about a database, or about all where none is named.
func onDatabase(st statement, order func(database string) error) result {
	if st.args > 0 && config.IsConsole(st.arg) {
		return failed(errorReport(codeState, fmt.Sprintf("cannot %s admin db: %s", strings.ToLower(st.verb), st.arg)))
	}
	if err := order(st.arg); err != nil {
		return failed(orderReport(err, st.arg))
	}
	return done(strings.ToUpper(st.verb))
}

// orderReport is why an order wasn't carried out, or not to its end.
func orderReport(err error, database string) wire.Report {
	switch {
	case errors.Is(err, proxy.ErrNoDatabase):
		return errorReport(codeNoDatabase, "no such database: "+printable(database))
	case errors.Is(err, proxy.ErrNotPaused) && database == "":
		r := errorReport(codeState, "pooler is not paused/suspended")
		r.Hint = "Databases that were paused one by one are resumed one by one."
		return r
	case errors.Is(err, proxy.ErrNotPaused):
		return errorReport(codeState, fmt.Sprintf("database %s is not paused", printable(database)))
	case errors.Is(err, pool.ErrResumed):
		return errorReport(codeState, "resumed before the pause was complete")
	case errors.Is(err, proxy.ErrInterrupted):
		return errorReport(codeCanceled, "canceling statement due to user request")
	case errors.Is(err, proxy.ErrNoClient):
		return errorReport(codeNoObject, err.Error())
	}
	return errorReport(codeState, err.Error())
}

func (s *session) pause(ctx context.Context, st statement) result {
	return onDatabase(st, func(database string) error { return s.console.proxy.Pause(ctx, database) })
}

func (s *session) resume(_ context.Context, st statement) result {
	return onDatabase(st, s.console.proxy.Resume)
}

func (s *session) reconnect(_ context.Context, st statement) result {
	return onDatabase(st, s.console.proxy.Reconnect)
}

func (s *session) waitClose(ctx context.Context, st statement) result {
	return onDatabase(st, func(database string) error { return s.console.proxy.AwaitClose(ctx, database) })
}

func (s *session) kill(_ context.Context, st statement) result {
	return onDatabase(st, s.console.proxy.Kill)
}

func (s *session) disable(_ context.Context, st statement) result {
	if st.args == 0 {
		return failed(errorReport(codeSyntax, "a database is required"))
	}
	return onDatabase(st, s.console.proxy.Disable)
}

func (s *session) enable(_ context.Context, st statement) result {
	if st.args == 0 {
		return failed(errorReport(codeSyntax, "a database is required"))
	}
	return onDatabase(st, s.console.proxy.Enable)
}

// killClient ends the client with the id that SHOW CLIENTS shows.
func (s *session) killClient(_ context.Context, st statement) result {
	id, err := strconv.ParseUint(st.arg, 10, 64)
	if err != nil {
		return failed(errorReport(codeSyntax, "invalid client id supplied"))
	}
	if err := s.console.proxy.KillClient(id); err != nil {
		return failed(orderReport(err, ""))
	}
	return done("KILL_CLIENT")
}

// suspend is refused: it keeps sockets still while another process takes them
// over, and no other process does.
func (s *session) suspend(context.Context, statement) result {
	r := errorReport(codeNotSupported, "SUSPEND isn't supported: no other process takes over open connections")
	r.Hint = "PAUSE lets a server be restarted; so_reuseport lets a second carpool start before this one ends."
	return failed(r)
}

// shutdown begins to end the proxy. The answer to an immediate one may not be
// sent any more.
func (s *session) shutdown(_ context.Context, st statement) result {
	mode := proxy.Immediate
	switch argument := strings.ToLower(st.arg); {
	case st.args == 0:
	case argument == "wait_for_servers" && !st.isName:
		mode = proxy.WaitForServers
	case argument == "wait_for_clients" && !st.isName:
		mode = proxy.WaitForClients
	default:
		return failed(invalidCommand(st.text))
	}
	s.console.proxy.Shutdown(mode)
	return done("SHUTDOWN")
}
