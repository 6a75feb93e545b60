//go:build !linux

package proxy

// deferAccept exists on Linux only.
func deferAccept(int) {}

// acceptedInherit is whether an accepted socket has all options of the
// listening one.
const acceptedInherit = false
