package sidecar

import (
	"maps"
	"slices"
	"strings"

	"carpool/config"
)

// Note is a sentence for the log, without a dot.
type Note struct {
	Text string
	// Warning is whether somebody should do something about it.
	Warning bool
}

// directSuffix is what the names of variables that hold original URLs end with.
const directSuffix = "_DIRECT"

// Environ is the environment of the command that reaches its databases through a door. Of the variables it rewrites no earlier
// value is left, and none of them has a real password any more, but for what is to be kept. Notes are about what might surprise.
func (p *Plan) Environ(urls []*URL, identities []Identity, door Door) (environ Environ, notes []Note) {
	before := p.before()
	values, without, extras, notes := p.forLibpq(urls, identities, door, p.secrets(urls, before))
	if p.noStatements {
		extras = append(extras, "prepared_statements=false")
	}
	for i, u := range urls {
		values[u.Variable] = u.local(door, identities[i].Database, extras)
		if direct := u.Variable + directSuffix; p.options.KeepDirect && p.environ.Value(direct) == "" {
			values[direct] = u.direct()
		}
	}
	for _, name := range p.names() {
		if _, done := values[name]; done || p.leaves(name) {
			continue
		}
		other, i := p.alike(name, urls, before)
		if other == nil {
			continue
		}
		values[name] = other.local(door, identities[i].Database, extras)
		note := name + " leads to the database of " + urls[i].Variable + " and is rewritten like it"
		if meansDirect(name) {
			note += ": --keep-direct leaves it as it is, with the real password, and so does --keep " + name
		}
		notes = append(notes, Note{Text: note})
	}
	for _, name := range p.keep {
		delete(values, name)
		without = slices.DeleteFunc(without, func(other string) bool { return other == name })
	}
	environ = p.environ.With(values, without...)
	return environ, append(notes, p.leaks(environ, p.secrets(urls, before))...)
}

// names are those of all variables, without repetitions, in their order.
func (p *Plan) names() []string {
	var names []string
	seen := make(map[string]bool)
	for _, entry := range p.environ {
		if name, _, _ := strings.Cut(entry, "="); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// meansDirect reports whether a variable is by its name meant to lead past a pooler.
func meansDirect(name string) bool {
	return strings.HasSuffix(name, directSuffix) || name == "DIRECT_URL"
}

// leaves reports whether a variable is to stay as it is.
func (p *Plan) leaves(name string) bool {
	return slices.Contains(p.keep, name) || p.options.KeepDirect && meansDirect(name)
}

// before are the URLs that the environment itself holds for our variables, which aren't those in use if these come from elsewhere;
// nil where it holds none.
func (p *Plan) before() []*URL {
	list := make([]*URL, len(p.Variables))
	for i, name := range p.Variables {
		if u, err := ParseURL(name, p.environ.Value(name), p.environ); err == nil {
			list[i] = u
		}
	}
	return list
}

// alike reads a variable that leads to a database of ours by the same role, as attachments of a database do on Heroku: its password
// would be there to see, and its connections would count. n is the number of the URL. It is nil for other variables.
func (p *Plan) alike(name string, urls, before []*URL) (other *URL, n int) {
	value := p.environ.Value(name)
	if !strings.Contains(value, "://") {
		return nil, 0
	}
	other, err := ParseURL(name, value, p.environ)
	if err != nil {
		return nil, 0
	}
	for i, u := range urls {
		for _, known := range []*URL{u, before[i]} {
			if known != nil && known.Server.User == other.Server.User && known.SameDatabase(other) {
				return other, i
			}
		}
	}
	return nil, 0
}

// secrets are the real passwords, by the variable whose URL has them.
func (p *Plan) secrets(urls, before []*URL) map[string]string {
	secrets := make(map[string]string)
	for _, u := range slices.Concat(before, urls) {
		if u != nil && u.Server.Password != "" {
			secrets[u.Server.Password] = u.Variable
		}
	}
	return secrets
}

// leaks warns of variables in which a real password is left. What is to be kept is nobody's surprise.
func (p *Plan) leaks(environ Environ, secrets map[string]string) []Note {
	var notes []Note
	for _, name := range p.names() {
		if p.options.KeepDirect || p.leaves(name) {
			continue
		}
		value := environ.Value(name)
		for _, password := range slices.Sorted(maps.Keys(secrets)) {
			if holds(name, value, password) {
				notes = append(notes, Note{
					Warning: true, Text: name + " has the password of " + secrets[password] + " in it and stays as it is, for the command to see: unset it if that isn't meant, or say --keep " + name,
				})
				break
			}
		}
	}
	return notes
}

// leastSecret is how long a password is at least, in bytes, that is looked for inside other text.
const leastSecret = 5

// holds reports whether a variable's value has a password in it: as a whole, as the password of a URL, or as a word.
func holds(name, value, password string) bool {
	if value == password {
		return true
	}
	if u, err := ParseURL(name, value, nil); err == nil {
		return u.Server.Password == password
	}
	return len(password) >= leastSecret && (hasWord(value, password) || hasWord(value, escape(password)))
}

// hasWord reports whether text has a word in it that doesn't go on on either side.
func hasWord(text, word string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return false
		}
		begin, end := from+i, from+i+len(word)
		if (begin == 0 || !isWordByte(text[begin-1])) && (end == len(text) || !isWordByte(text[end])) {
			return true
		}
		from = begin + 1
	}
}

func isWordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// Warnings are about what a configuration lets others do, beyond what config itself warns of.
func Warnings(c *config.Config) []Note {
	var notes []Note
	open := c.AuthType == config.AuthTrust || c.AuthType == config.AuthAny
	for _, address := range c.ListenAddr {
		switch {
		case !isLoopback(address) && !open && c.ClientTLS.Mode < config.SSLRequire:
			notes = append(notes, Note{Warning: true, Text: "carpool listens on " + address + ", which other machines may reach, and takes the password in clear text from clients that don't use TLS: --set client_tls_sslmode=require refuses them"})
		case isLoopback(address) && open:
			notes = append(notes, Note{Warning: true, Text: "auth_type = " + c.AuthType.String() + " lets everybody on this machine into the database without a password"})
		}
	}
	return notes
}
