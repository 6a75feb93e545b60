package procfs

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// errNoProcess is the kernel's answer to reading the file of a process that has ended meanwhile.
const errNoProcess = syscall.ESRCH

// treeAttempts bounds how often TreeCPU begins again because a process ended while it was adding up.
const treeAttempts = 5

// TreeCPU is the CPU time of a process and of all its descendants: those that live, and those that have ended, which count
// for the parent that waited for them. The result of one call minus that of an earlier one is what the tree has used in
// between: to a few milliseconds, and of those who have ended to the tick of 10 ms for all that one parent waited for together.
// Where processes end faster than they can be looked at, those of the few that ended just then may be left out.
func TreeCPU(pid int) (time.Duration, error) {
	var total time.Duration
	for range treeAttempts {
		before, err := readStat(pid)
		if err != nil {
			return 0, fmt.Errorf("reading CPU time: %w", err)
		}
		living, err := descendantsCPU(pid)
		if err != nil {
			return 0, fmt.Errorf("reading CPU time: %w", err)
		}
		after, err := readStat(pid)
		if err != nil {
			return 0, fmt.Errorf("reading CPU time: %w", err)
		}
		total = after.own + before.reaped + living
		if before.reaped == after.reaped {
			break
		}
	}
	return total, nil
}

// descendantsCPU adds up the processes below one. Who ends while it looks isn't counted.
func descendantsCPU(pid int) (time.Duration, error) {
	all, err := readAll()
	if err != nil {
		return 0, err
	}
	children := make(map[int][]int)
	for child, s := range all {
		children[s.parent] = append(children[s.parent], child)
	}
	var total time.Duration
	for below := children[pid]; len(below) > 0; {
		child := below[len(below)-1]
		below = append(below[:len(below)-1], children[child]...)
		total += all[child].own + all[child].reaped
	}
	return total, nil
}

// readAll is what /proc says of every process of the machine.
func readAll() (map[int]stat, error) {
	if _, err := readFile(root + "/self/stat"); err != nil {
		return nil, err
	}
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	all := make(map[int]stat, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		s, err := readStat(pid)
		switch {
		case err == nil:
			all[pid] = s
		case gone(err), errors.Is(err, os.ErrPermission): // of another user, where the system hides those
		default:
			return nil, err
		}
	}
	return all, nil
}
