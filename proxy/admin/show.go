package admin

import (
	"slices"
	"strings"

	"carpool/config"
	"carpool/proxy/wire"
)

// show is one verb of SHOW. Everybody who gets in to the console may use all
// of them.
type show struct {
	name    string // in lower case
	columns []column
	rows    func(*Console) [][]cell // nil: not built yet
}

// shows are all verbs of SHOW, in the order of SHOW HELP: PgBouncer's, then ours.
var shows = [...]show{
	{"clients", nil, nil},
	{"servers", nil, nil},
	{"sockets", nil, nil},
	{"active_sockets", nil, nil},
	{"pools", poolColumns, (*Console).poolRows},
	{"peer_pools", nil, nil},
	{"databases", databaseColumns, (*Console).databaseRows},
	{"users", nil, nil},
	{"peers", nil, nil},
	{"stats", statsColumns, (*Console).statsRows},
	{"stats_totals", nil, nil},
	{"stats_averages", nil, nil},
	{"totals", nil, nil},
	{"lists", nil, nil},
	{"config", columns(typeText, "key value default changeable"), (*Console).configRows},
	{"mem", nil, nil},
	{"state", columns(typeText, "key value"), (*Console).stateRows},
	{"dns_hosts", nil, nil},
	{"dns_zones", nil, nil},
	{"fds", nil, nil},
	{"version", columns(typeText, "version"), (*Console).versionRows},
	{"pins", pinColumns, (*Console).pinRows},
	{"hazards", hazardColumns, (*Console).hazardRows},
}

func (s *session) show(dst []byte, st statement) []byte {
	if st.args == 0 {
		return wire.AppendError(dst, invalidCommand(st.text))
	}
	name := strings.ToLower(st.arg)
	if name == "help" && !st.isName {
		dst = wire.AppendNotice(dst, notice(help()))
		return appendComplete(dst, "SHOW")
	}
	if v, ok := findVariable(name); ok {
		return appendTable(dst, "SHOW", columns(typeText, v.name), [][]cell{{text(v.value)}})
	}
	for i := range shows {
		sh := &shows[i]
		switch {
		case sh.name != name || st.isName:
		case sh.rows == nil:
			return wire.AppendError(dst, notBuilt("SHOW "+strings.ToUpper(name)))
		default:
			return appendTable(dst, "SHOW", sh.columns, sh.rows(s.console))
		}
	}
	return wire.AppendError(dst, invalidCommand(st.text))
}

// help lists what is built.
func help() string {
	var b strings.Builder
	b.WriteString("Console usage")
	var names []string
	for i := range shows {
		if shows[i].rows != nil {
			names = append(names, strings.ToUpper(shows[i].name))
		}
	}
	b.WriteString("\n\tSHOW HELP|" + strings.Join(names, "|"))
	for i := range commands {
		if c := &commands[i]; c.run != nil {
			b.WriteString("\n\t" + strings.TrimRight(strings.ToUpper(c.name)+" "+c.usage, " "))
		}
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
	answer := func(key string, v bool) []cell {
		if v {
			return []cell{text(key), text("yes")}
		}
		return []cell{text(key), text("no")}
	}
	return [][]cell{
		answer("active", !st.Stopping),
		answer("paused", false),
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
