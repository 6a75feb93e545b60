package procfs

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
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

// spins is a loop of the shell that takes some tens of milliseconds of CPU time.
const spins = `spin() { i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done; }; `

// TestTreeCPUOfManySmallProcesses has twenty processes come and go, and twenty live on, as the backends behind a pooler do.
// What the kernel accounts to all of them, once they have been waited for, is the truth.
func TestTreeCPUOfManySmallProcesses(t *testing.T) {
	const script = spins + `exec 3<&0
		n=0; while [ $n -lt 20 ]; do (spin); n=$((n+1)); done
		n=0; while [ $n -lt 20 ]; do (spin; echo ready; read line <&3) & n=$((n+1)); done
		wait`
	command := exec.Command("sh", "-c", script)
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
	lines := bufio.NewScanner(out)
	for range 20 {
		if !lines.Scan() {
			t.Fatalf("a process ended early: %v", lines.Err())
		}
	}
	measured, err := TreeCPU(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	truth := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	if off := float64(measured-truth) / float64(truth); off < -0.03 || off > 0.03 {
		t.Errorf("measured %s of %s: off by %.1f %%", measured, truth, 100*off)
	}
}

// TestCPUCountsThreads compares with what the kernel tells us of ourselves, after threads have worked and ended.
func TestCPUCountsThreads(t *testing.T) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			for began := time.Now(); time.Since(began) < 5*time.Millisecond; {
			}
		})
	}
	all.Wait()
	truth := func() time.Duration {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			t.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	const patience = 5 * time.Millisecond // the time of a thread that runs is brought up to date at ticks
	before := truth()
	used, err := CPU(os.Getpid())
	after := truth()
	if err != nil || used < before-patience || used > after+patience {
		t.Errorf("got %s, %v; the truth went from %s to %s", used, err, before, after)
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
