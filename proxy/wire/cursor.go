package wire

import (
	"bytes"
	"encoding/binary"
)

// Cursor reads values off the front of a message body. Each method answers
// ok=false, and moves nothing, when the bytes for it aren't there.
type Cursor struct {
	// Rest is what hasn't been read yet.
	Rest []byte
}

// Byte reads one byte.
func (c *Cursor) Byte() (b byte, ok bool) {
	if len(c.Rest) < 1 {
		return 0, false
	}
	b, c.Rest = c.Rest[0], c.Rest[1:]
	return b, true
}

// Uint16 reads a 16-bit number in network order.
func (c *Cursor) Uint16() (v uint16, ok bool) {
	if len(c.Rest) < 2 {
		return 0, false
	}
	v, c.Rest = binary.BigEndian.Uint16(c.Rest), c.Rest[2:]
	return v, true
}

// Uint32 reads a 32-bit number in network order.
func (c *Cursor) Uint32() (v uint32, ok bool) {
	if len(c.Rest) < 4 {
		return 0, false
	}
	v, c.Rest = binary.BigEndian.Uint32(c.Rest), c.Rest[4:]
	return v, true
}

// String reads up to the next zero byte and returns what stands before it, as
// a part of the input.
func (c *Cursor) String() (s []byte, ok bool) {
	i := bytes.IndexByte(c.Rest, 0)
	if i < 0 {
		return nil, false
	}
	s, c.Rest = c.Rest[:i], c.Rest[i+1:]
	return s, true
}

// Bytes reads the next n bytes, as a part of the input.
func (c *Cursor) Bytes(n int) (b []byte, ok bool) {
	if n < 0 || n > len(c.Rest) {
		return nil, false
	}
	b, c.Rest = c.Rest[:n:n], c.Rest[n:]
	return b, true
}
