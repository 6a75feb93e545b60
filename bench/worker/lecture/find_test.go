package lecture

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// script writes an executable shell script called python3 into a new directory, which it returns.
func script(t *testing.T, body string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "python3"), []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFindPrefersThePythonWithEverything(t *testing.T) {
	if _, err := Find(t.Context()); err != nil {
		t.Fatal(err) // the machine's own
	}
	broken := script(t, "exit 1")
	noPython := script(t, "echo hello")
	bare := script(t, `echo '{"path": "/bare", "version": "3.9.0"}'`)
	half := script(t, `echo '{"path": "/half", "version": "3.10.1", "psycopg2": "2.9.9"}'`)
	whole := script(t, `echo '{"path": "/whole", "version": "3.12.3", "psycopg2": "2.9.10", "sqlalchemy": "2.0.43"}'`)
	other := script(t, `echo '{"path": "/other", "version": "3.8.0", "psycopg2": "2.8.6", "sqlalchemy": "1.3.24"}'`)
	t.Setenv("PATH", strings.Join([]string{"relative", broken, noPython, bare, half, whole, other, "/bin", "/usr/bin"}, ":"))
	found, err := Find(t.Context())
	if err != nil || found.Path != "/whole" {
		t.Errorf("%+v, %v", found, err)
	}
	want := []string{"Python 3.12.3", "psycopg2 2.9.10", "SQLAlchemy 2.0.43"}
	if got := found.Versions(); !slices.Equal(got, want) {
		t.Errorf("versions %q, want %q", got, want)
	}
	found.SQLAlchemy = ""
	if got := found.Versions(); !slices.Equal(got, want[:2]) {
		t.Errorf("versions without SQLAlchemy: %q", got)
	}
}

func TestCandidatesAreAbsoluteAndOnce(t *testing.T) {
	first, second := script(t, ""), script(t, "")
	empty := t.TempDir()
	got := candidates(strings.Join([]string{".", "", empty, first, second, first}, ":"))
	want := []string{filepath.Join(first, "python3"), filepath.Join(second, "python3")}
	if len(got) < 2 || !slices.Equal(got[:2], want) {
		t.Errorf("%q, want first %q", got, want)
	}
	if len(slices.Compact(slices.Sorted(slices.Values(got)))) != len(got) {
		t.Errorf("one of them twice: %q", got)
	}
}
