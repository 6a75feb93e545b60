package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// rootDirectory is what a container sees: where we are root, and may change the root directory, nothing else.
type rootDirectory struct {
	dir    string
	strict bool
}

func newRootDirectory(t *testing.T, program string) *rootDirectory {
	t.Helper()
	// Not the test's own directory: its parents are closed to other users.
	dir, err := os.MkdirTemp("", "carpool-image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := copyFile(program, filepath.Join(dir, "carpool")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return &rootDirectory{dir: dir, strict: os.Geteuid() == 0}
}

// command is an exec-form command of the image, with the environment of the image and nothing else.
func (r *rootDirectory) command(words, environ []string) *exec.Cmd {
	cmd := &exec.Cmd{Path: words[0], Args: words, Env: environ, Dir: "/"}
	if !r.strict {
		cmd.Path = filepath.Join(r.dir, words[0])
		return cmd
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.dir, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	return cmd
}
