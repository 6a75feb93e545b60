package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// ErrUnsupported is the answer of systems that don't have Linux' /proc.
var ErrUnsupported = errors.New("only Linux tells this about a process")

// userHz is the unit of CPU times in /proc, the same on every Linux.
const userHz = 100

// root is where Linux shows its processes.
const root = "/proc"

// CPU is the user and system time that a process has used, with all its threads, also those that have ended, but without its
// children. It lags behind by what has been used since the last tick of the kernel, a few milliseconds at most.
func CPU(pid int) (time.Duration, error) {
	s, err := readStat(pid)
	if err != nil {
		return 0, fmt.Errorf("reading CPU time: %w", err)
	}
	return s.own, nil
}

// Parent is the process id of a process' parent.
func Parent(pid int) (int, error) {
	s, err := readStat(pid)
	if err != nil {
		return 0, fmt.Errorf("looking for a parent process: %w", err)
	}
	return s.parent, nil
}

// Title is the command line of a process, its words separated by blanks. Many servers write there what they are doing. It is
// empty for a process of the kernel's.
func Title(pid int) (string, error) {
	text, err := readFile(fmt.Sprintf("%s/%d/cmdline", root, pid))
	if err != nil {
		return "", fmt.Errorf("reading a command line: %w", err)
	}
	return string(bytes.TrimSpace(bytes.ReplaceAll(text, []byte{0}, []byte{' '}))), nil
}

// Memory is what a process holds.
type Memory struct {
	Resident int64 // bytes
	Highest  int64 // bytes; the most that Resident has been
}

// ReadMemory is the memory of a process.
func ReadMemory(pid int) (Memory, error) {
	text, err := readFile(fmt.Sprintf("%s/%d/status", root, pid))
	if err != nil {
		return Memory{}, fmt.Errorf("reading memory: %w", err)
	}
	m, err := parseMemory(string(text))
	if err != nil {
		return Memory{}, fmt.Errorf("reading memory: %w", err)
	}
	return m, nil
}

func parseMemory(status string) (Memory, error) {
	var m Memory
	var err error
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "VmRSS":
			m.Resident, err = parseKilobytes(value)
		case "VmHWM":
			m.Highest, err = parseKilobytes(value)
		}
		if err != nil {
			return Memory{}, err
		}
	}
	if m.Resident == 0 {
		return Memory{}, errors.New("the process has no memory: it has ended, or belongs to the kernel")
	}
	return m, nil
}

// parseKilobytes reads "   1234 kB" as bytes.
func parseKilobytes(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 54)
	return n << 10, err
}

// stat is what /proc/PID/stat says.
type stat struct {
	parent int
	own    time.Duration // user and system time of the process itself
	reaped time.Duration // the same of its children that have ended and been waited for, and of theirs
}

func readStat(pid int) (stat, error) {
	text, err := readFile(fmt.Sprintf("%s/%d/stat", root, pid))
	if err != nil {
		return stat{}, err
	}
	s, err := parseStat(text)
	if used, precise := processClock(pid); err == nil && precise {
		s.own = used
	}
	return s, err
}

// parseStat reads the fields by proc(5)'s numbers: the parent is 4, and user and system time are 14 and 15 of the process, 16
// and 17 of its children. The second field, the name, is in parentheses and may hold anything.
func parseStat(text []byte) (stat, error) {
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 15 {
		return stat{}, errors.New("/proc/PID/stat is too short")
	}
	var numbers [5]int64
	for i, at := range [...]int{1, 11, 12, 13, 14} {
		n, err := strconv.ParseInt(string(fields[at]), 10, 64)
		if err != nil {
			return stat{}, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		numbers[i] = n
	}
	return stat{parent: int(numbers[0]), own: ticks(numbers[1] + numbers[2]), reaped: ticks(numbers[3] + numbers[4])}, nil
}

func ticks(n int64) time.Duration { return time.Duration(n) * time.Second / userHz }

// gone tells whether a process isn't there any more. It may end between the opening of its file and the reading.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoProcess)
}

func readFile(name string) ([]byte, error) {
	if runtime.GOOS != "linux" {
		return nil, ErrUnsupported
	}
	return os.ReadFile(name)
}
