package supervise

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

func counter(args ...string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err) // the test program has no file
	}
	return append([]string{"--", self, "counter"}, args...)
}

// startCounter starts a command that prints the signals it gets.
func startCounter(t *testing.T, flags []string, args ...string) (r *running, command int) {
	t.Helper()
	r = startSupervisor(t, append(flags, counter(args...)...)...)
	return r, r.number(t, "ready")
}

func (r *running) finish(t *testing.T) {
	t.Helper()
	r.kill(t, syscall.SIGUSR2)
	r.expect(t, "got user defined signal 2")
	if got := r.status(t); got != 0 {
		t.Errorf("status %d", got)
	}
}

func TestSignalToUsAloneIsForwardedEachTime(t *testing.T) {
	t.Parallel()
	r, _ := startCounter(t, nil)
	for _, row := range []struct {
		signal syscall.Signal
		name   string
	}{
		{syscall.SIGTERM, "terminated"},
		{syscall.SIGINT, "interrupt"},
		{syscall.SIGQUIT, "quit"},
		{syscall.SIGHUP, "hangup"},
		{syscall.SIGWINCH, "window changed"},
		{syscall.SIGCONT, "continued"},
		{syscall.SIGTTIN, "stopped (tty input)"},
		{syscall.SIGTTOU, "stopped (tty output)"},
	} {
		for range 2 {
			r.kill(t, row.signal)
			r.expect(t, "got "+row.name)
		}
	}
	r.fence(t)
	r.finish(t)
}

func TestBroadcastIsHeardOnceByTheCommand(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		send func(t *testing.T, supervisor, command, witness int)
	}{
		{"to the group", func(t *testing.T, supervisor, _, _ int) { kill(t, -supervisor, syscall.SIGTERM) }},
		{"one by one", func(t *testing.T, supervisor, command, witness int) {
			for _, pid := range []int{supervisor, command, witness} {
				kill(t, pid, syscall.SIGTERM)
			}
		}},
		{"one by one, us last", func(t *testing.T, supervisor, command, witness int) {
			for _, pid := range []int{witness, command, supervisor} {
				kill(t, pid, syscall.SIGTERM)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r, command := startCounter(t, nil)
			witness := witnessOf(t, r.Process.Pid)
			r.fence(t) // the witness is ready
			for range 3 {
				row.send(t, r.Process.Pid, command, witness)
				r.expect(t, "got terminated")
			}
			r.fence(t)
			// And one that is for us alone is still told from the others.
			r.kill(t, syscall.SIGTERM)
			r.expect(t, "got terminated")
			r.fence(t)
			r.finish(t)
		})
	}
}

// A sender that names us and the command, and nobody else, can't be told from
// one that names us: this is the limit of what can be had.
func TestSignalToUsAndTheCommandIsHeardTwice(t *testing.T) {
	t.Parallel()
	r, command := startCounter(t, nil)
	r.fence(t)
	kill(t, command, syscall.SIGTERM)
	r.expect(t, "got terminated")
	r.kill(t, syscall.SIGTERM)
	r.expect(t, "got terminated")
	r.fence(t)
	r.finish(t)
}

func TestWithoutWitnessStopsAreForwardedOnce(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		flags []string
		lose  func(t *testing.T, r *running)
	}{
		{"none wanted", []string{"-witness=false"}, func(*testing.T, *running) {}},
		{"killed", nil, func(t *testing.T, r *running) {
			r.fence(t)
			witness := witnessOf(t, r.Process.Pid)
			kill(t, witness, syscall.SIGKILL)
			await(t, "the witness being reaped", func() bool { return processState(witness) == "" })
		}},
		{"hanging", nil, func(t *testing.T, r *running) {
			r.fence(t)
			kill(t, witnessOf(t, r.Process.Pid), syscall.SIGSTOP)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r, _ := startCounter(t, row.flags)
			row.lose(t, r)
			r.kill(t, syscall.SIGTERM)
			r.expect(t, "got terminated")
			for range 3 { // at most one more than was sent to the command
				kill(t, -r.Process.Pid, syscall.SIGTERM)
				r.expect(t, "got terminated")
			}
			r.kill(t, syscall.SIGHUP)
			r.expect(t, "got hangup")
			r.kill(t, syscall.SIGHUP)
			r.expect(t, "got hangup")
			r.fence(t)
			r.finish(t)
		})
	}
}

func TestCommandThatHasLeftTheGroupIsTold(t *testing.T) {
	t.Parallel()
	r, _ := startCounter(t, nil, "-group")
	witnessOf(t, r.Process.Pid)
	kill(t, -r.Process.Pid, syscall.SIGTERM) // doesn't reach the command
	r.expect(t, "got terminated")
	r.fence(t)
	r.finish(t)
}

func TestTermEndsAnOrdinaryCommand(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"-witness=true", "-witness=false"} {
		r := startSupervisor(t, flag, "--", "/bin/sh", "-c", "echo up; exec sleep 1000")
		r.expect(t, "up")
		r.kill(t, syscall.SIGTERM)
		if got := r.status(t); got != 128+15 {
			t.Errorf("%s: status %d, want 143", flag, got)
		}
	}
}

func TestIgnoredSignalsStayIgnored(t *testing.T) {
	t.Parallel()
	// As nohup does, and a shell with a command in the background.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const trap = "trap '' HUP INT; exec \"$@\""
	look := []string{"/bin/sh", "-c", "grep SigIgn /proc/$$/status"}
	alone := &running{}
	alone.Cmd = shell(trap, look...)
	alone.start(t)
	want := alone.line(t)
	if !strings.HasSuffix(want, "3") { // HUP is 1, INT is 2
		t.Fatalf("without us %s are ignored", want)
	}
	r := &running{}
	r.Cmd = shell(trap, append([]string{self, "supervisor", "--"}, look...)...)
	r.start(t)
	if ignored := r.line(t); ignored != want {
		t.Errorf("%s, want %s", ignored, want)
	}
	if got := r.status(t); got != 0 {
		t.Errorf("status %d", got)
	}
}
