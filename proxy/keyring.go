package proxy

import (
	"sync"

	"carpool/config"
	"carpool/proxy/auth"
	"carpool/proxy/upstream"
)

// mostKeys is how many users' secrets are kept for logging in to servers. The
// next login of one that had to make room brings it back.
const mostKeys = 10_000

// keyring keeps what clients have logged in by, as far as it takes that to log
// in to servers as the same users: the keys that the proof of a SCRAM secret
// gives away, and the secrets that auth_query found. The zero value is empty.
// Any goroutine may use it.
type keyring struct {
	mu      sync.Mutex
	secrets map[owner]auth.Secret // guarded by mu
}

// owner is whose a secret is. Two databases may be on servers that know different
// users by the same name, and what was found on one isn't shown to the other;
// with a user of the configuration, database is empty.
type owner struct{ database, user string }

// put notes by which secret a user has logged in.
func (k *keyring) put(o owner, s auth.Secret) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old, ok := k.secrets[o]; ok {
		if _, proven := s.Keys(); !proven && old.Equal(s) {
			return // it knows at least as much
		}
	} else if len(k.secrets) >= mostKeys {
		for other := range k.secrets { // any one
			delete(k.secrets, other)
			break
		}
	}
	if k.secrets == nil {
		k.secrets = make(map[owner]auth.Secret)
	}
	k.secrets[o] = s
}

func (k *keyring) get(o owner) (auth.Secret, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.secrets[o]
	return s, ok
}

// secretFor is what a server of a database is logged in to with. Keys count only
// as long as the configuration has the secret that they belong to.
func (p *Proxy) secretFor(database, user string) auth.Secret {
	s, known := p.current.Load().lookup(user)
	if !known {
		s, _ = p.keyring.get(owner{database, user})
		return s
	}
	if proven, ok := p.keyring.get(owner{user: user}); ok && proven.Equal(s) {
		return proven
	}
	return s
}

// passOn has a database's servers logged in to with what clients have logged in
// by, where the database has no password of its own.
func (p *Proxy) passOn(t *upstream.Target, d *config.Database) {
	if d.Password == "" {
		t.Secret = func() auth.Secret { return p.secretFor(d.Name, t.User) }
	}
}

// noteSecret keeps what the client has logged in by, if servers may have to be logged
// in to with it.
func (s *session) noteSecret() {
	l := s.login
	secret := l.secret
	if l.mechanism != nil {
		secret = l.mechanism.Proven()
	}
	switch _, proven := secret.Keys(); {
	case l.asked.settings != nil:
		s.proxy.keyring.put(owner{l.identity.Database, l.identity.User}, secret)
	case proven:
		s.proxy.keyring.put(owner{user: l.identity.User}, secret)
	}
}
