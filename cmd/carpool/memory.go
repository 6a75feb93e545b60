package main

import (
	"io/fs"
	"log/slog"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// memoryVariable is Go's own; who sets it knows better.
	memoryVariable = "GOMEMLIMIT"
	// memoryPercent of what a container may use is ours. The rest is for what
	// Go doesn't count: the program itself and the kernel's socket buffers.
	memoryPercent = 90
)

// limitMemory keeps Go's memory within what the control group allows, unless
// GOMEMLIMIT is set: Go would otherwise let garbage grow until the kernel
// kills the process. root is the root of the file system.
func limitMemory(root fs.FS, given string, log *slog.Logger) {
	if given != "" {
		return
	}
	allowed, ok := groupMemory(root)
	if !ok {
		return
	}
	limit := allowed / 100 * memoryPercent
	debug.SetMemoryLimit(limit)
	log.Info("memory is kept within the container's limit", "container_bytes", allowed, "limit_bytes", limit)
}

// groupMemory is the memory in bytes that the control group of this process
// may use: the least limit of the group and of those around it. ok is false if
// there is none.
func groupMemory(root fs.FS) (limit int64, ok bool) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	limit = math.MaxInt64
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path, see cgroups(7); version 2 is hierarchy 0.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		switch {
		case fields[0] == "0" && fields[1] == "":
			limit = min(limit, leastLimit(root, "sys/fs/cgroup", fields[2], "memory.max"))
			limit = min(limit, leastLimit(root, "sys/fs/cgroup/unified", fields[2], "memory.max"))
		case fields[1] == "memory":
			limit = min(limit, leastLimit(root, "sys/fs/cgroup/memory", fields[2], "memory.limit_in_bytes"))
		}
	}
	return limit, limit < noMemoryLimit
}

// noMemoryLimit is less than what version 1 says for no limit, the greatest
// number of pages in bytes, and more than any machine has.
const noMemoryLimit = 1 << 60

// leastLimit is the least limit of a group and those around it, up to the
// mount. Within a container the path may be the host's, which isn't there; then
// what is at the mount counts.
func leastLimit(root fs.FS, mount, group, file string) int64 {
	limit := int64(math.MaxInt64)
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		if text, err := fs.ReadFile(root, path.Join(mount, dir, file)); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				limit = min(limit, n)
			}
		}
		if dir == "/" {
			return limit
		}
	}
}
