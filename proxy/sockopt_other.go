//go:build !linux

package proxy

// deferAccept exists on Linux only.
func deferAccept(int) {}
