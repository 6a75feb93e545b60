package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Owner is the system user that a private Postgres runs as. nil means the user that we are.
type Owner struct {
	Name string
	UID  uint32
	GID  uint32
}

// Unprivileged is nil when we aren't root; for root it is the user "postgres", or "nobody" where there is no such user.
// Programs that refuse to run as root (Postgres, PgBouncer) are started as that user.
func Unprivileged() (*Owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseInt(account.Uid, 10, 64)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.ParseInt(account.Gid, 10, 64)
		if err != nil {
			continue
		}
		// macOS gives nobody the id -2: the conversion to the kernel's unsigned type is meant.
		return &Owner{Name: name, UID: uint32(uid), GID: uint32(gid)}, nil
	}
	return nil, errors.New("postgres refuses to run as root, and there is neither a user postgres nor a user nobody to run it as")
}

// Give makes the owner the owner of a file or directory. A nil owner leaves it as it is.
func (o *Owner) Give(path string) error {
	if o == nil {
		return nil
	}
	if err := os.Chown(path, int(o.UID), int(o.GID)); err != nil {
		return fmt.Errorf("giving %s to user %s: %w", path, o.Name, err)
	}
	return nil
}

// Reaches tells whether the owner may pass through a directory and all above it, as far as modes for everybody say so. A nil
// owner reaches everything.
func (o *Owner) Reaches(dir string) bool {
	if o == nil {
		return true
	}
	for {
		stat, err := os.Stat(dir)
		if err != nil || stat.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// ProcAttr is how a child process is started: as the owner, in a process group of its own so that a Ctrl-C in our terminal
// isn't also the child's, and (on Linux) told to stop with orphaned when the thread that started it ends.
func (o *Owner) ProcAttr(orphaned syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if o != nil {
		attr.Credential = &syscall.Credential{Uid: o.UID, Gid: o.GID}
	}
	signalWhenOrphaned(attr, orphaned)
	return attr
}
