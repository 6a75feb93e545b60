//go:build !linux

package proxy

// deferAccept exists on Linux only.
func deferAccept(int) {}

// turnAway exists on Linux only.
func turnAway(int) error { return nil }

// resetOptions has nothing to do where accepted sockets get options of their
// own.
func resetOptions(int) error { return nil }

// acceptedInherit is whether an accepted socket has all options of the
// listening one.
const acceptedInherit = false
