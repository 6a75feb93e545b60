package upstream

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"carpool/proxy/auth"
	"carpool/proxy/wire"
)

// Limits on what a server may ask of us.
const (
	maxIterations = 1_000_000 // rounds of PBKDF2, about half a second
	maxSalt       = 1 << 10   // bytes
	maxNonce      = 1 << 10   // bytes
)

// scram is the client's side of one exchange.
type scram struct {
	binding
	secret   scramSecret
	nonce    string
	bare     string // client-first-message-bare
	expected []byte // the server's signature, once it can be known
	done     bool   // the server has proved that it knows the password
}

// scramSecret is what we prove who we are with.
type scramSecret interface {
	// answer returns ClientKey and ServerKey of RFC 5802, section 3, for what the
	// server challenges with.
	answer(c challenge) (client, server []byte, err error)
}

// password answers any challenge.
type password struct {
	text string
	keys *keyCache
}

func (p password) answer(c challenge) (client, server []byte, err error) {
	salted, err := p.keys.salted(p.text, c.salt, c.iterations)
	if err != nil {
		return nil, nil, err
	}
	return mac(salted, "Client Key"), mac(salted, "Server Key"), nil
}

// passedOn are keys that a client gave away when it logged in. They answer the
// challenges of servers that have the very secret by which it did.
type passedOn struct {
	keys auth.SCRAMKeys
	user string
}

func (p passedOn) answer(c challenge) (client, server []byte, err error) {
	if c.iterations != p.keys.Iterations || !bytes.Equal(c.salt, p.keys.Salt) {
		return nil, nil, &CredentialError{Method: method(wire.AuthSASL), User: p.user, Kind: auth.SCRAMSecret, Differs: true}
	}
	return p.keys.Client[:], p.keys.Server[:], nil
}

func newSCRAM(b binding, secret scramSecret) *scram {
	var random [18]byte
	_, _ = rand.Read(random[:]) // never fails
	nonce := base64.StdEncoding.EncodeToString(random[:])
	// Postgres knows the user from the start-up packet and ignores this name.
	return &scram{binding: b, secret: secret, nonce: nonce, bare: "n=,r=" + nonce}
}

// first returns the body of SASLInitialResponse.
func (s *scram) first() []byte {
	message := s.gs2 + s.bare
	b := wire.AppendString(nil, s.mechanism)
	b = append(b, 0, 0, byte(len(message)>>8), byte(len(message)))
	return append(b, message...)
}

// reply returns the body of SASLResponse for the server's first message.
func (s *scram) reply(challenge []byte) ([]byte, error) {
	if s.expected != nil {
		return nil, errors.New("the server sent a second SCRAM challenge")
	}
	c, err := s.parseChallenge(string(challenge))
	if err != nil {
		return nil, fmt.Errorf("SCRAM authentication: %w", err)
	}
	clientKey, serverKey, err := s.secret.answer(c)
	if err != nil {
		return nil, fmt.Errorf("SCRAM authentication: %w", err)
	}
	bound := append([]byte(s.gs2), s.endpoint...)
	unproved := "c=" + base64.StdEncoding.EncodeToString(bound) + ",r=" + c.nonce
	message := s.bare + "," + string(challenge) + "," + unproved
	storedKey := sha256.Sum256(clientKey)
	proof := mac(storedKey[:], message)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	s.expected = mac(serverKey, message)
	return []byte(unproved + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// finish checks the server's last message, by which it proves that it knows
// the password too.
func (s *scram) finish(final []byte) error {
	if s.expected == nil || s.done {
		return errors.New("the server ends SCRAM authentication too soon or twice")
	}
	if bytes.HasPrefix(final, []byte("e=")) {
		return errors.New("SCRAM authentication: the server reports an error")
	}
	text, ok := bytes.CutPrefix(final, []byte("v="))
	if !ok {
		return errors.New("SCRAM authentication: malformed last message of the server")
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || !printable(string(text)) || !hmac.Equal(signature, s.expected) {
		return errors.New("SCRAM authentication: the server doesn't know the password: its signature is wrong")
	}
	s.done = true
	return nil
}

// challenge is the content of server-first-message.
type challenge struct {
	nonce      string
	salt       []byte
	iterations int
}

func (s *scram) parseChallenge(text string) (c challenge, err error) {
	parts := strings.Split(text, ",")
	if strings.HasPrefix(text, "m=") {
		return c, errors.New("the server demands an extension that isn't supported")
	}
	if len(parts) < 3 {
		return c, errors.New("malformed challenge")
	}
	var salt, iterations string
	for i, want := range [...]struct {
		key  string
		into *string
	}{{"r=", &c.nonce}, {"s=", &salt}, {"i=", &iterations}} {
		value, ok := strings.CutPrefix(parts[i], want.key)
		if !ok {
			return c, errors.New("malformed challenge")
		}
		*want.into = value
	}
	if !strings.HasPrefix(c.nonce, s.nonce) || len(c.nonce) == len(s.nonce) {
		return c, errors.New("the server's nonce doesn't extend ours")
	}
	if len(c.nonce) > maxNonce || !printable(c.nonce) {
		return c, errors.New("the server's nonce is too long or not printable")
	}
	if base64.StdEncoding.DecodedLen(len(salt)) > maxSalt {
		return c, errors.New("the server's salt is too long")
	}
	c.salt, err = base64.StdEncoding.Strict().DecodeString(salt)
	if err != nil || len(c.salt) == 0 || !printable(salt) { // the decoder skips line breaks
		return c, errors.New("the server's salt is empty or malformed")
	}
	c.iterations, err = strconv.Atoi(iterations)
	if err != nil || c.iterations < 1 || iterations[0] == '+' {
		return c, errors.New("the server's iteration count is malformed")
	}
	if c.iterations > maxIterations {
		return c, fmt.Errorf("the server demands %d iterations, more than %d", c.iterations, maxIterations)
	}
	return c, nil
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

// keyCache remembers salted passwords, so that many dials to the same role cost
// one run of PBKDF2. The zero value is ready.
type keyCache struct {
	mu      sync.Mutex
	entries []saltedPassword // the newest last
}

type saltedPassword struct {
	salt       []byte
	iterations int
	key        []byte
}

// maxKeys is how many salts are remembered: one per server that holds the role,
// and they share it if one is the other's replica.
const maxKeys = 8

// salted returns the salted password. Dials at the same time wait for one
// computation.
func (k *keyCache) salted(password string, salt []byte, iterations int) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.entries {
		if e.iterations == iterations && bytes.Equal(e.salt, salt) {
			return e.key, nil
		}
	}
	key, err := pbkdf2.Key(sha256.New, auth.Prepare(password), salt, iterations, sha256.Size)
	if err != nil {
		return nil, err
	}
	if len(k.entries) == maxKeys {
		k.entries = append(k.entries[:0], k.entries[1:]...)
	}
	k.entries = append(k.entries, saltedPassword{salt, iterations, key})
	return key, nil
}
