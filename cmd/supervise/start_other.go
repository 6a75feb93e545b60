//go:build !linux

package supervise

import (
	"os"
	"syscall"
)

// attributes has nothing to say: only Linux tells a child that its parent has
// gone.
func attributes() *syscall.SysProcAttr { return nil }

// adoptOrphans can't be done here.
func adoptOrphans() error { return nil }

// awaitEnd can't be done here.
func awaitEnd(int) bool { return false }

// ownProgram is the file that this process runs.
func ownProgram() (string, error) { return os.Executable() }
