package procfs

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
)

// Machine is where numbers were taken. What the system doesn't tell is empty or 0.
type Machine struct {
	CPU         string  // model
	Cores       int     // that this process may use
	Memory      int64   // bytes: the machine's, or the limit of our container where that is less
	OS          string  // such as "linux/amd64"
	Kernel      string  // its release
	LoadAverage float64 // of the last minute
}

// Describe looks at this machine.
func Describe() Machine {
	m := Machine{Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH}
	m.CPU = valueOf(trimmedFile(root+"/cpuinfo"), "model name")
	m.Kernel = trimmedFile(root + "/sys/kernel/osrelease")
	if total, err := parseKilobytes(valueOf(trimmedFile(root+"/meminfo"), "MemTotal")); err == nil {
		m.Memory = total
	}
	// "max" where there is no limit.
	if limit, err := strconv.ParseInt(trimmedFile("/sys/fs/cgroup/memory.max"), 10, 64); err == nil && limit < m.Memory {
		m.Memory = limit
	}
	load, _, _ := strings.Cut(trimmedFile(root+"/loadavg"), " ")
	if average, err := strconv.ParseFloat(load, 64); err == nil {
		m.LoadAverage = average
	}
	return m
}

// String is a few words: cores, system and processor.
func (m Machine) String() string {
	words := fmt.Sprintf("%d cores, %s", m.Cores, m.OS)
	if m.CPU != "" {
		words += ", " + m.CPU
	}
	return words
}

// trimmedFile is the trimmed text of a file, "" where there is none.
func trimmedFile(name string) string {
	text, err := readFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// valueOf is what follows the first "name :" at the beginning of a line.
func valueOf(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
