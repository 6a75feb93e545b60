package pgserver

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrNotFound is returned by Find when the machine has no Postgres server binaries. Its text says how to install them.
var ErrNotFound = errors.New("no Postgres server binaries (initdb, postgres) found in PATH, pg_config --bindir or the usual places; install them with " +
	"`apt-get install postgresql`, `dnf install postgresql-server`, `apk add postgresql` or `brew install postgresql`")

// Binaries is a directory that holds the programs of one Postgres version. The zero value is no directory.
type Binaries struct {
	Dir string // absolute
}

// Path is the absolute name of one program, such as "pgbench". The program need not exist: only initdb and postgres are
// known to.
func (b Binaries) Path(program string) string { return filepath.Join(b.Dir, program) }

// usualPlaces are the directories in which packages put server binaries that aren't in PATH. Of those that match one
// pattern the newest version is tried first.
var usualPlaces = [...]string{
	"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
	"/usr/pgsql-*/bin",                  // Red Hat, Fedora: the PostgreSQL project's own packages
	"/usr/libexec/postgresql*",          // Alpine
	"/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
	"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/usr/local/pgsql/bin", // built from source
}

// Find looks for a directory with both initdb and postgres: the directories of PATH, what pg_config says, then the usual
// places of the packages, newest version first. It blocks for as long as pg_config runs, at most a few seconds.
func Find() (Binaries, error) {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	dirs = append(dirs, pgConfigDir())
	for _, pattern := range usualPlaces {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			continue // only for a malformed pattern, and these are constants
		}
		slices.SortFunc(matches, func(a, b string) int { return cmp.Compare(versionIn(b), versionIn(a)) })
		dirs = append(dirs, matches...)
	}
	for _, dir := range dirs {
		if filepath.IsAbs(dir) && isProgram(filepath.Join(dir, "initdb")) && isProgram(filepath.Join(dir, "postgres")) {
			return Binaries{Dir: beside(dir)}, nil
		}
	}
	return Binaries{}, ErrNotFound
}

// beside is the directory that the links in dir point to, so that the programs which have no link are found as well; dir
// itself when there are no links, or when they point to different places.
func beside(dir string) string {
	real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil || !isProgram(filepath.Join(filepath.Dir(real), "initdb")) {
		return dir
	}
	return filepath.Dir(real)
}

// pgConfigDir is what pg_config --bindir prints, "" without a working pg_config.
func pgConfigDir() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// versionIn is the first number in a path, the version in every one of usualPlaces: 9.6 in /usr/pgsql-9.6/bin. A path
// without a number has version 0 ("/opt/homebrew/opt/postgresql/bin").
func versionIn(path string) float64 {
	start := strings.IndexAny(path, "0123456789")
	if start < 0 {
		return 0
	}
	end := start
	for end < len(path) && (path[end] == '.' || path[end] >= '0' && path[end] <= '9') {
		end++
	}
	version, err := strconv.ParseFloat(path[start:end], 64)
	if err != nil {
		return 0
	}
	return version
}

func isProgram(path string) bool {
	stat, err := os.Stat(path)
	return err == nil && stat.Mode().IsRegular() && stat.Mode().Perm()&0o111 != 0
}
