package auth

import (
	"errors"
	"fmt"
)

// NameMaps are maps from names that a certificate or the operating system gives
// to names of users, as in Postgres's pg_ident.conf. They don't change once
// loaded; a nil *NameMaps has none.
type NameMaps struct {
	maps map[string]*NameMap
}

// NameMap is one of them.
type NameMap struct {
	users map[string]*nameSet // that somebody may log in as
}

// LoadNameMaps reads maps: a map's name, the name from outside and the user's on
// each line; "all" is every user. name is the file's. The error tells all faults
// with their lines.
func LoadNameMaps(content []byte, name string) (*NameMaps, error) {
	m := &NameMaps{maps: make(map[string]*NameMap)}
	var faults faults
	entries := 0
	for number, line := range lines(content) {
		tokens, err := tokenize(line)
		if err == nil && len(tokens) > 0 {
			entries++
			err = m.add(tokens)
		}
		if err == nil && entries > maxHBANames {
			err = fmt.Errorf("more than %d lines", maxHBANames)
		}
		if err != nil && faults.add(name, number, err) {
			break
		}
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	return m, nil
}

// add reads one line.
func (m *NameMaps) add(tokens []token) error {
	if len(tokens) != 3 {
		return errors.New("expected the name of a map, a name from outside and a user's name")
	}
	for _, t := range tokens {
		switch {
		case t.comma:
			return errors.New("unexpected comma")
		case !t.quoted && t.text[0] == '/':
			return fmt.Errorf("%s isn't supported: a regular expression", t)
		case !t.quoted && (t.text[0] == '+' || t.text[0] == '@'):
			return fmt.Errorf("%s isn't supported", t)
		}
	}
	to, ok := m.maps[tokens[0].text]
	if !ok {
		to = &NameMap{users: make(map[string]*nameSet)}
		m.maps[tokens[0].text] = to
	}
	set, ok := to.users[tokens[1].text]
	if !ok {
		set = &nameSet{names: make(map[string]struct{})}
		to.users[tokens[1].text] = set
	}
	if user := tokens[2]; user.text == "all" && !user.quoted {
		set.all = true
	} else {
		set.names[user.text] = struct{}{}
	}
	return nil
}

func (m *NameMaps) find(name string) (*NameMap, bool) {
	if m == nil {
		return nil, false
	}
	found, ok := m.maps[name]
	return found, ok
}

// Allows reports whether somebody whom a certificate or the operating system
// calls outside may log in as user. A nil map allows it if the names are equal.
func (m *NameMap) Allows(outside, user string) bool {
	if outside == "" {
		return false
	}
	if m == nil {
		return outside == user
	}
	set, ok := m.users[outside]
	return ok && set.has(user)
}
