//go:build !linux

package pgserver

import "syscall"

// signalWhenOrphaned does nothing: only Linux can tell a child that its parent is gone.
func signalWhenOrphaned(*syscall.SysProcAttr, syscall.Signal) {}
