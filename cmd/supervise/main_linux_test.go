package supervise

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// The test program is also the supervisor, the witness and a command that
// counts signals, so that every test runs real processes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervisor":
			os.Exit(supervisorMain(os.Args[2:]))
		case "witness":
			if err := Witness(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		case "counter":
			counterMain(os.Args[2:])
			os.Exit(0)
		}
	}
	if os.Getenv("GORACE") == "" { // a program built with the race detector is slow to end
		if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
			panic(err)
		}
	}
	if signal.Ignored(syscall.SIGHUP) { // as under nohup; what is caught here isn't ignored by those who are started
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	os.Exit(m.Run())
}

// supervisorMain is what `carpool exec` does with this package.
func supervisorMain(args []string) int {
	command := Command{Environ: os.Environ(), Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	flags := flag.NewFlagSet("supervisor", flag.ExitOnError)
	flags.DurationVar(&command.Patience, "patience", patience, "")
	flags.DurationVar(&command.Grace, "grace", patience, "")
	flags.BoolVar(&command.Abandon, "abandon", false, "")
	witness := flags.Bool("witness", true, "")
	stop := flags.Duration("stop", -1, "") // on USR1
	churn := flags.Bool("churn", false, "")
	_ = flags.Parse(args) // exits on an error
	command.Args = flags.Args()
	if *witness {
		command.Witness = []string{"signal-witness", "witness"}
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, Signals()...)
	child, err := Start(command)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if problem, ok := err.(*StartError); ok {
			return problem.Status
		}
		return 1
	}
	if *churn {
		endThreads()
	}
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGUSR1 && *stop >= 0 {
				child.Stop(*stop)
				continue
			}
			child.Forward(sig)
		case <-child.AllEnded():
			return child.Status()
		}
	}
}

// endThreads ends a number of this process's threads: one ends with a goroutine
// that is locked to it.
func endThreads() {
	var goroutines sync.WaitGroup
	for range 500 {
		goroutines.Go(func() { runtime.LockOSThread() })
	}
	goroutines.Wait()
}

// counterMain prints the signals it gets until it gets the one that -until
// names. TSTP stops it.
func counterMain(args []string) {
	flags := flag.NewFlagSet("counter", flag.ExitOnError)
	ownGroup := flags.Bool("group", false, "")
	until := flags.String("until", syscall.SIGUSR2.String(), "")
	_ = flags.Parse(args) // exits on an error
	if *ownGroup {
		if err := syscall.Setpgid(0, 0); err != nil {
			fmt.Println(err)
		}
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, slices.DeleteFunc(append(forwarded(), syscall.SIGTTIN, syscall.SIGTTOU),
		func(s os.Signal) bool { return s == syscall.SIGTSTP })...)
	fmt.Println("ready", os.Getpid())
	for sig := range signals {
		fmt.Println("got", sig)
		if sig.String() == *until {
			return
		}
	}
}

// running is a supervisor with a command, and what they print.
type running struct {
	*exec.Cmd
	lines  chan string
	stderr strings.Builder
}

// startSupervisor starts a supervisor in a process group of its own and without a
// terminal.
func startSupervisor(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{Cmd: exec.Command("/proc/self/exe", append([]string{"supervisor"}, args...)...)}
	r.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r.start(t)
	return r
}

func (r *running) start(t *testing.T) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Stdout, r.Stderr = write, &r.stderr
	r.lines = make(chan string, 1000)
	r.WaitDelay = patience
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	go r.read(read) // ends when the last holder of the other end has
	t.Cleanup(func() {
		// The session is the supervisor's: nothing in it may outlive the test.
		for _, p := range session(r.Process.Pid) {
			_ = syscall.Kill(p, syscall.SIGKILL)
		}
		_ = r.Process.Kill()
		_ = r.Wait()
		read.Close()
		if t.Failed() {
			t.Logf("stderr:\n%s", r.stderr.String())
		}
	})
}

func (r *running) read(from io.Reader) {
	defer close(r.lines)
	scanner := bufio.NewScanner(from)
	for scanner.Scan() {
		r.lines <- scanner.Text()
	}
}

// line returns the next line that the command prints.
func (r *running) line(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-r.lines:
		if !ok {
			t.Fatal("the output has ended")
		}
		return line
	case <-time.After(patience):
		t.Fatal("nothing was printed")
	}
	return ""
}

// expect checks what the command prints next.
func (r *running) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := r.line(t); got != w {
			t.Fatalf("printed %q, want %q", got, w)
		}
	}
}

// number reads a line of a word and a number.
func (r *running) number(t *testing.T, word string) int {
	t.Helper()
	line := r.line(t)
	text, ok := strings.CutPrefix(line, word+" ")
	n, err := strconv.Atoi(text)
	if !ok || err != nil {
		t.Fatalf("printed %q, want %q and a number", line, word)
	}
	return n
}

// kill sends the supervisor a signal.
func (r *running) kill(t *testing.T, sig syscall.Signal) { t.Helper(); kill(t, r.Process.Pid, sig) }

// kill sends a signal to a process, or to a group if pid is negative.
func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("sending %v to %d: %v", sig, pid, err)
	}
}

// fence makes sure that all that will be forwarded has been: signals are
// forwarded in the order that they came in.
func (r *running) fence(t *testing.T) {
	t.Helper()
	for range 2 {
		r.kill(t, syscall.SIGUSR1)
		r.expect(t, "got user defined signal 1")
	}
}

// status waits for the supervisor to end, as a shell would show it.
func (r *running) status(t *testing.T) int {
	t.Helper()
	watchdog := time.AfterFunc(2*patience, func() { _ = r.Process.Kill() })
	defer watchdog.Stop()
	_ = r.Wait() // the status says it
	return exitStatus(r.ProcessState.Sys().(syscall.WaitStatus))
}

// session lists the processes of a session.
func session(id int) []int {
	all, err := processes()
	if err != nil {
		return nil
	}
	var members []int
	for _, p := range all {
		if s, err := sessionOf(p.pid); err == nil && s == id {
			members = append(members, p.pid)
		}
	}
	return members
}

func sessionOf(pid int) (int, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return strconv.Atoi(fields[3])
}

// processState is the letter that ps shows, "" if there is no such process.
func processState(pid int) string {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[0]
}

// await waits for something that can only be looked at.
func await(t *testing.T, what string, reached func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !reached() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not in %v", what, patience)
		}
	}
}

// witnessOf finds a supervisor's witness.
func witnessOf(t *testing.T, supervisor int) int {
	t.Helper()
	witness := 0
	await(t, "a witness", func() bool {
		all, err := processes()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), "cmdline"))
			if p.parent == supervisor && err == nil && strings.HasPrefix(string(name), "signal-witness") {
				witness = p.pid
			}
		}
		return witness != 0
	})
	return witness
}
