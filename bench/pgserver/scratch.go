package pgserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Scratch is a temporary directory that goes with those who use it. A lock on a file in it tells whether they live: it is
// ours, and that of the children to whom we hand it. When all of them were killed the directory stays, until the next
// MakeScratch of the same kind.
type Scratch struct {
	Path string

	lock *os.File
}

const (
	// lockName is the file in a scratch directory that is locked as long as the directory is used.
	lockName = "lock"
	// youth is how long a directory without a finished lock counts as one that is being made.
	youth = time.Minute
)

// MakeScratch makes a directory that the owner can reach, with a name that begins with the kind, such as "carpool-pg-". It is
// made in the parent, or in the system's directory for temporary files if that is empty. Directories of the same kind beside
// it whose users have been killed are removed. The caller removes it with Remove.
func MakeScratch(parent, kind string, owner *Owner) (*Scratch, error) {
	if parent == "" {
		if parent = os.TempDir(); !owner.Reaches(parent) {
			parent = "/tmp" // TMPDIR is a place of root's own; every system has one for all
		}
	}
	sweep(parent, kind, owner)
	dir, err := os.MkdirTemp(parent, kind)
	if err != nil {
		return nil, fmt.Errorf("making a temporary directory: %w", err)
	}
	s := &Scratch{Path: dir}
	if s.lock, err = makeLock(filepath.Join(dir, lockName)); err == nil {
		err = owner.Give(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a temporary directory: %w", err), s.Remove())
	}
	return s, nil
}

// makeLock makes and locks a file. It is empty until it is locked, so that nobody takes the lock for a forgotten one before.
func makeLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err = flock(file, syscall.LOCK_EX); err == nil {
		_, err = file.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Lock is an open file that, among the ExtraFiles of a child, makes the child a user of the directory: it isn't removed while
// the child lives. It belongs to the Scratch.
func (s *Scratch) Lock() *os.File { return s.lock }

// Remove removes the directory with all that is in it, and gives up the lock. Children that use it have ended.
func (s *Scratch) Remove() error {
	err := os.RemoveAll(s.Path)
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	if err != nil {
		return fmt.Errorf("removing a temporary directory: %w", err)
	}
	return nil
}

// sweep removes the scratch directories of a kind that nobody uses. Failing is no reason to do without a new one.
func sweep(parent, kind string, owner *Owner) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if entry.IsDir() && strings.HasPrefix(entry.Name(), kind) {
			sweepOne(filepath.Join(parent, entry.Name()), owner)
		}
	}
}

// sweepOne removes a directory if it is ours, and was one of MakeScratch's, and nobody uses it any more. The lock is taken for
// it, so that of several who try only one goes on.
func sweepOne(dir string, owner *Owner) {
	stat, err := os.Lstat(dir)
	if err != nil || !isOurs(stat, owner) {
		return
	}
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) && time.Since(stat.ModTime()) > youth {
		_ = os.Remove(dir) // unless there is something in it: then it isn't one of MakeScratch's
	}
	if err != nil {
		return
	}
	defer file.Close()
	if flock(file, syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return
	}
	// The lock is looked at only now: before, its maker could have been at work on it.
	lock, err := file.Stat()
	if err != nil || !lock.Mode().IsRegular() || !isOurs(lock, nil) || lock.Size() == 0 && time.Since(lock.ModTime()) <= youth {
		return
	}
	_ = os.RemoveAll(dir)
}

// isOurs tells whether a file belongs to us or to the owner that we give files to.
func isOurs(stat os.FileInfo, owner *Owner) bool {
	system, ok := stat.Sys().(*syscall.Stat_t)
	return ok && (int(system.Uid) == os.Geteuid() || owner != nil && system.Uid == owner.UID)
}

// flock asks the kernel for a lock on a file, again when a signal has come between.
func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
