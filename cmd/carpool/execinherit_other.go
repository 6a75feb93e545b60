//go:build !linux

package main

// startedWithoutPipe isn't known here.
func startedWithoutPipe() bool { return false }
