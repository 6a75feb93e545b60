package supervise

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestWaitsForWhatIsLeftBehind(t *testing.T) {
	t.Parallel()
	// The leader is killed outright; what it started goes on until told.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := startSupervisor(t, "--", "/bin/sh", "-c", `echo leader $$; "$1" counter & wait`, "sh", self)
	leader := r.number(t, "leader")
	r.number(t, "ready")
	kill(t, leader, syscall.SIGKILL)
	await(t, "the leader being reaped", func() bool { return processState(leader) == "" })
	r.fence(t) // is heard by what is left
	r.finishWith(t, 128+9)
}

func (r *running) finishWith(t *testing.T, want int) {
	t.Helper()
	r.kill(t, syscall.SIGUSR2)
	r.expect(t, "got user defined signal 2")
	if got := r.status(t); got != want {
		t.Errorf("status %d, want %d", got, want)
	}
}

func TestWhatIsLeftBehindIsToldAndKilled(t *testing.T) {
	t.Parallel()
	// The command ends when what it leaves behind is ready to be told.
	const (
		leader   = `trap 'exit 5' USR1; `
		stubborn = leader + `(trap 'echo told' TERM; echo up; kill -USR1 $$; while :; do sleep 0.02; done) & wait`
		obedient = leader + `(trap 'echo told; exit 0' TERM; echo up; kill -USR1 $$; while :; do sleep 0.02; done) & wait`
		daemon   = leader + `setsid sh -c 'trap "echo told; exit 0" TERM; echo up; kill -USR1 $PPID; while :; do sleep 0.02; done' & wait`
	)
	for _, row := range []struct {
		name, script string
		flags        []string
		want         []string
	}{
		{"ends when told", obedient, []string{"-patience=100ms"}, []string{"up", "told"}},
		{"in a session of its own", daemon, []string{"-patience=100ms"}, []string{"up", "told"}},
		{"doesn't want to", stubborn, []string{"-patience=100ms", "-grace=1s"}, []string{"up", "told"}},
		{"no patience", stubborn, []string{"-patience=0", "-grace=1s"}, []string{"up", "told"}},
		{"without a witness", stubborn, []string{"-patience=0", "-grace=1s", "-witness=false"}, []string{"up", "told"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := startSupervisor(t, append(row.flags, "--", "/bin/sh", "-c", row.script)...)
			r.expect(t, row.want...)
			if got := r.status(t); got != 5 {
				t.Errorf("status %d", got)
			}
			if line, ok := <-r.lines; ok {
				t.Errorf("printed %q: something is still there", line)
			}
		})
	}
}

func TestTermIsToldToWhatIsLeftBehind(t *testing.T) {
	t.Parallel()
	r := startSupervisor(t, "--", "/bin/sh", "-c", `(trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.02; done) & exit 6`)
	r.expect(t, "up")
	r.kill(t, syscall.SIGTERM)
	r.expect(t, "told")
	if got := r.status(t); got != 6 {
		t.Errorf("status %d", got)
	}
}

func TestAbandonLeavesAlone(t *testing.T) {
	t.Parallel()
	r := startSupervisor(t, "-patience=50ms", "-abandon", "--", "/bin/sh", "-c", `(trap 'echo told; exit 0' TERM; echo up $(exec sh -c 'echo $PPID'); while :; do sleep 0.02; done) 2>/dev/null & exit 6`)
	left := r.number(t, "up")
	if got := r.status(t); got != 6 {
		t.Errorf("status %d", got)
	}
	if processState(left) == "" {
		t.Error("it wasn't left alone")
	}
	kill(t, left, syscall.SIGTERM)
	r.expect(t, "told") // by us, for the first time
	if line, ok := <-r.lines; ok {
		t.Errorf("printed %q", line)
	}
}

// What this process had for children before the command started is neither
// waited for nor told to end.
func TestEarlierChildrenAreLeftAlone(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{}
	r.Cmd = shell(`sleep 1000 >/dev/null 2>&1 & echo earlier $!; exec "$@"`, self, "supervisor", "-patience=0", "-grace=0", "--", "/bin/sh", "-c", "exit 4")
	r.start(t)
	earlier := r.number(t, "earlier")
	if got := r.status(t); got != 4 {
		t.Errorf("status %d", got)
	}
	if processState(earlier) == "" {
		t.Error("it has ended")
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, script, grace string
		want                []string
		status              int
	}{
		{"obeys", `trap 'echo told; exit 3' TERM; echo up; while :; do sleep 0.02; done`, "20s", []string{"up", "told"}, 3},
		{"doesn't", `trap 'echo told' TERM; echo up; while :; do sleep 0.02; done`, "1s", []string{"up", "told"}, 137},
		{"is stopped", `echo up; kill -STOP $$`, "20s", []string{"up"}, 143},
		{"leaves others behind", `trap 'exit 3' TERM; (trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.02; done) & while :; do sleep 0.02; done`, "20s", []string{"up", "told"}, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := startSupervisor(t, "-stop="+row.grace, "--", "/bin/sh", "-c", row.script)
			r.expect(t, row.want[0])
			r.kill(t, syscall.SIGUSR1)
			r.expect(t, row.want[1:]...)
			if got := r.status(t); got != row.status {
				t.Errorf("status %d, want %d", got, row.status)
			}
		})
	}
}

func TestCommandIsToldWhenWeAreKilled(t *testing.T) {
	t.Parallel()
	r, command := startCounter(t, nil)
	witness := witnessOf(t, r.Process.Pid)
	r.kill(t, syscall.SIGKILL)
	r.expect(t, "got terminated")
	await(t, "the end of the witness", func() bool { state := processState(witness); return state == "" || state == "Z" })
	kill(t, command, syscall.SIGUSR2)
	line := r.line(t)
	for line == "got terminated" { // as often as the kernel finds a thread of ours to take the command over
		line = r.line(t)
	}
	if line != "got user defined signal 2" {
		t.Errorf("printed %q", line)
	}
}

// The kernel tells a command TERM when the thread that started it ends. Only
// the end of the whole process may do that.
func TestCommandIsNotToldWhenOtherThreadsEnd(t *testing.T) {
	t.Parallel()
	r, _ := startCounter(t, []string{"-churn"})
	r.fence(t)
	r.finish(t)
}

func TestOrphansAreReaped(t *testing.T) {
	t.Parallel()
	const many = 200
	r := startSupervisor(t, "--", "/bin/sh", "-c",
		fmt.Sprintf(`i=0; while [ $i -lt %d ]; do (true & true &); i=$((i+1)); done; 
while grep -lsE "^PPid:	$PPID\$" $(grep -ls '^State:	Z' /proc/[0-9]*/status) /dev/null; do sleep 0.02; done >/dev/null
echo no zombies; exit 2`, many))
	r.expect(t, "no zombies")
	if got := r.status(t); got != 2 {
		t.Errorf("status %d", got)
	}
}

// The reaper never takes the end of a process from os/exec, nor does one that
// os/exec waits for hide orphans from it.
func TestRunBesideOrphans(t *testing.T) {
	defer goleak.VerifyNone(t)
	child, err := Start(Command{
		Args:     []string{"sh", "-c", `i=0; while [ $i -lt 300 ]; do (sh -c 'exit 9' & true & true &); i=$((i+1)); done; exit 12`},
		Environ:  os.Environ(),
		Patience: patience,
		Witness:  []string{"signal-witness", "witness"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-child.Ended():
					if n == 0 {
						t.Error("nothing was run meanwhile")
					}
					return
				default:
				}
				out := &strings.Builder{}
				cmd := exec.Command("/bin/sh", "-c", "(true &) ; echo hello; exit 7")
				cmd.Stdout = out
				err := child.Run(cmd)
				exit, ok := errors.AsType[*exec.ExitError](err)
				if !ok || exit.ExitCode() != 7 || out.String() != "hello\n" {
					t.Errorf("run: %v, %q", err, out.String())
					return
				}
			}
		})
	}
	callers.Wait()
	select {
	case <-child.AllEnded():
	case <-time.After(patience):
		t.Fatal("not all have ended")
	}
	if got := child.Status(); got != 12 {
		t.Errorf("status %d", got)
	}
	for _, p := range mustList(t) {
		if p.parent == os.Getpid() {
			t.Errorf("process %d is left, ended: %t", p.pid, p.ended)
		}
	}
	if err := child.Run(exec.Command("/bin/sh", "-c", "exit 0")); err != nil {
		t.Errorf("run afterwards: %v", err)
	}
	if err := child.Run(exec.Command("/no/such/file")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("running nothing: %v", err)
	}
	child.Forward(syscall.SIGTERM) // nobody is there any more
	child.Stop(0)
}

func mustList(t *testing.T) []process {
	t.Helper()
	all, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	return all
}
