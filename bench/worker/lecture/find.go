package lecture

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed lecture.py
var program []byte

// probe is what a candidate is asked: where it is, and the versions of what it has.
const probe = `
import json, sys
found = {"path": sys.executable, "version": "%d.%d.%d" % sys.version_info[:3]}
try:
    import psycopg2
    found["psycopg2"] = psycopg2.__version__.split()[0]
except ImportError:
    pass
try:
    import sqlalchemy
    found["sqlalchemy"] = sqlalchemy.__version__
except ImportError:
    pass
print(json.dumps(found))
`

// probePatience is how long a candidate may take to answer.
const probePatience = 10 * time.Second

// Python is an interpreter and what it has. Versions are numbers as in "2.9.5"; that of what it hasn't is empty.
type Python struct {
	Path       string `json:"path"`
	Version    string `json:"version"`
	Psycopg2   string `json:"psycopg2"`
	SQLAlchemy string `json:"sqlalchemy"`
}

// Versions are names with versions, such as "psycopg2 2.9.5".
func (p Python) Versions() []string {
	versions := []string{"Python " + p.Version, "psycopg2 " + p.Psycopg2}
	if p.SQLAlchemy != "" {
		versions = append(versions, "SQLAlchemy "+p.SQLAlchemy)
	}
	return versions
}

// Find looks for a python3 with psycopg2: in PATH, and where systems and packagers put one. One that has SQLAlchemy too is
// preferred. It blocks while the candidates start, normally less than a second. The error is a sentence that says what to
// install.
func Find(ctx context.Context) (Python, error) {
	var found Python
	tried := candidates(os.Getenv("PATH"))
	for _, path := range tried {
		python, err := ask(ctx, path)
		if ctx.Err() != nil {
			return Python{}, context.Cause(ctx)
		}
		if err != nil || python.Psycopg2 == "" {
			continue // what is no Python, or broken, is as good as absent
		}
		if python.SQLAlchemy != "" {
			return python, nil
		}
		if found.Path == "" {
			found = python
		}
	}
	if found.Path != "" {
		return found, nil
	}
	const remedy = "install Debian's python3-psycopg2 and python3-sqlalchemy, or with pip psycopg2-binary and sqlalchemy"
	if len(tried) == 0 {
		return Python{}, errors.New("there is no python3 on this machine: " + remedy)
	}
	return Python{}, fmt.Errorf("no python3 here has psycopg2 (tried: %s): %s", strings.Join(tried, ", "), remedy)
}

// candidates are the executable files called python3 in the absolute directories of a PATH, then in those that a PATH may lack
// or hide behind a version manager. A link isn't followed: where it lies decides which modules a virtual environment has.
func candidates(path string) []string {
	var found []string
	for _, dir := range append(filepath.SplitList(path), "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin") {
		if !filepath.IsAbs(dir) {
			continue
		}
		file, err := exec.LookPath(filepath.Join(dir, "python3"))
		if err == nil && !slices.Contains(found, file) {
			found = append(found, file)
		}
	}
	return found
}

// ask starts one candidate.
func ask(ctx context.Context, path string) (Python, error) {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	command := exec.CommandContext(ctx, path, "-c", probe)
	command.WaitDelay = time.Second // for what a version manager's wrapper leaves running
	out, err := command.Output()
	if err != nil {
		return Python{}, fmt.Errorf("asking %s what it has: %w", path, err)
	}
	var python Python
	if err := json.Unmarshal(out, &python); err != nil {
		return Python{}, fmt.Errorf("asking %s what it has: %w", path, err)
	}
	if !filepath.IsAbs(python.Path) { // an interpreter may not know where it is
		python.Path = path
	}
	return python, nil
}

// Command writes the program into dir, which is the caller's and exists, and returns the command line that runs it: no
// argument is secret.
func (p Python) Command(dir string) ([]string, error) {
	file := filepath.Join(dir, "lecture.py")
	if err := os.WriteFile(file, program, 0o600); err != nil {
		return nil, fmt.Errorf("writing the Python program: %w", err)
	}
	return []string{p.Path, "-B", file}, nil
}
