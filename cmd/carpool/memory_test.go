package main

import (
	"bytes"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"
)

// tree is a file system with these files.
func tree(files map[string]string) fstest.MapFS {
	root := make(fstest.MapFS)
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestGroupMemory(t *testing.T) {
	const hostPath = "0::/\n4:memory:/docker/abc\n"
	for _, row := range []struct {
		name  string
		files map[string]string
		want  int64 // 0 is no limit
	}{
		{"nothing is known", nil, 0},
		{"version 2, in a container", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20},
		{"version 2, no limit", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 0},
		{"version 2, the group's own", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n", "sys/fs/cgroup/a/memory.max": "2000\n", "sys/fs/cgroup/c/memory.max": "5\n",
		}, 1000},
		{"version 2, the one around it", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "2000\n",
		}, 2000},
		{"version 1", map[string]string{
			"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "3000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 3000},
		{"version 1, no limit", map[string]string{"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		{"version 1, the path is the host's", map[string]string{"proc/self/cgroup": hostPath, "sys/fs/cgroup/memory/memory.limit_in_bytes": "4000\n"}, 4000},
		{"both versions", map[string]string{"proc/self/cgroup": hostPath, "sys/fs/cgroup/unified/memory.max": "max\n", "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "4000\n"}, 4000},
		{"nonsense", map[string]string{"proc/self/cgroup": "0:\n::\n0::../../..\n4:memory:\n", "sys/fs/cgroup/memory.max": "-1\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "x\n"}, 0},
	} {
		got, ok := groupMemory(tree(row.files))
		if ok != (row.want > 0) || ok && got != row.want {
			t.Errorf("%s: got %d, %v, want %d", row.name, got, ok, row.want)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	container := tree(map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000000000\n"})
	for _, row := range []struct {
		name  string
		root  fstest.MapFS
		given string
		want  int64
	}{
		{"in a container", container, "", 900_000_000},
		{"GOMEMLIMIT is set", container, "1GiB", math.MaxInt64},
		{"no container", tree(nil), "", math.MaxInt64},
	} {
		debug.SetMemoryLimit(math.MaxInt64)
		var out bytes.Buffer
		limitMemory(row.root, row.given, slog.New(slog.NewTextHandler(&out, nil)))
		if got := debug.SetMemoryLimit(-1); got != row.want {
			t.Errorf("%s: the limit is %d, want %d", row.name, got, row.want)
		}
		if logged := strings.Contains(out.String(), "container_bytes=1000000000 limit_bytes=900000000"); logged != (row.want != math.MaxInt64) {
			t.Errorf("%s: the log is %q", row.name, out.String())
		}
	}
}
