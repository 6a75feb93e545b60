package proxy

import (
	"testing"
	"time"
)

// eventually waits until a condition holds that other goroutines or processes
// bring about. It fails the test when that takes unreasonably long.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-ticker.C
	}
}
