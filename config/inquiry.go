package config

import (
	"cmp"
	"slices"
)

// Inquiry is how the secret of a user is found who isn't in auth_file.
type Inquiry struct {
	User     string // who asks; "" is nobody, and the other fields mean nothing
	Database string // the entry of [databases] in which is asked; "" if there is none
	Query    string // with $1 for the user's name
}

// Inquiry returns how users are looked up who want to log in to d. nil stands
// for the console, and for a database that there isn't: then only what is set
// for all databases counts.
func (c *Config) Inquiry(d *Database) Inquiry {
	if d == nil {
		return Inquiry{User: c.AuthUser, Database: c.AuthDBName, Query: c.AuthQuery}
	}
	return Inquiry{
		User:     cmp.Or(d.AuthUser, c.AuthUser),
		Database: cmp.Or(d.AuthDBName, c.AuthDBName, d.Name),
		Query:    cmp.Or(d.AuthQuery, c.AuthQuery),
	}
}

// Inquires reports whether users are looked up anywhere.
func (c *Config) Inquires() bool {
	return c.AuthUser != "" || slices.ContainsFunc(c.Databases, func(d *Database) bool { return d.AuthUser != "" })
}
