package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"

	"carpool/proxy/wire"
)

// scramName is the only SASL mechanism there is: channel binding isn't offered.
const scramName = "SCRAM-SHA-256"

const (
	serverNonceLen = 18   // bytes before base64, as Postgres has it
	maxSCRAM       = 4096 // bytes of one SCRAM message
	maxClientNonce = 1024 // bytes
)

// scramExchange is the server's side of SCRAM-SHA-256.
type scramExchange struct {
	random   func([]byte)
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
	return wire.AppendAuthentication(dst, wire.AuthSASL, []byte(scramName+"\x00\x00"))
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
	if err := verdict(e.keys.proves(e.final.proof, text), e.doom); err != nil {
		return dst, false, err
	}
	signature := mac(e.keys.server[:], text)
	final := base64.StdEncoding.AppendEncode([]byte("v="), signature[:])
	return wire.AppendAuthentication(dst, wire.AuthSASLFinal, final), true, nil
}

func (e *scramExchange) stepFirst(dst, body []byte) (out []byte, done bool, err error) {
	e.stage = scramOver
	message, err := initialResponse(body)
	if err != nil {
		return dst, false, err
	}
	if e.first, err = parseClientFirst(message); err != nil {
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
	if e.final, err = parseClientFinal(string(body), e.first.header, e.nonce); err != nil {
		return dst, false, err
	}
	e.stage = awaitKeys
	if e.derived != nil && !e.derived.done.Load() {
		e.work = func() { e.derived.run(e.password) }
		return dst, false, nil
	}
	return e.Resume(dst)
}

// proves says whether proof was made by someone who knows the password, for
// this exchange's text; RFC 5802, section 3.
func (k *scramKeys) proves(proof [sha256.Size]byte, text string) bool {
	h := hmac.New(sha256.New, k.stored[:])
	h.Write([]byte(text))
	var clientKey [sha256.Size]byte
	h.Sum(clientKey[:0])
	subtle.XORBytes(clientKey[:], clientKey[:], proof[:])
	hash := sha256.Sum256(clientKey[:])
	return subtle.ConstantTimeCompare(hash[:], k.stored[:]) == 1
}
