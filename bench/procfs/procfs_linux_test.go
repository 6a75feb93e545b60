package procfs

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestThisProcess(t *testing.T) {
	held, err := ReadMemory(os.Getpid())
	if err != nil || held.Resident < 1<<20 || held.Highest < held.Resident || held.Highest > 1<<40 {
		t.Errorf("memory: got %+v, %v", held, err)
	}
	if parent, err := Parent(os.Getpid()); err != nil || parent != os.Getppid() {
		t.Errorf("parent: got %d, %v", parent, err)
	}
	if title, err := Title(os.Getpid()); err != nil || !strings.HasPrefix(title, os.Args[0]+" ") {
		t.Errorf("title: got %q, %v", title, err)
	}
}

func TestCPUGrowsWithWork(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const work = 100 * time.Millisecond
	deadline := time.Now().Add(30 * time.Second)
	for {
		after, err := CPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after-before >= work {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s of CPU time after half a minute of work", after-before)
		}
	}
}

// TestTreeCPUCountsTheLivingAndTheDead runs a shell that lets one child end and works itself; a child of the living one is
// the third generation.
func TestTreeCPUCountsTheLivingAndTheDead(t *testing.T) {
	const spin = `i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done`
	command := exec.Command("sh", "-c", `sh -c '`+spin+`'; sh -c 'sh -c "echo ready; read line"; true'; true`)
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Wait() }()
	defer in.Close()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	tree, err := TreeCPU(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := CPU(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if tree < alone+20*time.Millisecond {
		t.Errorf("the tree has used %s, its root %s: the child that has ended is missing", tree, alone)
	}
	all, err := readAll()
	if err != nil {
		t.Fatal(err)
	}
	if _, found := all[command.Process.Pid]; !found || len(all) < 3 {
		t.Errorf("%d processes, and the child among them: %t", len(all), found)
	}
}

func TestNoSuchProcess(t *testing.T) {
	command := exec.Command("true")
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	pid := command.Process.Pid
	for name, ask := range map[string]func() error{
		"CPU":     func() error { _, err := CPU(pid); return err },
		"TreeCPU": func() error { _, err := TreeCPU(pid); return err },
		"Memory":  func() error { _, err := ReadMemory(pid); return err },
		"Parent":  func() error { _, err := Parent(pid); return err },
		"Title":   func() error { _, err := Title(pid); return err },
	} {
		if err := ask(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	m := Describe()
	if m.Cores < 1 || m.Memory < 1<<20 || m.Kernel == "" || !strings.HasPrefix(m.OS, "linux/") || m.LoadAverage < 0 {
		t.Errorf("got %+v", m)
	}
	if text := m.String(); !strings.Contains(text, "cores, linux/") || !strings.HasSuffix(text, m.CPU) {
		t.Errorf("got %q", text)
	}
}

func TestRaiseFileLimit(t *testing.T) {
	if first, second := RaiseFileLimit(), RaiseFileLimit(); first == 0 || first != second {
		t.Errorf("got %d, then %d", first, second)
	}
}
