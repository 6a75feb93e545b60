package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"sync/atomic"
)

const saltLen = 16 // bytes, as Postgres has it

// scramKeys are what a server has to know to verify a SCRAM proof.
type scramKeys struct {
	iterations     int
	salt           []byte
	stored, server [sha256.Size]byte
}

// derive fills in the keys from a password, and returns the one that isn't kept;
// RFC 5802, section 3. It takes long.
func (k *scramKeys) derive(password string) (client clientKey) {
	salted, err := pbkdf2.Key(sha256.New, prepare(password), k.salt, k.iterations, sha256.Size)
	if err != nil {
		// Only a Go toolchain restricted to FIPS 140 answers with an error, to
		// short salts. The keys stay zero and are the hash of nothing known.
		return client
	}
	client = mac(salted, "Client Key")
	k.stored = sha256.Sum256(client[:])
	k.server = mac(salted, "Server Key")
	return client
}

// matches says whether the keys were derived from password, and which one a
// client would have. It takes long.
func (k *scramKeys) matches(password string) (client clientKey, ok bool) {
	of := scramKeys{iterations: k.iterations, salt: k.salt}
	client = of.derive(password)
	return client, subtle.ConstantTimeCompare(of.stored[:], k.stored[:]) == 1
}

func mac(key []byte, text string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	h.Sum(sum[:0])
	return sum
}

// derivedKeys are the SCRAM keys of a plain secret: made for the first client
// that needs them, and shared by all the others.
type derivedKeys struct {
	current atomic.Pointer[derivation]
}

// derivation is keys whose salt and iterations are fixed and whose hashes are
// computed by the first call of run.
type derivation struct {
	once sync.Once
	done atomic.Bool
	keys scramKeys
}

// at returns the derivation for an iteration count. It doesn't block.
func (d *derivedKeys) at(iterations int, random func([]byte)) *derivation {
	for {
		old := d.current.Load()
		if old != nil && old.keys.iterations == iterations {
			return old
		}
		made := &derivation{keys: scramKeys{iterations: iterations, salt: make([]byte, saltLen)}}
		random(made.keys.salt)
		if d.current.CompareAndSwap(old, made) {
			return made
		}
	}
}

// run computes the hashes unless that has been done, and waits for whoever is
// at it.
func (d *derivation) run(password string) {
	d.once.Do(func() {
		d.keys.derive(password)
		d.done.Store(true)
	})
}
