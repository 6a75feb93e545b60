package config

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// redactedSecret stands where a password would.
const redactedSecret = "*****"

// Redacted returns the configuration as an ini file in which every password
// is replaced by stars. Settings that have their default are comments.
func (c *Config) Redacted() string {
	var b strings.Builder
	_ = c.WriteRedacted(&b) // a Builder takes everything
	return b.String()
}

// WriteRedacted writes to w what [Config.Redacted] returns. It returns the
// first error of w.
func (c *Config) WriteRedacted(w io.Writer) error {
	buffered := bufio.NewWriter(w)
	p := printer{w: buffered, redact: true}
	p.config(c)
	return buffered.Flush()
}

// printer writes a configuration as an ini file. Errors stay in w.
type printer struct {
	w      *bufio.Writer
	redact bool
}

// line writes the parts as one line.
func (p printer) line(parts ...string) {
	for _, part := range parts {
		p.w.WriteString(part) // the error stays in w until Flush
	}
	p.w.WriteByte('\n')
}

func (p printer) config(c *Config) {
	p.line("[pgbouncer]")
	heading := ""
	for i := range globalKeys {
		k := &globalKeys[i]
		if k.Group != heading {
			heading = k.Group
			p.line("; ", heading)
		}
		value, mark := k.bind.text(c), ""
		if value == k.Default {
			mark = ";"
		}
		p.line(strings.TrimRight(mark+k.Name+" = "+value, blanks))
	}
	for _, name := range sortedKeys(c.StaticUsers) {
		p.line("; besides auth_file: user ", quote(name), ", secret ", redactedSecret)
	}
	p.line()
	p.line("[databases]")
	for _, d := range c.Databases {
		p.line(quoteName(d.Name), " =", p.database(d))
	}
	if len(c.Users) > 0 {
		p.line()
		p.line("[users]")
	}
	for _, name := range sortedKeys(c.Users) {
		p.line(quoteName(name), " =", joinPairs(p.redact, userKeys, c.Users[name]))
	}
	if len(c.Peers) > 0 {
		p.line()
		p.line("[peers]")
	}
	for _, peer := range c.Peers {
		p.line(fmt.Sprint(peer.ID), " =", joinPairs(p.redact, peerKeys, peer))
	}
}

func (p printer) database(d *Database) string {
	text := joinPairs(p.redact, databaseKeys, d)
	for _, name := range sortedKeys(d.Parameters) {
		text += " " + parameterPrefix + name + "=" + quoteValue(d.Parameters[name])
	}
	return text
}

// joinPairs prints the keys of target that were given, each after a blank.
func joinPairs[T any](redact bool, keys []key[T], target *T) string {
	var zero T
	var b strings.Builder
	for i := range keys {
		k := &keys[i]
		value := k.bind.text(target)
		if value == k.bind.text(&zero) {
			continue
		}
		if k.Secret && redact {
			value = redactedSecret
		}
		b.WriteString(" " + k.Name + "=" + quoteValue(value))
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
