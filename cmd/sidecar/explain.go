package sidecar

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"carpool/config"
)

// Explain writes what a sidecar would do, for people to read, without a password and without anything else in URLs that might be
// one. reckonings, if any, say in the order of the URLs how the sizes of the pools came about.
func (p *Plan) Explain(w io.Writer, urls []*URL, c *config.Config, reckonings, command []string) error {
	identities := Identities(urls)
	var b strings.Builder
	for i, u := range urls {
		d := c.Databases[i]
		limits := c.Resolve(d, d.User)
		fmt.Fprintf(&b, "%s is %s, sslmode %s.\n", u.Variable, u.Place(), limits.ServerTLS.Mode)
		fmt.Fprintf(&b, "  Server connections: %s, in %s mode.\n", PoolSize(c, i), limits.PoolMode)
		if i < len(reckonings) {
			fmt.Fprintf(&b, "  %s.\n", reckonings[i])
		}
	}
	door := Door{Host: "127.0.0.1", Port: "PORT", Password: "PASSWORD"}
	switch {
	case c.UnixSocketDir != "":
		door.SocketDir = c.UnixSocketDir
		fmt.Fprintf(&b, "carpool would listen on a Unix socket in %s", c.UnixSocketDir)
	case c.ListenPort != 0:
		door.Port = fmt.Sprint(c.ListenPort)
		fmt.Fprintf(&b, "carpool would listen on %s, port %d", strings.Join(c.ListenAddr, ", "), c.ListenPort)
	default:
		fmt.Fprintf(&b, "carpool would listen on %s, a free port", strings.Join(c.ListenAddr, ", "))
	}
	b.WriteString(", with a password made at start, and the command would get:\n")
	environ, notes := p.Environ(urls, identities, door)
	for _, entry := range environ {
		if name, value, _ := strings.Cut(entry, "="); p.environ.Value(name) != value {
			fmt.Fprintf(&b, "  %s=%s\n", name, p.shown(name, value))
		}
	}
	for _, entry := range p.environ {
		if name, _, _ := strings.Cut(entry, "="); !slices.ContainsFunc(environ, func(e string) bool { return strings.HasPrefix(e, name+"=") }) {
			fmt.Fprintf(&b, "  no %s\n", name)
		}
	}
	for _, note := range append(notes, Warnings(c)...) {
		fmt.Fprintf(&b, "%s.\n", note.Text)
	}
	p.explainSettings(&b)
	if len(command) > 0 {
		fmt.Fprintf(&b, "The command is: %s\n", credentials.ReplaceAllString(strings.Join(command, " "), "://***@"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// explainSettings writes which settings aren't as carpool has them by default, and why.
func (p *Plan) explainSettings(b *strings.Builder) {
	standard := config.Default()
	b.WriteString("Settings that differ from carpool's own defaults:\n")
	for _, setting := range config.Settings() {
		value, _ := p.layers.config.Value(setting.Name)
		usual, _ := standard.Value(setting.Name)
		from := p.layers.given[setting.Name]
		if value != usual || from != "" {
			fmt.Fprintf(b, "  %s = %s (%s)\n", setting.Name, cmp.Or(value, "empty"), cmp.Or(from, "as carpool exec has it"))
		}
	}
}

// credentials are what looks like a user and a password in a URL.
var credentials = regexp.MustCompile(`://[^\s/@]*:[^\s@]*@`)

// shown is a variable's value as it may be shown: original URLs not at all, of query strings only what is known to be harmless.
func (p *Plan) shown(name, value string) string {
	if p.options.KeepDirect && strings.HasSuffix(name, directSuffix) {
		return "(the original URL, with its password)"
	}
	head, query, ok := strings.Cut(value, "?")
	if !ok {
		return value
	}
	items := strings.Split(query, "&")
	for i, item := range items {
		key, _, _ := strings.Cut(item, "=")
		if !slices.Contains([]string{"application_name", "connect_timeout", "host", "port", "options", "prepared_statements", "sslmode"}, key) {
			items[i] = key + "=..."
		}
	}
	return head + "?" + strings.Join(items, "&")
}

// PoolSize says how many server connections the pool of the nth URL may have, for people to read.
func PoolSize(c *config.Config, n int) string {
	d := c.Databases[n]
	limits := c.Resolve(d, d.User)
	switch {
	case limits.PoolSize == 0:
		return "no limit"
	case limits.ReservePoolSize > 0 && c.ReservePoolTimeout > 0:
		return fmt.Sprintf("%d and %d in reserve", limits.PoolSize, limits.ReservePoolSize)
	}
	return fmt.Sprint(limits.PoolSize)
}
