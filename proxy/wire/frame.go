package wire

import "encoding/binary"

// HeaderLen is the size of a message header in bytes: type and length.
const HeaderLen = 5

// MaxBody is the largest body in bytes that Postgres itself sends or accepts
// (its length field is a signed 32-bit number that includes itself).
const MaxBody = 1<<31 - 1 - 4

// Header is the beginning of every message after start-up.
type Header struct {
	Type byte
	// Body is the number of bytes that follow the header.
	Body int
}

// ParseHeader reads the header at the start of b. It answers ok=false when
// fewer than HeaderLen bytes are there, and valid=false when the length field
// is one that no message can have (below 4, or beyond 2^31-1).
func ParseHeader(b []byte) (h Header, ok, valid bool) {
	if len(b) < HeaderLen {
		return Header{}, false, true
	}
	n := binary.BigEndian.Uint32(b[1:])
	if n < 4 || n > MaxBody+4 {
		return Header{Type: b[0]}, true, false
	}
	return Header{Type: b[0], Body: int(n) - 4}, true, true
}

// Size is the number of bytes of the whole message, header included.
func (h Header) Size() int { return HeaderLen + h.Body }
