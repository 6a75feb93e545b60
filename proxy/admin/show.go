package admin

import (
	"fmt"
	"slices"
	"strings"

	"carpool/config"
)

// show is one verb of SHOW. Everybody who gets in to the console may use all
// of them.
type show struct {
	name    string // in lower case
	columns []column
	rows    func(*Console) [][]cell // nil: it can't be shown
}

// shows are all verbs of SHOW, in the order of SHOW HELP: PgBouncer's, then ours.
var shows = [...]show{
	{"clients", socketColumns, (*Console).clientRows},
	{"servers", socketColumns, (*Console).serverRows},
	{"sockets", debugColumns, (*Console).socketRows},
	{"active_sockets", debugColumns, (*Console).activeSocketRows},
	{"pools", poolColumns, (*Console).poolRows},
	{"peer_pools", peerPoolColumns, noRows},
	{"databases", databaseColumns, (*Console).databaseRows},
	{"users", userColumns, (*Console).userRows},
	{"peers", peerColumns, (*Console).peerRows},
	{"stats", statsColumns, (*Console).statsRows},
	{"stats_totals", statsTotalsColumns, (*Console).statsTotalsRows},
	{"stats_averages", statsAveragesColumns, (*Console).statsAveragesRows},
	{"totals", totalsColumns, (*Console).totalsRows},
	{"lists", listColumns, (*Console).listRows},
	{"config", columns(typeText, "key value default changeable"), (*Console).configRows},
	{"mem", memColumns, (*Console).memRows},
	{"state", columns(typeText, "key value"), (*Console).stateRows},
	{"dns_hosts", dnsHostColumns, noRows},
	{"dns_zones", dnsZoneColumns, noRows},
	{"version", columns(typeText, "version"), (*Console).versionRows},
	{"pins", pinColumns, (*Console).pinRows},
	{"hazards", hazardColumns, (*Console).hazardRows},
	{"waits", waitColumns, (*Console).waitRows},
	{"latency", latencyColumns, (*Console).latencyRows},
	{"lookups", lookupColumns, (*Console).lookupRows},
	{"all", columns(typeText, "name setting description"), variableRows},
}

// isShow reports whether a verb shows something. To PgBouncer both are the same,
// and its clients know.
func isShow(verb string) bool { return verb == "show" || verb == "select" }

// isHelp reports whether what is to be shown is the help, which has no rows.
func isHelp(st statement) bool { return strings.EqualFold(st.arg, "help") && !st.isName }

// findShow finds what a statement wants shown: one of carpool's views, or one of
// Postgres's parameters.
func (c *Console) findShow(st statement) (show, bool) {
	if st.args == 0 {
		return show{}, false
	}
	if v, ok := findVariable(st.arg); ok {
		return show{v.name, columns(typeText, v.name), func(*Console) [][]cell { return [][]cell{{text(v.value)}} }}, true
	}
	for i := range shows {
		if strings.EqualFold(shows[i].name, st.arg) && !st.isName {
			if c.proxy.Config().ConsoleOldColumns {
				return withOldColumns(shows[i]), true
			}
			return shows[i], true
		}
	}
	if strings.EqualFold(st.arg, "fds") && !st.isName {
		return show{name: "fds"}, true
	}
	return show{}, false
}

// maxRows bounds what is shown.
const maxRows = 100_000

// show shows what a statement wants.
func (s *session) show(p *prepared) result {
	if isHelp(p.statement) {
		return done("SHOW", notice(help()))
	}
	if p.rows == nil {
		r := errorReport(codeNotSupported, "SHOW FDS isn't supported: no other process takes over open connections")
		r.Hint = "SHOW SOCKETS shows them."
		return failed(r)
	}
	r := done("SHOW")
	if r.rows = p.rows(s.console); len(r.rows) > maxRows {
		r.rows = r.rows[:maxRows]
		r.notices = append(r.notices, notice(fmt.Sprintf("only the first %d rows are shown", maxRows)))
	}
	return r
}

func noRows(*Console) [][]cell { return nil }

// variableRows are what drivers ask for.
func variableRows(*Console) [][]cell {
	var rows [][]cell
	for _, v := range variables {
		rows = append(rows, []cell{text(v.name), text(v.value), text("")})
	}
	return rows
}

// help lists what there is.
func help() string {
	var b strings.Builder
	b.WriteString("Console usage\n\tSHOW HELP")
	for i := range shows {
		b.WriteString("|" + strings.ToUpper(shows[i].name))
	}
	b.WriteString("\n\tSET key = value")
	for i := range commands {
		c := &commands[i]
		b.WriteString("\n\t" + strings.TrimRight(strings.ToUpper(c.name)+" "+c.usage, " "))
	}
	return b.String()
}

// configRows show every setting but its secrets.
func (c *Console) configRows() [][]cell {
	var rows [][]cell
	for _, s := range config.Settings() {
		value, _ := c.proxy.Config().Value(s.Name)
		if s.Secret && value != "" {
			value = "*****"
		}
		changeable := "no"
		if s.Reloadable {
			changeable = "yes"
		}
		rows = append(rows, []cell{text(s.Name), text(value), text(s.Default), text(changeable)})
	}
	slices.SortFunc(rows, func(a, b []cell) int { return strings.Compare(a[0].text, b[0].text) })
	return rows
}

func (c *Console) stateRows() [][]cell {
	st := c.proxy.State()
	paused, _ := c.proxy.Halted("")
	answer := func(key string, v bool) []cell {
		if v {
			return []cell{text(key), text("yes")}
		}
		return []cell{text(key), text("no")}
	}
	return [][]cell{
		answer("active", !st.Stopping && !paused),
		answer("paused", paused),
		answer("suspended", false),
		answer("stopping", st.Stopping),
		{text("poller"), text(st.Poller)},
		{text("event_loops"), number(st.Loops)},
	}
}

func (c *Console) versionRows() [][]cell { return [][]cell{{text(c.version)}} }

// versionNumber is the last word of the version, which has the program's name
// before it.
func versionNumber(version string) string {
	return version[strings.LastIndexByte(version, ' ')+1:]
}
