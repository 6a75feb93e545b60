//go:build race

package proxy

// streamed is the size in bytes of what is too large to be kept in memory. The
// race detector looks at each of them.
const streamed = 256 << 20
