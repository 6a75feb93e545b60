package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"

	"carpool/proxy/wire"
)

// quickPassword is the length in bytes up to which hashing a password takes so
// little time that it needn't be handed out as work.
const quickPassword = 1024

// cleartext asks for the password itself.
type cleartext struct {
	user   string
	secret Secret
	doom   error // why the client can't get in whatever it sends
	work   func()
	match  bool
}

func (c *cleartext) Begin(dst []byte) []byte {
	return wire.AppendAuthentication(dst, wire.AuthCleartextPassword, nil)
}

func (c *cleartext) Step(dst, body []byte) (out []byte, done bool, err error) {
	password, err := passwordField(body)
	if err != nil {
		return dst, false, err
	}
	if c.secret.kind == SCRAMSecret || len(password) > quickPassword {
		c.work = func() { c.check(password) }
		return dst, false, nil
	}
	c.check(password)
	return c.Resume(dst)
}

func (c *cleartext) check(password string) {
	switch c.secret.kind {
	case SCRAMSecret:
		var client clientKey
		if client, c.match = c.secret.keys.matches(password); c.match {
			c.secret.client = &client
		}
	case MD5Secret:
		c.match = equal(c.secret.text, md5Prefix+md5Hex(password, c.user))
	default:
		c.match = equal(c.secret.text, password)
	}
}

func (c *cleartext) Proven() Secret { return c.secret }

func (c *cleartext) Work() func() { return c.work }

func (c *cleartext) Resume(dst []byte) (out []byte, done bool, err error) {
	return dst, c.match && c.doom == nil, verdict(c.match, c.doom)
}

// md5AnswerLen is the length in bytes of what a client answers to an md5 salt.
const md5AnswerLen = len(md5Prefix) + 2*md5.Size

// md5Exchange asks for an md5 hash of salt and md5 secret.
type md5Exchange struct {
	user   string
	secret Secret
	salt   [4]byte
	doom   error
}

func (e *md5Exchange) Begin(dst []byte) []byte {
	return wire.AppendAuthentication(dst, wire.AuthMD5Password, e.salt[:])
}

func (e *md5Exchange) Step(dst, body []byte) (out []byte, done bool, err error) {
	answer, err := passwordField(body)
	if err != nil {
		return dst, false, err
	}
	if len(answer) != md5AnswerLen {
		return dst, false, verdict(false, e.doom)
	}
	inner := ""
	if e.secret.kind == MD5Secret {
		inner = e.secret.text[len(md5Prefix):]
	} else {
		inner = md5Hex(e.secret.text, e.user)
	}
	match := equal(answer, md5Prefix+md5Hex(inner, string(e.salt[:])))
	return dst, match && e.doom == nil, verdict(match, e.doom)
}

func (e *md5Exchange) Proven() Secret { return e.secret }

func (e *md5Exchange) Work() func() { return nil }

func (e *md5Exchange) Resume(dst []byte) (out []byte, done bool, err error) {
	return dst, false, ErrMalformed
}

// verdict is the error of an exchange that has come to its end.
func verdict(match bool, doom error) error {
	if doom != nil {
		return doom
	}
	if !match {
		return ErrWrongPassword
	}
	return nil
}

// passwordField reads a PasswordMessage: one string and nothing else.
func passwordField(body []byte) (string, error) {
	if end := bytes.IndexByte(body, 0); end < 0 || end != len(body)-1 {
		return "", ErrMalformed
	}
	if len(body) == 1 {
		return "", ErrEmptyPassword
	}
	return string(body[:len(body)-1]), nil
}

// saltSequence yields md5 salts. Whoever has seen the answer to a salt can log
// in when the same salt comes again, and 32 random bits would repeat after some
// ten thousand logins; these don't within 2^32, and can't be foreseen either.
type saltSequence struct {
	key   [32]byte
	count atomic.Uint32
}

// next permutes the counter by a Feistel network of four rounds.
func (s *saltSequence) next() (salt [4]byte) {
	n := s.count.Add(1)
	left, right := uint16(n>>16), uint16(n)
	for round := range byte(4) {
		mac := hmac.New(sha256.New, s.key[:])
		mac.Write([]byte{round, byte(right >> 8), byte(right)})
		left, right = right, left^binary.BigEndian.Uint16(mac.Sum(nil))
	}
	binary.BigEndian.PutUint16(salt[:2], left)
	binary.BigEndian.PutUint16(salt[2:], right)
	return salt
}
