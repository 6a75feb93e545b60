//go:build !linux

package reactor

import "testing"

// checkPoller has nothing to check here.
func checkPoller(testing.TB, *Loop) {}
