package reactor

import "math/bits"

const (
	smallestBuffer = 512
	largestBuffer  = 256 << 10
	bufferClasses  = 10 // powers of two from smallestBuffer to largestBuffer
	// keptPerClass bounds what lies about unused: bytes in each size class.
	keptPerClass = 2 << 20
)

// buffers lends byte slices by size, so that a connection holds memory only
// while it has bytes that it can't get rid of. It belongs to one loop.
type buffers struct {
	free [bufferClasses][][]byte
}

func classOf(n int) int {
	if n <= smallestBuffer {
		return 0
	}
	return bits.Len(uint(n-1)) - bits.Len(uint(smallestBuffer-1))
}

// take returns an empty slice with room for n bytes.
func (b *buffers) take(n int) []byte {
	class := classOf(n)
	if class >= bufferClasses {
		return make([]byte, 0, smallestBuffer<<class) // also powers of two: it may have to grow on
	}
	if f := b.free[class]; len(f) > 0 {
		buf := f[len(f)-1]
		f[len(f)-1] = nil
		b.free[class] = f[:len(f)-1]
		return buf
	}
	return make([]byte, 0, smallestBuffer<<class)
}

// give takes a slice back, if it is one of those lent and there is use for it;
// its owner must not touch it any more. nil is welcome.
func (b *buffers) give(buf []byte) {
	size := cap(buf)
	if size < smallestBuffer || size > largestBuffer || size&(size-1) != 0 {
		return
	}
	class := classOf(size)
	if (len(b.free[class])+1)*size > keptPerClass {
		return
	}
	b.free[class] = append(b.free[class], buf[:0])
}

// extend appends more to buf, moving it to a larger lent buffer when needed.
func (b *buffers) extend(buf, more []byte) []byte {
	if len(buf)+len(more) <= cap(buf) {
		return append(buf, more...)
	}
	grown := append(b.take(len(buf)+len(more)), buf...)
	b.give(buf)
	return append(grown, more...)
}
