package proxy

import (
	"crypto/sha256"
	"maps"
	"os"
	"slices"
)

// Files are the names of the files that the settings in force were read from:
// users, rules, name maps, certificates, keys. The configuration file isn't
// among them. They are sorted. It doesn't block.
func (p *Proxy) Files() []string {
	return slices.Sorted(maps.Keys(p.current.Load().files))
}

// Refresh takes on what the files hold now that the configuration in force
// names, as a Reload of the same configuration would. If they hold what they
// held, it does nothing. It reads files, and blocks meanwhile. All or nothing:
// with an error everything stays as it was.
func (p *Proxy) Refresh() (Reloaded, error) {
	p.reloadMu.Lock()
	defer p.reloadMu.Unlock()
	before := p.current.Load()
	if !before.outdated() {
		return Reloaded{}, nil
	}
	return p.reloadLocked(before.Config, nil)
}

// outdated reports whether a file holds something else than when it was read,
// or can't be read any more.
func (n *settings) outdated() bool {
	for name, was := range n.files {
		content, err := os.ReadFile(name)
		if err != nil || sha256.Sum256(content) != was {
			return true
		}
	}
	return false
}
