package worker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestGroupAddsUpItsProcesses(t *testing.T) {
	leavesNoGoroutine(t)
	_, place := tables(t, "books")
	j := named(t, job(Kept, place, 7), "group")
	j.Duration = 500 * time.Millisecond
	started := 0
	var last Progress
	result, err := workers("serve").Run(t.Context(), Split(j, 3), func() {
		started++
		if count := clientsOf(t, "group"); count != 7 {
			t.Errorf("Postgres has %d clients at the start", count)
		}
	}, func(p Progress) { last = p })
	if err != nil {
		t.Fatal(err)
	}
	if started != 1 || result.Connected != 7 || result.Calls == 0 || result.Calls != total(result.Latency) || failures(result) > 0 || result.CPU <= 0 {
		t.Errorf("started %d times, %+v", started, shown(result))
	}
	if last.Calls == 0 || last.Calls > result.Calls {
		t.Errorf("%d calls were reported last, of %d", last.Calls, result.Calls)
	}
	if result.Elapsed < 500*time.Millisecond || result.Elapsed > 5*time.Second {
		t.Errorf("took %v", result.Elapsed)
	}
}

func TestGroupMakesExactlyTheCallsOfTheJob(t *testing.T) {
	_, place := tables(t, "books")
	j := job(Connect, place, 5)
	j.Calls = 101
	result, err := workers("serve").Run(t.Context(), Split(j, 3), nil, nil)
	if err != nil || result.Calls != 101 {
		t.Errorf("%+v, %v", shown(result), err)
	}
}

func TestGroupStartsWavesTogether(t *testing.T) {
	_, place := tables(t, "storm")
	for _, end := range []func(*Job){
		func(j *Job) { j.Calls = 24 },
		func(j *Job) { j.Duration = 300 * time.Millisecond },
	} {
		j := job(Kept, place, 6)
		j.Workload = "storm"
		end(&j)
		result, err := workers("serve").Run(t.Context(), Split(j, 2), nil, nil)
		if err != nil || j.Calls > 0 && result.Calls != 24 || result.Calls == 0 || result.Calls%6 != 0 || failures(result) > 0 {
			t.Errorf("%+v, %v", shown(result), err)
		}
	}
}

func TestGroupFindsRacesInEveryProcess(t *testing.T) {
	_, place := tables(t, "books")
	j := job(GlobalUnsafe, place, 8)
	j.Duration = time.Second
	result, err := workers("serve").Run(t.Context(), Split(j, 2), nil, nil)
	if err != nil || result.WrongAnswers+result.ProtocolErrors == 0 {
		t.Fatalf("%+v, %v", shown(result), err)
	}
	if n := len(result.Examples); n < 3 || n > mostGroupSamples {
		t.Errorf("the examples are %q", result.Examples)
	}
}

func TestGroupFailsWithTheSentenceOfOne(t *testing.T) {
	good := Job{Technique: Kept, URL: postgres.URL("", ""), Protocol: Simple, Workload: "select1", Clients: 1, Duration: time.Minute}
	wrong := good
	wrong.URL = postgres.URL("", "absent")
	unsupported := good
	unsupported.Technique, unsupported.Workload, unsupported.Place = GlobalUnsafe, "copy", Place{Schema: "public", Scale: 1}
	for name, test := range map[string]struct {
		group Group
		job   Job
		want  string
	}{
		"failed":      {workers("serve"), wrong, "3D000"},
		"unsupported": {workers("serve"), unsupported, "can't be run by this technique"},
		"died":        {workers("die"), good, "exit status 3): the last complaint"},
		"silent":      {Group{Command: []string{"true"}}, good, "ended early"},
		"talkative":   {Group{Command: []string{"echo", "hello"}}, good, "JSON"},
		"absent":      {Group{Command: []string{"/nonexistent"}}, good, "nonexistent"},
	} {
		began := time.Now()
		_, err := test.group.Run(t.Context(), []Job{good, test.job}, nil, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
		if errors.Is(err, ErrUnsupported) != (name == "unsupported") {
			t.Errorf("%s: %v is taken for another error", name, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
	if _, err := workers("serve").Run(t.Context(), nil, nil, nil); err == nil {
		t.Error("no error without jobs")
	}
}

func TestGroupLeavesNoProcessWhenStopped(t *testing.T) {
	leavesNoGoroutine(t)
	for _, script := range []string{"SELECT 1;", "SELECT pg_sleep(60);"} {
		j := Job{Technique: Kept, URL: postgres.URL("", ""), Protocol: Simple, Workload: "x.sql", Script: script, Clients: 4, Duration: time.Minute}
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("interrupted")
		group := workers("serve")
		var stderr lockedBuffer
		group.Stderr = &stderr
		began := time.Now()
		_, err := group.Run(ctx, Split(j, 3), nil, func(Progress) { cancel(reason) })
		if !errors.Is(err, reason) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("took %v to stop", took)
		}
		pids := strings.Fields(stderr.String())
		if len(pids) != 3 {
			t.Errorf("the processes are %q", pids)
		}
		for _, pid := range pids {
			if isAlive(t, pid) {
				t.Errorf("process %s is left", pid)
			}
		}
	}
}

// A process that doesn't react to anything but SIGKILL is ended, too, with its children.
func TestGroupEndsStubbornProcess(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("interrupted")
	group := Group{Command: []string{"sh", "-c", `trap "" TERM; sleep 60 & echo $$ $! >&2; echo '{"ready":{"connected":1}}'; while :; do wait; done`}}
	var stderr lockedBuffer
	group.Stderr = &stderr
	_, err := group.Run(ctx, []Job{{Clients: 1, Calls: 1}}, func() { cancel(reason) }, nil)
	if !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
	for _, pid := range strings.Fields(stderr.String()) {
		if isAlive(t, pid) {
			t.Errorf("process %s is left", pid)
		}
	}
}

func TestWorkersEndWhenTheirParentIsKilled(t *testing.T) {
	j := Job{Technique: Kept, URL: postgres.URL("", ""), Protocol: Simple, Workload: "x.sql", Script: "SELECT pg_sleep(0.01);", Clients: 4, Duration: time.Minute}
	group := workers("parent")
	command := exec.Command(group.Command[0])
	command.Env = group.Environ
	command.Stdin = strings.NewReader(jobLine(t, j))
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "started\n" {
		t.Fatalf("the parent says %q, %v", line, err)
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The workers hold the parent's standard error open: it ends when they have.
	pids, err := io.ReadAll(stderr)
	if err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	if len(strings.Fields(string(pids))) != 2 {
		t.Errorf("the workers are %q", pids)
	}
	for _, pid := range strings.Fields(string(pids)) {
		if isAlive(t, pid) {
			t.Errorf("process %s is left", pid)
		}
	}
}

// isAlive tells whether a process runs; one that has ended and wasn't waited for by anybody doesn't.
func isAlive(t *testing.T, pid string) bool {
	t.Helper()
	number, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if errors.Is(syscall.Kill(number, 0), syscall.ESRCH) {
		return false
	}
	state, err := exec.Command("ps", "-o", "stat=", "-p", pid).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
}

// lockedBuffer is a buffer that is read while it may be written to.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
