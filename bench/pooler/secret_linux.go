package pooler

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// secretFile makes a file that holds a secret for the pooler's user in memory alone: it has no name in any directory, and is
// gone with the last process that has it open. nil and no error is the answer of a kernel without such files.
func (p place) secretFile(text string) (*os.File, error) {
	descriptor, err := unix.MemfdCreate("pooler", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil
	}
	file := os.NewFile(uintptr(descriptor), "secret of a pooler")
	_, err = file.WriteString(text)
	if err == nil {
		err = file.Chmod(0o400) // of its own it may be opened by everybody who sees the process
	}
	if err == nil && p.owner != nil {
		err = file.Chown(int(p.owner.UID), int(p.owner.GID))
	}
	if err != nil {
		_ = file.Close() // what is wrong is known already
		return nil, fmt.Errorf("writing a secret for a pooler: %w", err)
	}
	return file, nil
}

// inheritedPath is the name under which a child opens its inherited file number n: opened, not copied, so that the child may
// read it more than once, from its beginning.
func inheritedPath(n int) string { return fmt.Sprintf("/proc/self/fd/%d", firstInherited+n) }
