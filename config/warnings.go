package config

import (
	"fmt"
	"slices"
	"strings"
)

// Warnings returns what is accepted but has no effect or is likely a mistake:
// settings that were given and that carpool doesn't act on yet, settings and
// entries given twice in a file, sizes that contradict each other. Nil if there is nothing.
func (c *Config) Warnings() Problems {
	warnings := slices.Clone(c.noted)
	for i := range globalKeys {
		k := &globalKeys[i]
		if at, given := c.places[k.Name]; given && !k.Effective {
			warnings = append(warnings, at.problem(k.Name+": carpool does not act on this setting yet"))
		}
	}
	warnings = append(warnings, c.accessWarnings()...)
	if len(c.Databases) == 0 {
		warnings = append(warnings, Problem{Message: "no database is configured: clients reach nothing but the console"})
	}
	for _, d := range c.Databases {
		warnings = append(warnings, d.noted...)
		warnings = append(warnings, c.databaseWarnings(d)...)
	}
	for _, p := range c.Peers {
		warnings = append(warnings, p.at.problem(fmt.Sprintf("peer %d: carpool does not pass cancel requests on yet", p.ID)))
	}
	return warnings
}

func (c *Config) accessWarnings() Problems {
	var warnings Problems
	if c.AuthType == AuthTrust || c.AuthType == AuthAny {
		for _, address := range c.ListenAddr {
			if !isLoopback(address) {
				warnings = append(warnings, c.places["auth_type"].problem(
					"auth_type: with "+c.AuthType.String()+" clients need no password, and "+quoteShort(address)+" may be reached from other machines"))
			}
		}
	}
	if c.AuthType != AuthAny && c.AuthFile == "" && len(c.StaticUsers) == 0 && !c.Inquires() {
		warnings = append(warnings, c.places["auth_type"].problem("auth_type: without auth_file and auth_user there are no users, so no client can log in"))
	}
	if c.AuthType == AuthAny && c.Inquires() {
		warnings = append(warnings, c.places["auth_user"].problem("auth_user: has no effect, since auth_type = any asks for no user"))
	}
	for _, right := range []struct {
		name  string
		users []string
	}{{"admin_users", c.AdminUsers}, {"stats_users", c.StatsUsers}} {
		for _, user := range right.users {
			if strings.ContainsAny(user, ";#") {
				warnings = append(warnings, c.places[right.name].problem(
					right.name+": "+quoteShort(user)+" is taken for one name: commas separate names, and a comment needs a line of its own"))
			}
		}
	}
	for _, side := range []struct {
		name string
		tls  TLS
	}{{"client_tls_protocols", c.ClientTLS}, {"server_tls_protocols", c.ServerTLS}} {
		if side.tls.Protocols.Min < secureProtocols().Min {
			warnings = append(warnings, c.places[side.name].problem(side.name+": versions before tlsv1.2 are not safe"))
		}
	}
	return warnings
}

func (c *Config) databaseWarnings(d *Database) Problems {
	var warnings Problems
	warn := func(message string) {
		warnings = append(warnings, d.at.problem("database "+quoteShort(d.Name)+": "+message))
	}
	for i := range databaseKeys {
		k := &databaseKeys[i]
		given := k.bind.text(d) != k.bind.text(&Database{})
		if given && !k.Effective {
			warn(k.Name + ": carpool does not act on this yet")
		}
	}
	if d.Password != "" && d.User == "" {
		warn("the password has no effect without a user")
	}
	r := c.Resolve(d, d.User)
	if r.PoolSize > 0 && r.MinPoolSize > r.PoolSize {
		warn(fmt.Sprintf("min_pool_size %d is more than its pool_size %d", r.MinPoolSize, r.PoolSize))
	}
	if r.MaxDBConnections > 0 && r.MinPoolSize > r.MaxDBConnections {
		warn(fmt.Sprintf("min_pool_size %d is more than its max_db_connections %d", r.MinPoolSize, r.MaxDBConnections))
	}
	return warnings
}
