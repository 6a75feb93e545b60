package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// gonePID is the id of a process that has ended.
func gonePID(t *testing.T) int {
	t.Helper()
	cmd := exec.Command(binary, "--version")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestPIDFile(t *testing.T) {
	own := fmt.Sprintln(os.Getpid())
	p, _ := serve(t, ownURL(), "serve")
	pooler := p.cmd.Process.Pid
	for _, row := range []struct {
		name   string
		before string // content; "" is no file
		want   string // part of the error, "" for none
	}{
		{"none", "", ""},
		{"left by a process that is gone", fmt.Sprintln(gonePID(t)), ""},
		{"left by a container's former life", own, ""},
		{"of a pooler that runs", fmt.Sprintln(pooler), fmt.Sprintf("process %d runs", pooler)},
		{"of a process that runs and is no pooler", "1\n", ""},
		{"of another kind", "important\n", "holds no process id"},
		{"of a process group", "-1\n", "holds no process id"},
		{"empty", "\n", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "carpool.pid")
			if row.before != "" {
				write(t, filepath.Dir(file), filepath.Base(file), row.before)
			}
			pid, err := takePIDFile(file)
			content, _ := os.ReadFile(file) // "" without one
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) || string(content) != row.before {
					t.Errorf("error %v, and the file is %q", err, content)
				}
				return
			}
			if err != nil || string(content) != own {
				t.Fatalf("error %v, and the file is %q", err, content)
			}
			if err := pid.remove(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(file); err == nil {
				t.Error("the file is still there")
			}
			if err := pid.remove(); err != nil {
				t.Error("removed twice:", err)
			}
		})
	}
}

func TestPIDFileOfAnotherIsLeftAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "carpool.pid")
	pid, err := takePIDFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(file), filepath.Base(file), strconv.Itoa(os.Getppid()))
	if err := pid.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("the file of another was removed")
	}
	if pid, err := takePIDFile(""); err != nil || pid.remove() != nil {
		t.Error("no pidfile:", err)
	}
	if _, err := takePIDFile(filepath.Join(t.TempDir(), "missing", "carpool.pid")); err == nil || !strings.HasPrefix(err.Error(), "pidfile: ") {
		t.Errorf("in a directory that isn't there: %v", err)
	}
}

// Whoever has the lock runs, whatever the number says; with its end the file is
// free, even if it was left behind.
func TestPIDFileIsLocked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "carpool.pid")
	p, _ := serve(t, ownURL(), "serve", "--set=pidfile="+file)
	write(t, filepath.Dir(file), filepath.Base(file), "1\n")
	if _, err := takePIDFile(file); err == nil || !strings.Contains(err.Error(), "is carpool running already?") {
		t.Errorf("while another process has the lock: %v", err)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	pid, err := takePIDFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := pid.remove(); err != nil {
		t.Error(err)
	}
}
