package supervise

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reapOrphans reaps all children that have ended and that nobody else waits
// for. It reports whether this process has no children at all.
func (c *Child) reapOrphans() bool {
	for {
		pid, err := c.reapOne()
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err == unix.ECHILD
		case pid == 0:
			return false
		default:
			delete(c.before, pid)
		}
	}
}

// reapOne reaps one child and returns its process id, 0 if there is none to
// reap.
func (c *Child) reapOne() (int, error) {
	// The lock is held so that no child can be started, end and be found here
	// before it is known to be owned.
	c.mu.Lock()
	defer c.mu.Unlock()
	var found unix.Siginfo
	if err := unix.Waitid(unix.P_ALL, 0, &found, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return 0, err
	}
	pid := endedPID(&found)
	if pid == 0 || c.owned[pid] {
		return 0, nil // who owns it kicks the loop when it has been reaped
	}
	if pid == c.pid && !c.hasEnded() || c.witness != nil && pid == c.witness.pid {
		c.goRound() // has ended since reap looked at it
		return 0, nil
	}
	return unix.Wait4(pid, nil, unix.WNOHANG, nil)
}

// endedPID is si_pid, which x/sys doesn't name. It is the first field of a union
// that begins after three integers and is aligned as a pointer is.
func endedPID(found *unix.Siginfo) int {
	offset := 3 * unsafe.Sizeof(found.Signo)
	align := unsafe.Alignof(uintptr(0))
	offset = (offset + align - 1) / align * align
	raw := (*[unsafe.Sizeof(*found)]byte)(unsafe.Pointer(found))
	return int(int32(binary.NativeEndian.Uint32(raw[offset:])))
}

// process is a line of the list of processes.
type process struct {
	pid, parent, group int
	ended              bool // and not reaped yet
}

// processes lists all processes that /proc shows.
func processes() ([]process, error) {
	directory, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var all []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // gone in the meantime
		}
		if p, err := parseStat(pid, string(stat)); err == nil {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("listing processes: /proc shows none")
	}
	return all, nil
}

// parseStat reads the state, the parent and the group from a stat file of /proc.
// The name before them is in parentheses and may have anything in it.
func parseStat(pid int, stat string) (process, error) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return process{}, errors.New("no name in it")
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 3 {
		return process{}, errors.New("too short")
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return process{}, fmt.Errorf("the parent: %w", err)
	}
	group, err := strconv.Atoi(fields[2])
	if err != nil {
		return process{}, fmt.Errorf("the group: %w", err)
	}
	return process{pid: pid, parent: parent, group: group, ended: fields[0] == "Z" || fields[0] == "X"}, nil
}

// below returns the living descendants of a process, without strangers and what
// descends from them, and whether there is any, ended or not.
func below(root int, all []process, others strangers) (living []int, left bool) {
	children := make(map[int][]process)
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p)
	}
	next := []int{root}
	seen := map[int]bool{root: true} // the list isn't made in one moment: it might have a cycle
	for len(next) > 0 {
		parent := next[0]
		next = next[1:]
		for _, p := range children[parent] {
			if others.processes[p.pid] || others.groups[p.group] || seen[p.pid] {
				continue
			}
			seen[p.pid] = true
			left = true
			if !p.ended {
				living = append(living, p.pid)
			}
			next = append(next, p.pid)
		}
	}
	return living, left
}

// childrenNow are the children that this process has.
func childrenNow() map[int]bool {
	children := make(map[int]bool)
	all, err := processes()
	if err != nil {
		return children // then nothing is told to end by name either
	}
	for _, p := range all {
		if p.parent == os.Getpid() {
			children[p.pid] = true
		}
	}
	return children
}
