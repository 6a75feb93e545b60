package pgserver

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	testKind = "carpool-scratch-"
	// scratchEnv has the test binary make a scratch directory in the place that it names, and wait to be killed.
	scratchEnv = "CARPOOL_SCRATCH_TEST"
)

// TestScratchVictim is the process that is killed in other tests. By itself it does nothing.
func TestScratchVictim(t *testing.T) {
	parent := os.Getenv(scratchEnv)
	if parent == "" {
		return
	}
	s, err := MakeScratch(parent, testKind, nil)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sh", "-c", "echo $$; exec cat") // ends when its standard input, which is ours, does
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stderr, os.Stderr
	child.ExtraFiles = []*os.File{s.Lock()}
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
}

func scratches(t *testing.T, parent string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(parent, testKind+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func makeScratch(t *testing.T, parent string) *Scratch {
	t.Helper()
	s, err := MakeScratch(parent, testKind, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Remove() })
	return s
}

func TestScratchOfTheKilledIsRemovedByTheNext(t *testing.T) {
	parent := t.TempDir()
	victim := exec.Command(os.Args[0], "-test.run=^TestScratchVictim$")
	victim.Env = append(os.Environ(), scratchEnv+"="+parent)
	in, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	victim.Stdin = in
	said, err := victim.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(said)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	left := scratches(t, parent)
	if len(left) != 1 {
		t.Fatalf("the victim has %q", left)
	}
	present := func(when string, want bool) {
		t.Helper()
		if err := makeScratch(t, parent).Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(left[0]); (err == nil) != want {
			t.Errorf("%s: %v", when, err)
		}
	}
	present("while it lives", true)
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := victim.Process.Wait(); err != nil {
		t.Fatal(err)
	}
	present("while its child lives", true)
	if err := theirs.Close(); err != nil { // the child's standard input ends
		t.Fatal(err)
	}
	if _, err := lines.ReadString('\n'); err == nil { // and with the child this
		t.Fatal("the child says something")
	}
	deadline := time.Now().Add(10 * time.Second)
	for len(scratches(t, parent)) > 0 { // its descriptors are closed one after another
		if time.Now().After(deadline) {
			t.Fatal("the directory is still there")
		}
		if err := makeScratch(t, parent).Remove(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestScratchLeavesOthersAlone(t *testing.T) {
	parent := t.TempDir()
	old := time.Now().Add(-time.Hour)
	write := func(name, text string, at time.Time) {
		t.Helper()
		path := filepath.Join(parent, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{path, filepath.Dir(path)} {
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept := []string{"other-1/lock", testKind + "file", testKind + "foreign/data", testKind + "young/lock", testKind + "linked/keep"}
	write(kept[0], "1\n", old)
	write(kept[1], "", old)
	write(kept[2], "", old)        // without a lock, and not empty
	write(kept[3], "", time.Now()) // being made
	write(kept[4], "", old)
	if err := os.Symlink(filepath.Join(parent, "other-1", "lock"), filepath.Join(parent, testKind+"linked", "lock")); err != nil {
		t.Fatal(err)
	}
	gone := []string{testKind + "old/lock", testKind + "unlocked/lock", testKind + "empty"}
	write(gone[0], "", old) // killed before it was locked
	write(gone[1], "1\n", time.Now())
	for name, at := range map[string]time.Time{gone[2]: old, testKind + "new": time.Now()} {
		path := filepath.Join(parent, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	makeScratch(t, parent)
	for _, name := range append(kept, testKind+"new") {
		if _, err := os.Stat(filepath.Join(parent, name)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range gone {
		if _, err := os.Stat(filepath.Join(parent, name)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}

// TestScratchesMadeTogether: nobody removes what another is making.
func TestScratchesMadeTogether(t *testing.T) {
	parent := t.TempDir()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				s, err := MakeScratch(parent, testKind, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if stat, err := os.Stat(filepath.Join(s.Path, lockName)); err != nil || stat.Size() == 0 {
					t.Errorf("its lock: %v, %v", stat, err)
				}
				if err := s.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if left := scratches(t, parent); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestLockIsOursUntilRemove(t *testing.T) {
	s := makeScratch(t, t.TempDir())
	file, err := os.Open(filepath.Join(s.Path, lockName))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := flock(file, syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		t.Error("somebody else got the lock")
	}
	for range 2 {
		if err := s.Remove(); err != nil {
			t.Error(err)
		}
	}
	if err := flock(file, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Error(err)
	}
}
