package auth

import (
	"net/netip"
)

// HBA is a list of rules that say how clients prove who they are, by where they
// come from and what they ask for, in PgBouncer's dialect of pg_hba.conf. It
// doesn't change once loaded; a nil *HBA lets nobody in.
type HBA struct {
	rules []hbaRule
}

// Rule is how one client has to prove who it is. The zero value lets nobody in.
type Rule struct {
	Method Method
	// Map is what the name that a certificate or the operating system gives is
	// looked up in; nil demands that it is the user's own. Cert and Peer only.
	Map *NameMap
}

// Origin is what a client comes by, and what it claims and asks for.
type Origin struct {
	Unix bool       // by a Unix socket; Addr and TLS don't count
	Addr netip.Addr // of TCP clients
	TLS  bool

	User, Database string
	// Physical is whether it asks for physical replication, which is of no
	// database.
	Physical bool
}

// hbaRule is one line of the file.
type hbaRule struct {
	kind       hbaKind
	databases  nameSet
	users      nameSet
	everywhere bool         // address "all"
	network    netip.Prefix // unless everywhere, and but for hbaLocal
	rule       Rule
}

// hbaKind is the first word of a rule.
type hbaKind uint8

const (
	hbaLocal hbaKind = iota
	hbaHost
	hbaHostSSL
	hbaHostNoSSL
)

// nameSet is a list of users or databases.
type nameSet struct {
	all         bool
	sameUser    bool // databases: the one that is called like the user
	replication bool // databases: physical replication
	names       map[string]struct{}
}

// Rule returns the first rule that is for such a client. Without one nobody is
// let in. It takes no longer than it takes to look at every rule, and doesn't
// allocate.
func (h *HBA) Rule(o Origin) Rule {
	if h == nil {
		return Rule{Method: Reject}
	}
	o.Addr = o.Addr.Unmap()
	for i := range h.rules {
		if r := &h.rules[i]; r.comes(&o) && r.asks(&o) {
			return r.rule
		}
	}
	return Rule{Method: Reject}
}

// comes reports whether the rule is for clients from there.
func (r *hbaRule) comes(o *Origin) bool {
	switch {
	case o.Unix || r.kind == hbaLocal:
		return o.Unix && r.kind == hbaLocal
	case r.kind == hbaHostSSL && !o.TLS, r.kind == hbaHostNoSSL && o.TLS:
		return false
	case r.everywhere:
		return true
	}
	return r.network.Contains(o.Addr)
}

// asks reports whether the rule is for what the client wants.
func (r *hbaRule) asks(o *Origin) bool {
	return r.databases.hasDatabase(o) && r.users.has(o.User)
}

func (s *nameSet) has(name string) bool {
	if s.all {
		return true
	}
	_, ok := s.names[name]
	return ok
}

// hasDatabase is has for databases. As in Postgres "all" isn't about physical
// replication.
func (s *nameSet) hasDatabase(o *Origin) bool {
	if o.Physical {
		return s.replication
	}
	return s.sameUser && o.User == o.Database || s.has(o.Database)
}
