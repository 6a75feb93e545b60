package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"sync/atomic"
)

// Method is how clients prove who they are. The zero value lets nobody in.
type Method uint8

const (
	_ Method = iota
	// Any asks nobody anything, not even whether the user exists.
	Any
	// Trust asks for no password, but the user has to be known.
	Trust
	// Plain asks for the password itself.
	Plain
	// MD5 asks for an md5 hash, or for SCRAM where the secret is a SCRAM one.
	MD5
	// SCRAM asks for SCRAM-SHA-256.
	SCRAM
	// Cert goes by the common name in the client's certificate. There is no
	// exchange.
	Cert
	// Peer goes by the system's user at the other end of a Unix socket. There is
	// no exchange.
	Peer
	// Reject lets nobody in.
	Reject
)

// String is the method as auth_type has it.
func (m Method) String() string {
	switch m {
	case Any:
		return "any"
	case Trust:
		return "trust"
	case Plain:
		return "plain"
	case MD5:
		return "md5"
	case SCRAM:
		return "scram-sha-256"
	case Cert:
		return "cert"
	case Peer:
		return "peer"
	case Reject:
		return "reject"
	}
	return "none"
}

// Mechanism is one exchange with one client. Its methods are called by one
// goroutine, except that the function which Work returned runs elsewhere while
// no method is called. An error ends the exchange; it is for the log and holds
// no secret, and the client is never told what it says.
type Mechanism interface {
	// Begin appends the request that starts the exchange.
	Begin(dst []byte) []byte
	// Step reads the body of a 'p' message, of which it keeps nothing, and
	// appends the answer. done says that the client is who it says.
	Step(dst, body []byte) (out []byte, done bool, err error)
	// Work is a function to be run before Resume, or nil when the client's next
	// message is awaited. It is asked after every Step that wasn't the last.
	Work() func()
	// Resume goes on after Work; its results are like Step's.
	Resume(dst []byte) (out []byte, done bool, err error)
	// Proven is the user's secret, with what the proof has added to it; see
	// Secret.Keys. It means something only after done.
	Proven() Secret
}

// Reasons for a failure, for the log; compare with errors.Is.
var (
	ErrUnknownUser   = errors.New("no such user")
	ErrNoSecret      = errors.New("user has no usable password")
	ErrEmptyPassword = errors.New("empty password")
	ErrWrongPassword = errors.New("wrong password")
	ErrMD5Secret     = errors.New("an md5 secret can't be used for SCRAM")
	ErrMalformed     = errors.New("malformed authentication message")
	ErrDowngrade     = errors.New("the client supports SCRAM channel binding and was kept from knowing that it is offered")
	ErrNoMethod      = errors.New("no authentication method is set")
)

// Lookup finds a user's secret. It doesn't block. known is false if there is
// no such user; a known user may well have the zero Secret.
type Lookup func(user string) (s Secret, known bool)

// DefaultIterations is Postgres's default of scram_iterations.
const DefaultIterations = 4096

// Verifier makes the mechanisms. One lives as long as the process: what
// unknown users are shown depends on a key of its own. It is safe for
// concurrent use.
type Verifier struct {
	// immutable
	random  func([]byte)
	mockKey [32]byte
	salts   saltSequence

	// atomic
	settings atomic.Pointer[settings]
	seen     atomic.Pointer[shape] // of the secret that was last found outside the list
}

type settings struct {
	iterations int
	lookalike  Secret
	asks       bool
}

// NewVerifier makes a verifier with DefaultIterations and no users. random
// fills its argument with random bytes; nil is crypto/rand.
func NewVerifier(random func([]byte)) *Verifier {
	if random == nil {
		random = func(p []byte) {
			_, _ = rand.Read(p) // never fails: it would end the process
		}
	}
	v := &Verifier{random: random}
	random(v.mockKey[:])
	random(v.salts.key[:])
	v.Configure(0, nil, false)
	return v
}

// Configure sets the iterations of SCRAM secrets that are made from plain ones
// (0 is DefaultIterations), and the users among whom unknown ones shall not
// stand out; users may be nil. With asks, most users aren't in the list but found
// elsewhere, and it is those among whom an unknown one is hidden: see Resemble.
// Exchanges that have begun are not affected.
func (v *Verifier) Configure(iterations int, users *Users, asks bool) {
	if iterations <= 0 {
		iterations = DefaultIterations
	}
	v.settings.Store(&settings{
		iterations: min(iterations, MaxIterations),
		lookalike:  users.lookalike(),
		asks:       asks,
	})
}

// Resemble makes unknown users look as if they had a secret like s, where
// Configure was told that users are found elsewhere. Before the first one they
// look as if they had one of Postgres's making.
func (v *Verifier) Resemble(s Secret) {
	if s.kind == NoSecret || s.kind == BadSecret {
		return
	}
	like := s.shape()
	if old := v.seen.Load(); old == nil || *old != like {
		v.seen.Store(&like)
	}
}

// lookalike is what the secrets of unknown users are like.
func (v *Verifier) lookalike(set *settings) Secret {
	if !set.asks {
		return set.lookalike
	}
	like := shape{kind: SCRAMSecret, iterations: DefaultIterations, saltLen: saltLen}
	if seen := v.seen.Load(); seen != nil {
		like = *seen
	}
	return like.secret()
}

// Mechanism picks the exchange for a client that claims to be user. A nil
// Mechanism without an error means that nothing has to be proven. With an
// error no exchange takes place and the client is to be refused. s and known
// are what a Lookup answered.
func (v *Verifier) Mechanism(m Method, user string, s Secret, known bool) (Mechanism, error) {
	switch m {
	case Any:
		return nil, nil
	case Trust:
		if !known {
			return nil, ErrUnknownUser
		}
		return nil, nil
	case Plain, MD5, SCRAM:
	default:
		return nil, ErrNoMethod
	}
	set := v.settings.Load()
	doom := s.doom(user, known)
	like := v.lookalike(set)
	if doom != nil {
		s = like
	}
	switch {
	case m == Plain:
		if doom != nil && s.kind == SCRAMSecret {
			s.keys = v.mockKeys(user, set.iterations, like)
		}
		return &cleartext{user: user, secret: s, doom: doom}, nil
	case m == MD5 && s.kind != SCRAMSecret:
		return &md5Exchange{user: user, secret: s, salt: v.salts.next(), doom: doom}, nil
	}
	// The mock keys are made for known users too: it mustn't take them less time.
	e := &scramExchange{random: v.random, secret: s, doom: doom, keys: v.mockKeys(user, set.iterations, like)}
	switch {
	case doom != nil:
	case s.kind == SCRAMSecret:
		e.keys = s.keys
	case s.kind == PlainSecret:
		e.password = s.text
		e.derived = s.derived.at(set.iterations, v.random)
		e.keys = &e.derived.keys
	default:
		e.doom = ErrMD5Secret
	}
	return e, nil
}

// mockKeys are the keys of a user that doesn't exist, shaped like those of one
// that does. The salt is the same for the same user every time, as a real one
// would be.
func (v *Verifier) mockKeys(user string, iterations int, like Secret) *scramKeys {
	k := &scramKeys{iterations: iterations, salt: make([]byte, saltLen)}
	if like.keys != nil {
		k.iterations, k.salt = like.keys.iterations, make([]byte, len(like.keys.salt))
	}
	mac := hmac.New(sha256.New, v.mockKey[:])
	var block [sha256.Size]byte
	for n := 0; n < len(k.salt); {
		mac.Write([]byte("salt\x00" + user))
		n += copy(k.salt[n:], mac.Sum(block[:0]))
	}
	mac.Write([]byte("key\x00"))
	mac.Sum(k.stored[:0])
	return k
}
