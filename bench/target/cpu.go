package target

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"carpool/bench/procfs"
)

// CPU is the time that the whole Postgres has used: all its processes, also those that have ended. Two calls tell what was
// used in between. It is procfs.ErrUnsupported when the server isn't on this machine, or its processes can't be seen.
func (t *Target) CPU() (time.Duration, error) {
	if t.postmaster == 0 {
		return 0, procfs.ErrUnsupported
	}
	used, err := procfs.TreeCPU(t.postmaster)
	if err != nil {
		return 0, fmt.Errorf("asking for Postgres' CPU time: %w", err)
	}
	return used, nil
}

// findPostmaster is the process id of the postmaster, 0 when it can't be found. A process of this machine is our backend when
// it has its process id and its title has our role and database: a server elsewhere, or in a container, has other numbers.
func (t *Target) findPostmaster(backend string) int {
	pid, err := strconv.Atoi(backend)
	if err != nil {
		return 0
	}
	title, err := procfs.Title(pid)
	if err != nil || !strings.HasPrefix(title, "postgres") || !strings.Contains(title, " "+t.server.User+" "+t.server.Database+" ") {
		return 0
	}
	parent, err := procfs.Parent(pid)
	if err != nil {
		return 0
	}
	title, err = procfs.Title(parent)
	if err != nil || !strings.Contains(title, "postgres") && !strings.Contains(title, "postmaster") {
		return 0
	}
	return parent
}
