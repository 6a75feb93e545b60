package auth

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// SecretKind is what a user's secret is made of.
type SecretKind uint8

const (
	// NoSecret: there is none, or an empty one; nobody can log in with it.
	NoSecret SecretKind = iota
	// PlainSecret is the password itself.
	PlainSecret
	// MD5Secret is "md5" and the hash of password and user name in hex.
	MD5Secret
	// SCRAMSecret is "SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey".
	SCRAMSecret
	// BadSecret begins like a SCRAM secret and isn't one, or demands more than
	// MaxIterations; nobody can log in with it.
	BadSecret
)

// String is the kind in one word.
func (k SecretKind) String() string {
	switch k {
	case NoSecret:
		return "none"
	case PlainSecret:
		return "plain"
	case MD5Secret:
		return "md5"
	case SCRAMSecret:
		return "scram"
	case BadSecret:
		return "bad"
	}
	return "unknown"
}

const (
	// MaxIterations is the largest iteration count of a SCRAM secret that is
	// accepted: some tenths of a second of CPU time for each password checked.
	MaxIterations = 1_000_000
	// MaxSecret is the length in bytes beyond which a secret isn't accepted.
	MaxSecret = 65531

	md5Prefix   = "md5"
	scramPrefix = scramName + "$"
	maxSaltLen  = 1024
)

// Secret is what is known of a user's password. The zero value is NoSecret.
// Copies share what has been computed from it. Printing it by any verb shows
// its kind alone.
type Secret struct {
	kind    SecretKind
	text    string       // as it was given
	keys    *scramKeys   // SCRAMSecret
	derived *derivedKeys // PlainSecret
	client  *clientKey   // SCRAMSecret; nil until a client has proven that it knows the password
}

// clientKey is RFC 5802's ClientKey. Who has it can log in.
type clientKey [sha256.Size]byte

// SCRAMKeys are what it takes to log in to a server by SCRAM without knowing
// the password; RFC 5802, section 3. They must not be logged.
type SCRAMKeys struct {
	Iterations     int
	Salt           []byte // to be read only
	Client, Server [sha256.Size]byte
}

// ParseSecret reads a secret in any of the forms that Postgres stores, where
// everything that looks like none of the others is a plain password.
func ParseSecret(s string) Secret {
	switch {
	case s == "":
		return Secret{}
	case len(s) > MaxSecret:
		return Secret{kind: BadSecret}
	case isMD5(s):
		return Secret{kind: MD5Secret, text: s}
	case strings.HasPrefix(s, scramPrefix):
		if keys, ok := parseSCRAMSecret(s[len(scramPrefix):]); ok {
			return Secret{kind: SCRAMSecret, text: s, keys: keys}
		}
		return Secret{kind: BadSecret}
	}
	return Secret{kind: PlainSecret, text: s, derived: &derivedKeys{}}
}

// Kind is what the secret is made of.
func (s Secret) Kind() SecretKind { return s.kind }

// Reveal returns the secret as it was given to ParseSecret, for logging in to
// a server with it; it is empty for NoSecret and BadSecret. It must not be
// logged.
func (s Secret) Reveal() string { return s.text }

// Keys returns what a client gave away when it proved by this SCRAM secret who
// it is. False if that hasn't happened, or if it is a secret of another kind.
func (s Secret) Keys() (k SCRAMKeys, ok bool) {
	if s.kind != SCRAMSecret || s.client == nil {
		return SCRAMKeys{}, false
	}
	return SCRAMKeys{Iterations: s.keys.iterations, Salt: s.keys.salt, Client: *s.client, Server: s.keys.server}, true
}

// Equal reports whether both were made of the same text. It is for remembering
// what was computed from a secret; it isn't how a client's proof is checked.
func (s Secret) Equal(other Secret) bool { return s.kind == other.kind && equal(s.text, other.text) }

// Format prints the kind of the secret whatever the verb, so that no log or
// error can give it away.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "(%s secret)", s.kind.String())
}

// doom is why nobody can log in as user with this secret, or nil.
func (s Secret) doom(user string, known bool) error {
	switch {
	case !known:
		return ErrUnknownUser
	case s.kind == NoSecret || s.kind == BadSecret:
		return ErrNoSecret
	case s.kind == MD5Secret && s.text == md5Prefix+md5Hex("", user):
		return ErrEmptyPassword
	}
	return nil
}

func isMD5(s string) bool {
	const digits = 2 * md5.Size
	return len(s) == len(md5Prefix)+digits && strings.HasPrefix(s, md5Prefix) &&
		strings.Trim(s[len(md5Prefix):], "0123456789abcdef") == ""
}

// parseSCRAMSecret reads what follows the name of the mechanism.
func parseSCRAMSecret(s string) (*scramKeys, bool) {
	params, hashes, ok := strings.Cut(s, "$")
	iterations, salt, ok1 := strings.Cut(params, ":")
	stored, server, ok2 := strings.Cut(hashes, ":")
	if !ok || !ok1 || !ok2 {
		return nil, false
	}
	k := &scramKeys{}
	var err error
	if k.iterations, err = strconv.Atoi(iterations); err != nil || k.iterations < 1 || k.iterations > MaxIterations {
		return nil, false
	}
	k.salt, err = base64.StdEncoding.Strict().DecodeString(salt)
	if err != nil || len(k.salt) == 0 || len(k.salt) > maxSaltLen || strings.ContainsAny(salt, "\r\n") {
		return nil, false
	}
	if !decodeKey(&k.stored, stored) || !decodeKey(&k.server, server) {
		return nil, false
	}
	return k, true
}

// decodeKey reads the base64 of exactly one SHA-256 hash. The length is looked
// at before, because the decoder skips line ends.
func decodeKey(dst *[sha256.Size]byte, s string) bool {
	if len(s) != base64.StdEncoding.EncodedLen(sha256.Size) {
		return false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && copy(dst[:], b) == len(dst) && len(b) == len(dst)
}

// md5Hex is the hash of a and b in hex.
func md5Hex(a, b string) string {
	sum := md5.Sum([]byte(a + b))
	return hex.EncodeToString(sum[:])
}

// equal compares in a time that depends on neither value, nor on where they
// differ.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
