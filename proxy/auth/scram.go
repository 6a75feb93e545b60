package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"

	"carpool/proxy/wire"
)

// The SASL mechanisms: the second, with channel binding, is offered where there
// is a channel to bind to.
const (
	scramName     = "SCRAM-SHA-256"
	scramPlusName = "SCRAM-SHA-256-PLUS"
)

const (
	serverNonceLen = 18   // bytes before base64, as Postgres has it
	maxSCRAM       = 4096 // bytes of one SCRAM message
	maxClientNonce = 1024 // bytes
)

// scramExchange is the server's side of SCRAM-SHA-256.
type scramExchange struct {
	random   func([]byte)
	endpoint []byte // what the exchange can be bound to; nil is nothing
	secret   Secret
	keys     *scramKeys
	derived  *derivation // of a plain secret: computes keys
	password string      // what derived is computed from
	doom     error

	stage  scramStage
	first  clientFirst
	nonce  string // the client's followed by ours
	server string // our first message
	final  clientFinal
	work   func()
}

type scramStage uint8

const (
	awaitFirst scramStage = iota
	awaitFinal
	awaitKeys
	scramOver
)

func (e *scramExchange) Begin(dst []byte) []byte {
	names := scramName + "\x00\x00"
	if e.endpoint != nil {
		names = scramPlusName + "\x00" + names // the better one first, as in Postgres
	}
	return wire.AppendAuthentication(dst, wire.AuthSASL, []byte(names))
}

func (e *scramExchange) Step(dst, body []byte) (out []byte, done bool, err error) {
	switch e.stage {
	case awaitFirst:
		return e.stepFirst(dst, body)
	case awaitFinal:
		return e.stepFinal(dst, body)
	case awaitKeys, scramOver:
	}
	return dst, false, ErrMalformed
}

func (e *scramExchange) Work() func() { return e.work }

// Resume ends the exchange: proof against keys.
func (e *scramExchange) Resume(dst []byte) (out []byte, done bool, err error) {
	if e.stage != awaitKeys {
		return dst, false, ErrMalformed
	}
	e.stage, e.work = scramOver, nil
	text := e.first.bare + "," + e.server + "," + e.final.withoutProof
	client, match := e.keys.proves(e.final.proof, text)
	if err := verdict(match, e.doom); err != nil {
		return dst, false, err
	}
	e.secret.client = &client
	signature := mac(e.keys.server[:], text)
	final := base64.StdEncoding.AppendEncode([]byte("v="), signature[:])
	return wire.AppendAuthentication(dst, wire.AuthSASLFinal, final), true, nil
}

func (e *scramExchange) stepFirst(dst, body []byte) (out []byte, done bool, err error) {
	e.stage = scramOver
	name, message, err := initialResponse(body)
	if err != nil {
		return dst, false, err
	}
	if e.first, err = parseClientFirst(message); err != nil {
		return dst, false, err
	}
	if err := e.checkBinding(name); err != nil {
		return dst, false, err
	}
	var random [serverNonceLen]byte
	e.random(random[:])
	e.nonce = e.first.nonce + base64.StdEncoding.EncodeToString(random[:])
	e.server = "r=" + e.nonce +
		",s=" + base64.StdEncoding.EncodeToString(e.keys.salt) +
		",i=" + strconv.Itoa(e.keys.iterations)
	e.stage = awaitFinal
	return wire.AppendAuthentication(dst, wire.AuthSASLContinue, []byte(e.server)), false, nil
}

func (e *scramExchange) stepFinal(dst, body []byte) (out []byte, done bool, err error) {
	e.stage = scramOver
	if e.final, err = parseClientFinal(string(body), e.bound(), e.nonce); err != nil {
		return dst, false, err
	}
	e.stage = awaitKeys
	if e.derived != nil && !e.derived.done.Load() {
		e.work = func() { e.derived.run(e.password) }
		return dst, false, nil
	}
	return e.Resume(dst)
}

// checkBinding looks at the mechanism that the client has chosen and at what it
// says about channel binding; RFC 5802, section 6.
func (e *scramExchange) checkBinding(name string) error {
	switch {
	case name == scramPlusName && e.endpoint == nil:
		return malformed("mechanism that wasn't offered")
	case (name == scramPlusName) != (e.first.header == gs2Bound):
		return malformed("channel binding flag that doesn't fit the mechanism")
	case e.first.header == gs2Missed && e.endpoint != nil:
		return ErrDowngrade
	}
	return nil
}

// bound is what the client has to show that it takes the connection to be.
func (e *scramExchange) bound() string {
	if e.first.header == gs2Bound {
		return e.first.header + string(e.endpoint)
	}
	return e.first.header
}

// Proven implements Mechanism.
func (e *scramExchange) Proven() Secret { return e.secret }

// proves says whether proof was made by someone who knows the password, for
// this exchange's text, and which key that is; RFC 5802, section 3.
func (k *scramKeys) proves(proof [sha256.Size]byte, text string) (client clientKey, ok bool) {
	h := hmac.New(sha256.New, k.stored[:])
	h.Write([]byte(text))
	h.Sum(client[:0])
	subtle.XORBytes(client[:], client[:], proof[:])
	hash := sha256.Sum256(client[:])
	return client, subtle.ConstantTimeCompare(hash[:], k.stored[:]) == 1
}
