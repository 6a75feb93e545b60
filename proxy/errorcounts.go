package proxy

import (
	"maps"
	"sync"
)

// maxCodes bounds how many SQLSTATEs are counted one by one: some of them come
// from servers.
const maxCodes = 200

// codeLen is the length of a SQLSTATE in bytes.
const codeLen = 5

// otherCode is what the rest is counted as, and what isn't a SQLSTATE.
const otherCode = "other"

// errorCounts counts errors by SQLSTATE. Any goroutine may use it; it is off the
// success path. The zero value has counted nothing.
type errorCounts struct {
	mu sync.Mutex
	of map[string]int64
}

// add counts one error.
func (c *errorCounts) add(code string) {
	if !isCode(code) {
		code = otherCode
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[string]int64)
	}
	if _, known := c.of[code]; !known && len(c.of) >= maxCodes {
		code = otherCode
	}
	c.of[code]++
}

// counts returns what has been counted, as a copy.
func (c *errorCounts) counts() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.of)
}

// isCode reports whether a text looks like a SQLSTATE: servers may send anything.
func isCode(code string) bool {
	for i := range len(code) {
		if c := code[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(code) == codeLen
}
