package compare

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// userHz is the unit of CPU times in /proc, the same on every Linux.
const userHz = 100

// cpuTime is the user and system time that a process has used, with all its threads, also those that have ended.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading CPU time: %w", err)
	}
	return parseCPUTime(text)
}

// parseCPUTime reads /proc/PID/stat. The second field, the name, is in parentheses and may hold anything; user and system
// time are the fields 14 and 15 in proc(5)'s count.
func parseCPUTime(stat []byte) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("reading CPU time: /proc/PID/stat is too short")
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading CPU time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHz, nil
}

// memory is what a process holds.
type memory struct {
	resident int64 // bytes
	highest  int64 // bytes; the most that resident has been
}

func readMemory(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, fmt.Errorf("reading memory: %w", err)
	}
	var m memory
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSuffix(strings.TrimSpace(value), " kB")
		switch name {
		case "VmRSS":
			m.resident, err = strconv.ParseInt(value, 10, 64)
		case "VmHWM":
			m.highest, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return memory{}, fmt.Errorf("reading memory: %w", err)
		}
	}
	return memory{resident: m.resident << 10, highest: m.highest << 10}, nil
}

// machine is a few words about where the numbers were taken.
func machine() string {
	words := fmt.Sprintf("%d cores, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return words
	}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return words + ", " + strings.TrimSpace(value)
		}
	}
	return words
}

// raiseFileLimit sets the limit of open files to what we may have, for us and, because we have set it, for our children
// too: Go gives children the lower limit that it found, unless the program sets one.
func raiseFileLimit() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	limit.Cur = limit.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // idleClients looks at what came of it
}

// idleClients is how many connections we can hold open, at most the wanted number.
func idleClients(wanted int) int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return wanted
	}
	const others = 200 // descriptors that aren't such connections, in us and in the pooler
	if limit.Cur < uint64(wanted)+others {
		return max(0, int(limit.Cur)-others)
	}
	return wanted
}
