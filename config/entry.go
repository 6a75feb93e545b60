package config

import (
	"fmt"
	"strings"
)

// database reads an entry of [databases]. One with problems is kept, so that
// later checks don't find it missing.
func (r *reader) database(name, value string, at place) {
	what := "database " + quoteShort(name) + ": "
	switch {
	case name == "":
		r.problem(at, "a database needs a name")
		return
	case IsConsole(name):
		r.problem(at, what+"this name is reserved for the console")
		return
	case len(r.config.Databases) >= mostEntries:
		r.problem(at, fmt.Sprintf("more than %d databases", mostEntries))
		return
	}
	d := &Database{Name: name, at: at}
	other := func(p pair) bool {
		parameter, ok := strings.CutPrefix(p.key, parameterPrefix)
		if ok && isParameterName(parameter) {
			d.setParameter(parameter, p.value)
			return true
		}
		return false
	}
	for _, wrong := range setPairs(d, databaseKeys, value, other) {
		r.problem(at, what+wrong)
	}
	if earlier, ok := r.config.find(name); ok {
		d.noted = append(d.noted, at.problem(fmt.Sprintf("%sreplaces the entry at %s:%d", what, earlier.at.file, earlier.at.line)))
	}
	r.config.AddDatabase(d)
}

// setParameter sets a start-up parameter, in its own field where it has one.
func (d *Database) setParameter(name, value string) {
	switch name = strings.ToLower(name); name {
	case "client_encoding":
		d.ClientEncoding = value
	case "datestyle":
		d.DateStyle = value
	case "timezone":
		d.TimeZone = value
	case "application_name":
		d.ApplicationName = value
	default:
		if d.Parameters == nil {
			d.Parameters = make(map[string]string)
		}
		d.Parameters[name] = value
	}
}

// isParameterName reports whether name could be a parameter of Postgres that
// may stand in a start-up message: words joined by dots, but none of those
// that the message uses for itself.
func isParameterName(name string) bool {
	switch strings.ToLower(name) {
	case "user", "database", "replication":
		return false
	}
	if len(name) > 127 || strings.HasPrefix(strings.ToLower(name), "_pq_.") {
		return false
	}
	for word := range strings.SplitSeq(name, ".") {
		if word == "" || '0' <= word[0] && word[0] <= '9' {
			return false
		}
		if strings.ContainsFunc(word, func(c rune) bool { return c != '_' && (!isNameChar(c) || c == '-' || c == '*') }) {
			return false
		}
	}
	return true
}

// user reads an entry of [users].
func (r *reader) user(name, value string, at place) {
	what := "user " + quoteShort(name) + ": "
	switch {
	case name == "":
		r.problem(at, "a user needs a name")
		return
	case len(r.config.Users) >= mostEntries:
		r.problem(at, fmt.Sprintf("more than %d users", mostEntries))
		return
	}
	u := &User{Name: name, at: at}
	for _, wrong := range setPairs(u, userKeys, value, func(pair) bool { return false }) {
		r.problem(at, what+wrong)
	}
	if r.config.Users == nil {
		r.config.Users = make(map[string]*User)
	}
	r.config.Users[name] = u
}

// peer reads an entry of [peers].
func (r *reader) peer(name, value string, at place) {
	id, err := parseInt(name, 1, mostPeerID)
	if err != nil {
		r.problem(at, "peer "+quoteShort(name)+": as its id "+err.Error())
		return
	}
	p := &Peer{ID: id, at: at}
	for i := range peerKeys {
		if standard := peerKeys[i].Default; standard != "" {
			_ = peerKeys[i].bind.set(p, standard) // a test sets every default of the tables
		}
	}
	for _, wrong := range setPairs(p, peerKeys, value, func(pair) bool { return false }) {
		r.problem(at, fmt.Sprintf("peer %d: %s", id, wrong))
	}
	if p.Host == "" {
		r.problem(at, fmt.Sprintf("peer %d: needs a host", id))
		return
	}
	if i, ok := r.peerAt[id]; ok {
		r.config.Peers[i] = p
		return
	}
	r.peerAt[id] = len(r.config.Peers)
	r.config.Peers = append(r.config.Peers, p)
}
