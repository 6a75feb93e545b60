package supervise

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// gone reports whether a process has ended.
func gone(pid int) bool {
	state := processState(pid)
	return state == "" || state == "Z" || state == "X"
}

// What a process leaves in its group is killed when it has ended, and its output
// isn't waited for.
func TestRunGroupLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"sleep 1000 & echo $!", "(sleep 1000 & echo $!)", "trap '' TERM HUP; sleep 1000 & echo $!; exit 0"} {
		var out strings.Builder
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
		cmd.Stdout = &out
		if err := RunGroup(cmd); err != nil {
			t.Errorf("%s: %v", script, err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(out.String()))
		if err != nil {
			t.Fatalf("%s: printed %q", script, out.String())
		}
		await(t, script+" leaves nothing", func() bool { return gone(pid) })
	}
}

func TestRunGroupEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "trap '' TERM INT; sh -c 'sleep 1000' & echo $!; wait")
	cmd.Stdout = write
	ended := make(chan error, 1)
	go func() { ended <- RunGroup(cmd) }()
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("it ended well")
	}
	write.Close()
	await(t, "the whole group ends", func() bool { return gone(pid) })
}

func TestRunGroupReportsTheStatus(t *testing.T) {
	t.Parallel()
	problem := (*exec.ExitError)(nil)
	if err := RunGroup(exec.Command("/bin/sh", "-c", "exit 3")); !errors.As(err, &problem) || problem.ExitCode() != 3 {
		t.Errorf("got %v", err)
	}
	if err := RunGroup(exec.Command("/no/such/file")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A script without #! is the shell's, as for execvp; a program for another
// machine isn't.
func TestScriptsWithoutAnInterpreter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, row := range []struct {
		file string
		want int
		out  string
	}{
		{file("script", "echo \"$@\"\nexit 7\n"), 7, "a b c"},
		{file("empty", ""), 0, ""},
		{file("foreign", "\x7fELF\x02\x01\x01\x00\x00"), 126, ""},
	} {
		r := startSupervisor(t, "--", row.file, "a b", "c")
		if row.out != "" {
			r.expect(t, row.out)
		}
		if got := r.status(t); got != row.want {
			t.Errorf("%s: status %d, want %d", row.file, got, row.want)
		}
	}
	err := Exec(Command{Args: []string{filepath.Join(dir, "foreign")}})
	if problem := (*StartError)(nil); !errors.As(err, &problem) || problem.Status != 126 || !errors.Is(err, syscall.ENOEXEC) {
		t.Errorf("Exec: %v", err)
	}
}
