package config

import (
	"iter"
	"slices"
	"strconv"
)

// Change is one difference between two configurations.
type Change struct {
	// Name is a setting, or an entry or one of its keys, as in
	// "databases.app", "databases.app.port", "users.bob.pool_size", "peers.2".
	Name string
	// Old and New are the values as in the file, secrets redacted. For an
	// entry that was added or removed one of them is "" and the other is the
	// entry.
	Old, New     string
	NeedsRestart bool // the running process keeps the old value
	Reconnect    bool // server connections made before don't fit the new value
}

// Diff returns what differs between two configurations, in the order of the
// settings' table and of the databases in next. It returns nil if nothing does.
func Diff(old, next *Config) []Change {
	changes := diffKeys("", globalKeys, old, next)
	redacted := printer{redact: true}

	changes = append(changes, diffEntries("databases.",
		slices.Values(old.Databases), slices.Values(next.Databases),
		func(d *Database) string { return d.Name }, redacted.database,
		func(prefix string, a, b *Database) []Change {
			return append(diffKeys(prefix, databaseKeys, a, b), diffParameters(prefix, a, b)...)
		})...)

	changes = append(changes, diffEntries("users.",
		byName(old.Users), byName(next.Users),
		func(u *User) string { return u.Name },
		func(u *User) string { return joinPairs(true, userKeys, u) },
		func(prefix string, a, b *User) []Change { return diffKeys(prefix, userKeys, a, b) })...)

	changes = append(changes, diffEntries("peers.",
		slices.Values(old.Peers), slices.Values(next.Peers),
		func(p *Peer) string { return strconv.Itoa(p.ID) },
		func(p *Peer) string { return joinPairs(true, peerKeys, p) },
		func(prefix string, a, b *Peer) []Change { return diffKeys(prefix, peerKeys, a, b) })...)

	return append(changes, diffStaticUsers(old.StaticUsers, next.StaticUsers)...)
}

// diffKeys compares the settings of a table one by one.
func diffKeys[T any](prefix string, keys []key[T], old, next *T) []Change {
	var changes []Change
	for i := range keys {
		k := &keys[i]
		before, after := k.bind.text(old), k.bind.text(next)
		if before == after {
			continue
		}
		if k.Secret {
			before, after = hideSecret(before), hideSecret(after)
		}
		changes = append(changes, Change{
			Name: prefix + k.Name, Old: before, New: after,
			NeedsRestart: !k.Reloadable, Reconnect: k.Reconnect,
		})
	}
	return changes
}

func hideSecret(text string) string {
	if text == "" {
		return ""
	}
	return redactedSecret
}

func diffParameters(prefix string, old, next *Database) []Change {
	var changes []Change
	names := append(sortedKeys(old.Parameters), sortedKeys(next.Parameters)...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		before, had := old.Parameters[name]
		after, has := next.Parameters[name]
		if before != after || had != has {
			changes = append(changes, Change{Name: prefix + parameterPrefix + name, Old: before, New: after, Reconnect: true})
		}
	}
	return changes
}

// byName yields users in the order of their names.
func byName(users map[string]*User) iter.Seq[*User] {
	return func(yield func(*User) bool) {
		for _, name := range sortedKeys(users) {
			if !yield(users[name]) {
				return
			}
		}
	}
}

// diffEntries compares the entries of a section: those of next in their
// order, then those that are gone.
func diffEntries[T any](section string, old, next iter.Seq[*T], name, text func(*T) string, diff func(prefix string, a, b *T) []Change) []Change {
	before := make(map[string]*T)
	for entry := range old {
		before[name(entry)] = entry
	}
	var changes []Change
	kept := make(map[string]bool)
	for entry := range next {
		full := section + name(entry)
		kept[name(entry)] = true
		if was, ok := before[name(entry)]; ok {
			changes = append(changes, diff(full+".", was, entry)...)
		} else {
			changes = append(changes, Change{Name: full, New: name(entry) + " =" + text(entry)})
		}
	}
	for entry := range old {
		if !kept[name(entry)] {
			changes = append(changes, Change{Name: section + name(entry), Old: name(entry) + " =" + text(entry)})
		}
	}
	return changes
}

func diffStaticUsers(old, next map[string]string) []Change {
	var changes []Change
	names := append(sortedKeys(old), sortedKeys(next)...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		before, had := old[name]
		after, has := next[name]
		if before != after || had != has {
			changes = append(changes, Change{Name: "static_users." + name, Old: hideSecret(before), New: hideSecret(after)})
		}
	}
	return changes
}

// Merge returns what a process that runs under old can take on of next without
// a restart: next, except that the settings which need one keep old's values.
// The result shares next's entries; neither argument changes.
func Merge(old, next *Config) *Config {
	merged := *next
	for i := range globalKeys {
		if k := &globalKeys[i]; !k.Reloadable {
			k.bind.copy(&merged, old)
		}
	}
	return &merged
}
