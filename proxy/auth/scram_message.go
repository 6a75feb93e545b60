package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"carpool/proxy/wire"
)

// clientFirst is a client-first-message; RFC 5802, section 7.
type clientFirst struct {
	header string // gs2-header
	bare   string // what follows it
	nonce  string
}

// clientFinal is a client-final-message.
type clientFinal struct {
	withoutProof string
	proof        [sha256.Size]byte
}

// initialResponse reads a SASLInitialResponse. The protocol lets a client send
// it without a message, length -1; none does, and none has to here.
func initialResponse(body []byte) (mechanism, message string, err error) {
	c := wire.Cursor{Rest: body}
	name, ok := c.String()
	if !ok {
		return "", "", malformed("mechanism")
	}
	if string(name) != scramName && string(name) != scramPlusName {
		return "", "", malformed("mechanism that wasn't offered")
	}
	size, ok := c.Uint32()
	if !ok || size == 0 || uint64(size) != uint64(len(c.Rest)) {
		return "", "", malformed("length of initial response")
	}
	return string(name), string(c.Rest), nil
}

// parseClientFirst reads a client-first-message. The user name in it is
// ignored, as in Postgres: the StartupMessage has it.
func parseClientFirst(s string) (m clientFirst, err error) {
	if len(s) > maxSCRAM || !isText(s) {
		return m, malformed("client-first-message")
	}
	switch {
	case strings.HasPrefix(s, gs2Without), strings.HasPrefix(s, gs2Missed):
		m.header, m.bare = s[:3], s[3:]
	case strings.HasPrefix(s, gs2Bound):
		m.header, m.bare = s[:len(gs2Bound)], s[len(gs2Bound):]
	case strings.HasPrefix(s, "p="):
		return m, malformed("channel binding of a type or with an identity that isn't supported")
	case strings.HasPrefix(s, "n,a="), strings.HasPrefix(s, "y,a="):
		return m, malformed("authorization identity, which isn't supported")
	default:
		return m, malformed("channel binding flag")
	}
	if strings.HasPrefix(m.bare, "m=") {
		return m, malformed("mandatory extension, which isn't supported")
	}
	user, rest, ok := strings.Cut(m.bare, ",")
	if !ok || !strings.HasPrefix(user, "n=") {
		return m, malformed("user name")
	}
	nonce, extensions, more := strings.Cut(rest, ",")
	if m.nonce, ok = strings.CutPrefix(nonce, "r="); !ok || !isNonce(m.nonce) {
		return m, malformed("nonce")
	}
	if more && !areExtensions(extensions) {
		return m, malformed("extension")
	}
	return m, nil
}

// parseClientFinal reads the client-final-message of an exchange that is bound
// to the given gs2-header and data, and has the given nonce.
func parseClientFinal(s, bound, nonce string) (m clientFinal, err error) {
	if len(s) > maxSCRAM || !isText(s) {
		return m, malformed("client-final-message")
	}
	binding, rest, ok := strings.Cut(s, ",")
	if !ok || binding != "c="+base64.StdEncoding.EncodeToString([]byte(bound)) {
		return m, malformed("channel binding")
	}
	got, rest, ok := strings.Cut(rest, ",")
	if !ok || got != "r="+nonce {
		return m, malformed("nonce")
	}
	at := strings.LastIndexByte(rest, ',') + 1 // the proof comes last
	if at > 0 && !areExtensions(rest[:at-1]) {
		return m, malformed("extension")
	}
	proof, ok := strings.CutPrefix(rest[at:], "p=")
	if !ok || !decodeKey(&m.proof, proof) {
		return m, malformed("proof")
	}
	m.withoutProof = s[:len(s)-len(rest)+at-1]
	return m, nil
}

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// isText says whether s can be a SCRAM message at all.
func isText(s string) bool { return s != "" && strings.IndexByte(s, 0) < 0 }

// isNonce says whether s consists of printable ASCII other than commas.
func isNonce(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' || s[i] == ',' {
			return false
		}
	}
	return s != "" && len(s) <= maxClientNonce
}

// areExtensions says whether s is a list of attributes. They are ignored: the
// mandatory ones have a place of their own.
func areExtensions(s string) bool {
	for attribute := range strings.SplitSeq(s, ",") {
		if len(attribute) < 2 || attribute[1] != '=' || !isLetter(attribute[0]) || attribute[0] == 'm' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
