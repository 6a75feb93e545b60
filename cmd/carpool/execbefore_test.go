package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A signal that comes before the command has been started ends carpool at once, with what the shell makes of that signal, and with
// it what carpool has been waiting for.
func TestExecStoppedBeforeTheCommand(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP} {
		started := filepath.Join(t.TempDir(), "started")
		p := start(t, nil, "exec", "--url-command", "echo waiting $$ >&2; sleep 1000", "--", "touch", started)
		pid, err := strconv.Atoi(strings.TrimSpace(p.await("waiting ")))
		if err != nil {
			t.Fatal(err)
		}
		p.signal(sig)
		if status := p.wait(); status != 128+int(sig) {
			t.Errorf("%v: status %d", sig, status)
		}
		eventually(t, "the group of the URL command has ended", func() bool { return syscall.Kill(-pid, 0) == syscall.ESRCH })
		if _, err := os.Stat(started); err == nil {
			t.Errorf("%v: the command was started", sig)
		}
		if said := p.stderr.String(); !strings.HasSuffix(said, "carpool: "+sig.String()+" before the command was started\n") {
			t.Errorf("%v: said %s", sig, said)
		}
	}
}

// One that we were started to ignore doesn't.
func TestExecIgnoresBeforeTheCommand(t *testing.T) {
	go1 := filepath.Join(t.TempDir(), "go")
	script := `trap "" HUP; exec "$0" exec --url-command "$1" -- echo started`
	p := startCommand(t, nil, "/bin/sh", "-c", script, binary, "echo waiting >&2; until test -e "+go1+"; do sleep 0.01; done; echo "+strings.TrimPrefix(nowhere, "DATABASE_URL="))
	p.await("waiting")
	p.signal(syscall.SIGHUP)
	if err := os.WriteFile(go1, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(); status != 0 || p.stdout.String() != "started\n" {
		t.Errorf("status %d: %s", status, p.stdout)
	}
}

// A URL command that hangs, and what it has started, isn't taken for something that the command has left behind: nobody waits for
// it, and nothing of it is there afterwards.
func TestExecLeavesNothingOfTheURLCommand(t *testing.T) {
	once := filepath.Join(t.TempDir(), "once")
	script := `if test -e ` + once + `; then (sleep 1000 & echo orphan $! >&2); echo group $$ >&2; sleep 1000; fi; touch ` + once + `; echo ` + strings.TrimPrefix(nowhere, "DATABASE_URL=")
	p, stdin := startInGroup(t, nil, "exec", "--url-command", script, "--url-interval", "10ms", "--", "cat")
	group, err := strconv.Atoi(strings.TrimSpace(p.await("group ")))
	if err != nil {
		t.Fatal(err)
	}
	if closer, ok := stdin.(interface{ Close() error }); !ok || closer.Close() != nil {
		t.Fatal("stdin can't be closed")
	}
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	if err := syscall.Kill(-group, 0); err != syscall.ESRCH {
		t.Errorf("something of the URL command is left: %v", err)
	}
	if said := p.stderr.String(); strings.Contains(said, "left behind") {
		t.Errorf("said %s", said)
	}
}

func TestExecWarnsOfFewDescriptors(t *testing.T) {
	p := startCommand(t, []string{nowhere}, "/bin/sh", "-c", `ulimit -n 64; exec "$0" exec -- true`, binary)
	if status := p.wait(); status != 0 || !strings.Contains(p.stderr.String(), "level=WARN") || !strings.Contains(p.stderr.String(), "limit on file descriptors") {
		t.Errorf("status %d: %s", status, p.stderr)
	}
}

func TestExecWarnsOfAnOpenDoor(t *testing.T) {
	p := start(t, []string{nowhere}, "exec", "--listen", "0.0.0.0:0", "--", "true")
	if status := p.wait(); status != 0 || !strings.Contains(p.stderr.String(), "level=WARN") || !strings.Contains(p.stderr.String(), "other machines may reach") {
		t.Errorf("status %d: %s", status, p.stderr)
	}
}
