package proxy

import (
	"strconv"

	"carpool/proxy/prepared"
	"carpool/proxy/state"
)

// What a prepared statement means depends on parameters too: constants in its
// text are read when it is prepared, as dates of some style in some time zone,
// say. Clients share statements, and a statement is prepared again on the next
// server, maybe after its client has changed such a parameter. What holds:
//
//  1. Statements are shared only by clients with the same values of all
//     parameters that decide on what the text means.
//  2. A statement is executed only by clients that have the values it was
//     prepared under; a server may read its text again at any time. A client that
//     has changed one since it prepared the statement has a variant of it, for
//     these values before and after.
//  3. A variant is prepared under the values before: they are set for that
//     moment, and taken back.
//  4. While it isn't certain what the values are (see reading.go), or the client
//     has temporary objects that may be meant, it shares with nobody.
//
// The search_path is an exception: servers themselves look whether it is what it
// was, so that a copy that is there serves all. So it is with the user whose
// schema is in it; but a text that is prepared is shared only with who is the same.

// meant is what a client's next statement means, as far as its parameters say.
type meant struct {
	of      *state.Params
	now     *prepared.Meaning
	unsure  shift  // what isn't certain
	private string // tells what is prepared while it isn't; empty until needed
}

// doubt notes what isn't certain of what the client's statements mean.
func (s *statements) doubt(unsure shift) {
	s.meant.unsure = unsure &^ shiftDialect
	if s.meant.unsure == 0 {
		s.meant.private = ""
	}
}

// doubtNames has the session's names follow what isn't certain now.
func (s *session) doubtNames() {
	unsure := s.uncertain()
	if s.residue.hasTemporary() {
		unsure |= shiftTemporary
	}
	s.names.doubt(unsure)
}

// now is what the client's parameters say of what texts mean.
func (s *statements) now() *prepared.Meaning {
	m := &s.meant
	if m.now == nil || m.of != s.params {
		m.of = s.params
		if now := prepared.NewMeaning(s.params.Value); m.now == nil || !m.now.Equal(now) {
			m.now = now
		}
	}
	return m.now
}

// certain is now if it is certain, or nil.
func (s *statements) certain() *prepared.Meaning {
	if s.meant.unsure != 0 {
		return nil
	}
	return s.now()
}

// alone is a dialect that nobody else has.
func (s *statements) alone() string {
	if s.meant.private == "" {
		s.meant.private = "?" + strconv.FormatUint(s.catalog.Preparation(), 10)
	}
	return s.meant.private
}

// intern returns the statement that a client means by rest, what follows the
// name in a Parse.
func (s *statements) intern(rest []byte) *prepared.Statement {
	now := s.certain()
	if now == nil {
		return s.catalog.InternIn(s.alone(), rest)
	}
	return s.catalog.InternIn(now.Key(prepared.SensitivityOf(rest)), rest)
}

// choose makes a name stand for the statement that the client may use now.
func (s *statements) choose(n *prepared.Name) {
	now := s.certain()
	if n.Home == nil || now != nil && n.Seen == now {
		return
	}
	of := n.Statement.Sensitivity()
	key := n.Home.Key(of)
	n.Seen = now
	if now != nil && now.Values(of) == n.Home.Values(of) {
		s.become(n, key, nil)
		return
	}
	if s.meant.unsure&shiftMeaning == 0 && n.Home.BesidesPath(of) == s.now().BesidesPath(of) {
		home := n.Statement.In(key, func() (string, string) { return "", "" })
		has := s.cache.Has(home)
		if has {
			n.Become(home)
			n.Seen = nil // the next server may not have it
		}
		home.Release()
		if has {
			return
		}
	}
	if now != nil {
		key += ">" + now.Values(of)
	} else {
		key += s.alone()
	}
	s.become(n, key, func() (string, string) { return around(n.Home, now, of) })
}

// become makes a name stand for its text in another dialect.
func (s *statements) become(n *prepared.Name, dialect string, around func() (ahead, behind string)) {
	if n.Statement.Dialect() == dialect {
		return
	}
	if around == nil {
		around = func() (string, string) { return "", "" }
	}
	other := n.Statement.In(dialect, around)
	n.Become(other)
	other.Release()
}

// around are the commands that set what matters to a statement to what it was
// prepared under, and take that back: what differs from now, or everything if
// that is nil.
func around(home, now *prepared.Meaning, of prepared.Sensitivity) (ahead, behind string) {
	var set, back []byte
	number := 0
	for one := range home.Differences(now, of) {
		name, kept := one.Name, "carpool.kept_"+strconv.Itoa(number)
		set = append(separated(set), "pg_catalog.set_config('"+kept+"',pg_catalog.current_setting('"+name+"'),true),pg_catalog.set_config('"+name+"',"...)
		switch {
		case !one.Known:
			set = append(set, "(SELECT s.reset_val FROM pg_catalog.pg_show_all_settings() AS s WHERE s.name OPERATOR(pg_catalog.=) '"+name+"')"...)
		case plainASCII([]byte(one.Value)):
			set = state.AppendLiteral(set, one.Value)
		default: // only the search_path may be; of what it leads to the server takes care
			set = append(set, "pg_catalog.current_setting('"+name+"')"...)
		}
		set = append(set, ",true)"...)
		back = append(separated(back), "pg_catalog.set_config('"+name+"',pg_catalog.current_setting('"+kept+"'),true)"...)
		number++
	}
	return string(set), string(back)
}

// separated is the beginning of the next column of a SELECT.
func separated(dst []byte) []byte {
	if len(dst) == 0 {
		return append(dst, "SELECT "...)
	}
	return append(dst, ',')
}

// aroundNow are the commands around the preparation, at this moment, of what was
// prepared under home; empty if none are needed, or if that isn't known.
func (s *session) aroundNow(home *prepared.Meaning, of prepared.Sensitivity) (ahead, behind string) {
	s.doubtNames()
	now := s.names.certain()
	if home == nil || now != nil && now.Values(of) == home.Values(of) {
		return "", ""
	}
	return around(home, now, of)
}
