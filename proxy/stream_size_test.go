//go:build !race

package proxy

// streamed is the size in bytes of what is too large to be kept in memory:
// about what Postgres has for the longest value.
const streamed = 1_000_000_000
