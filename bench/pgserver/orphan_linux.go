package pgserver

import "syscall"

// signalWhenOrphaned has the kernel send the signal to the child when its parent thread ends.
func signalWhenOrphaned(attr *syscall.SysProcAttr, signal syscall.Signal) {
	attr.Pdeathsig = signal
}
