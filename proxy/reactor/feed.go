package reactor

import (
	"io"
	"net"
	"time"
)

// Feed is the net.Conn below a tls.Conn. It lives in two phases: during the
// handshake, on a goroutine that may block, it reads and writes Raw; after
// Switch it does no I/O of its own: the loop puts in what arrived and takes
// out what is to be sent. A failed handshake can't be resumed, an interrupted
// Read afterwards can, which is why crypto/tls works this way without a
// goroutine per connection.
type Feed struct {
	// Raw carries the bytes until Switch. It stays the caller's to close.
	Raw net.Conn
	// Prefix is what was read from the peer before Raw was made; it comes first.
	Prefix []byte

	switched bool
	eof      bool
	in       []byte // not consumed yet; may belong to the caller of Put
	kept     []byte // our own buffer behind in, once Keep was needed
	out      []byte
}

// errNoBytes is what Read answers when nothing is there: a temporary error,
// after which crypto/tls lets Read be called again.
var errNoBytes net.Error = noBytes{}

type noBytes struct{}

func (noBytes) Error() string   { return "no bytes have arrived yet" }
func (noBytes) Timeout() bool   { return true }
func (noBytes) Temporary() bool { return true }

// Switch ends the phase that uses Raw. What Prefix still holds is read first.
func (f *Feed) Switch() {
	f.switched = true
	f.in, f.Prefix, f.Raw = f.Prefix, nil, nil
}

// Put shows b to the next calls of Read, behind what is left of earlier bytes.
// b is used until it is consumed or Keep is called.
func (f *Feed) Put(b []byte) {
	if len(f.in) == 0 {
		f.in = b
		return
	}
	f.Keep()
	f.kept = append(f.kept, b...)
	f.in = f.kept
}

// Keep copies what hasn't been consumed, so that the slice given to Put may be
// used again by its owner.
func (f *Feed) Keep() {
	f.kept = append(f.kept[:0], f.in...)
	f.in = f.kept
	if len(f.in) == 0 {
		f.kept, f.in = nil, nil
	}
}

// End makes Read answer io.EOF once everything is consumed.
func (f *Feed) End() { f.eof = true }

// Pending is the number of bytes put in and not consumed.
func (f *Feed) Pending() int { return len(f.in) }

// Take returns what was written since the last call. The slice is valid until
// the next write.
func (f *Feed) Take() []byte {
	b := f.out
	f.out = f.out[:0]
	return b
}

// Read implements net.Conn.
func (f *Feed) Read(p []byte) (int, error) {
	if !f.switched {
		if len(f.Prefix) > 0 {
			n := copy(p, f.Prefix)
			f.Prefix = f.Prefix[n:]
			return n, nil
		}
		return f.Raw.Read(p)
	}
	if len(f.in) == 0 {
		if f.eof {
			return 0, io.EOF
		}
		return 0, errNoBytes
	}
	n := copy(p, f.in)
	f.in = f.in[n:]
	return n, nil
}

// Write implements net.Conn.
func (f *Feed) Write(p []byte) (int, error) {
	if !f.switched {
		return f.Raw.Write(p)
	}
	f.out = append(f.out, p...)
	return len(p), nil
}

// Close implements net.Conn; the descriptor below is closed by its owner.
func (f *Feed) Close() error { return nil }

// LocalAddr implements net.Conn.
func (f *Feed) LocalAddr() net.Addr { return feedAddr{} }

// RemoteAddr implements net.Conn.
func (f *Feed) RemoteAddr() net.Addr { return feedAddr{} }

// SetDeadline implements net.Conn. After Switch deadlines are the loop's.
func (f *Feed) SetDeadline(t time.Time) error {
	if f.switched {
		return nil
	}
	return f.Raw.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (f *Feed) SetReadDeadline(t time.Time) error {
	if f.switched {
		return nil
	}
	return f.Raw.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (f *Feed) SetWriteDeadline(t time.Time) error {
	if f.switched {
		return nil
	}
	return f.Raw.SetWriteDeadline(t)
}

type feedAddr struct{}

func (feedAddr) Network() string { return "feed" }
func (feedAddr) String() string  { return "feed" }
