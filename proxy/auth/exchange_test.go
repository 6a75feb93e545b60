package auth

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"carpool/proxy/wire"
)

// counter is a source of bytes that are the same every time.
func counter() func([]byte) {
	next := byte(0)
	return func(p []byte) {
		for i := range p {
			p[i] = next
			next++
		}
	}
}

// client is the other side of an exchange.
type client struct {
	user, password string
	header         string // gs2-header; empty is "n,,"
	bind           string // channel binding; empty is the base64 of header
	extension      string // put into the final message
	corrupt        bool   // the proof

	requests []uint32 // authentication requests seen, in order
	first    string   // the server's first SCRAM message
}

// login runs the exchange and does its work at once.
func (c *client) login(m Mechanism) error {
	out := m.Begin(nil)
	bare, nonce := "", "fyko+d2lbbFgONRv9qkxdawL"
	var salted []byte
	var text string
	for {
		h, ok, _ := wire.ParseHeader(out)
		if !ok || h.Type != wire.Authentication || h.Size() != len(out) {
			return fmt.Errorf("not an authentication request: %q", out)
		}
		code, data := binary.BigEndian.Uint32(out[wire.HeaderLen:]), string(out[wire.HeaderLen+4:])
		c.requests = append(c.requests, code)
		var body []byte
		switch code {
		case wire.AuthCleartextPassword:
			body = []byte(c.password + "\x00")
		case wire.AuthMD5Password:
			body = []byte("md5" + md5Hex(md5Hex(c.password, c.user), data) + "\x00")
		case wire.AuthSASL:
			if c.header == "" {
				c.header = "n,,"
			}
			bare = "n=,r=" + nonce
			body = initial(scramName, c.header+bare)
		case wire.AuthSASLContinue:
			c.first = data
			fields := strings.SplitN(data, ",", 3)
			salt, err := base64.StdEncoding.DecodeString(fields[1][2:])
			if err != nil {
				return err
			}
			iterations, err := strconv.Atoi(fields[2][2:])
			if err != nil {
				return err
			}
			if salted, err = pbkdf2.Key(sha256.New, c.password, salt, iterations, sha256.Size); err != nil {
				return err
			}
			if c.bind == "" {
				c.bind = base64.StdEncoding.EncodeToString([]byte(c.header))
			}
			final := "c=" + c.bind + "," + fields[0] + c.extension
			text = bare + "," + data + "," + final
			proof := mac(salted, "Client Key")
			stored := sha256.Sum256(proof[:])
			signature := mac(stored[:], text)
			subtle.XORBytes(proof[:], proof[:], signature[:])
			if c.corrupt {
				proof[31] ^= 1
			}
			body = []byte(final + ",p=" + base64.StdEncoding.EncodeToString(proof[:]))
		}
		var done bool
		var err error
		out, done, err = m.Step(nil, body)
		if work := m.Work(); err == nil && !done && work != nil {
			work()
			out, done, err = m.Resume(nil)
		}
		if err != nil {
			if len(out) > 0 {
				return fmt.Errorf("bytes beside an error: %q", out)
			}
			return err
		}
		if done {
			if len(c.requests) < 2 {
				return nil
			}
			server := mac(salted, "Server Key")
			signature := mac(server[:], text)
			want := wire.AppendAuthentication(nil, wire.AuthSASLFinal, []byte("v="+base64.StdEncoding.EncodeToString(signature[:])))
			if !bytes.Equal(out, want) {
				return fmt.Errorf("wrong server signature: %q", out)
			}
			return nil
		}
	}
}

func initial(name, message string) []byte {
	b := append([]byte(name), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	return append(b, message...)
}

// makeSecret is the SCRAM secret of a password.
func makeSecret(password string, iterations int) string {
	k := scramKeys{iterations: iterations, salt: []byte("0123456789abcdef")}
	k.derive(password)
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s%d:%s$%s:%s", scramPrefix, iterations, b64(k.salt), b64(k.stored[:]), b64(k.server[:]))
}
