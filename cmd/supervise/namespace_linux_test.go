package supervise

import (
	"os"
	"syscall"
	"testing"
)

// inContainer starts a supervisor as process 1 of a process namespace of its
// own, as a container does.
func inContainer(t *testing.T, args ...string) *running {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{}
	r.Cmd = shell(`mount --make-rprivate / && mount -t proc proc /proc && exec "$@"`, append([]string{self, "supervisor"}, args...)...)
	r.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS
	if os.Geteuid() != 0 {
		r.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		r.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		r.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	r.start(t)
	return r
}

func TestProcessOneForwardsEverything(t *testing.T) {
	t.Parallel()
	r := inContainer(t, counter()...)
	if command := r.number(t, "ready"); command == r.Process.Pid {
		t.Fatal("not in a namespace")
	}
	for range 3 { // docker stop by an impatient user
		r.kill(t, syscall.SIGTERM)
		r.expect(t, "got terminated")
	}
	r.kill(t, syscall.SIGINT)
	r.expect(t, "got interrupt")
	r.fence(t)
	r.finish(t)
}

func TestProcessOneEndsWithItsCommand(t *testing.T) {
	t.Parallel()
	r := inContainer(t, "--", "/bin/sh", "-c", "echo up; exec sleep 1000")
	r.expect(t, "up")
	r.kill(t, syscall.SIGTERM)
	if got := r.status(t); got != 128+15 {
		t.Errorf("status %d", got)
	}
}

func TestProcessOneReapsAllZombies(t *testing.T) {
	t.Parallel()
	const script = `i=0; while [ $i -lt 50 ]; do (true & setsid true & (true &) ); i=$((i+1)); done
while grep -l '^State:	Z' /proc/[0-9]*/status 2>/dev/null; do sleep 0.02; done >/dev/null
echo no zombies; exit 8`
	r := inContainer(t, "--", "/bin/sh", "-c", script)
	r.expect(t, "no zombies")
	if got := r.status(t); got != 8 {
		t.Errorf("status %d", got)
	}
}
