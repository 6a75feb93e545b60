package supervise

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLookUp(t *testing.T) {
	root := t.TempDir()
	put := func(name string, mode os.FileMode) {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	put("first/both", 0o755)
	put("second/both", 0o755)
	put("first/plain", 0o644) // not executable: the next one is taken
	put("second/plain", 0o755)
	put("first/locked", 0o644)
	put("first/directory/x", 0o644)
	put("here", 0o755)
	t.Chdir(root)
	path := "PATH=" + root + "/first:" + root + "/missing:" + root + "/second"

	for _, row := range []struct {
		name    string
		environ []string
		want    string // from root, or as it is if it begins with . or /
		status  int
	}{
		{"both", []string{path}, "first/both", 0},
		{"both", []string{path, "PATH=/bin"}, "first/both", 0}, // getenv takes the first
		{"plain", []string{path}, "second/plain", 0},
		{"locked", []string{path}, "", 126},
		{"directory", []string{path}, "", 126},
		{"absent", []string{path}, "", 127},
		{"here", []string{path}, "", 127},
		{"here", []string{path + ":"}, "./here", 0}, // an empty directory is the current one
		{"here", []string{"PATH="}, "./here", 0},
		{"sh", nil, "/bin/sh", 0}, // without PATH
		{"sh", []string{"XPATH=/nowhere"}, "/bin/sh", 0},
		{"", []string{path}, "", 127},
		{"./absent", []string{path}, "./absent", 0}, // left to the kernel
		{"second/absent", []string{path}, "./second/absent", 0},
	} {
		got, problem := lookUp(row.name, row.environ)
		if row.status != 0 {
			if problem == nil || problem.Status != row.status {
				t.Errorf("%q in %q: %q, %v; want status %d", row.name, row.environ, got, problem, row.status)
			}
			continue
		}
		want := row.want
		switch {
		case strings.HasPrefix(want, "./second"):
			want = "second/absent" // as it was written
		case !strings.HasPrefix(want, ".") && !strings.HasPrefix(want, "/"):
			want = filepath.Join(root, want)
		}
		if problem != nil || got != want {
			t.Errorf("%q in %q: %q, %v; want %q", row.name, row.environ, got, problem, want)
		}
	}
}

func TestStartErrors(t *testing.T) {
	root := t.TempDir()
	put := func(name, content string, mode os.FileMode) string {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.WriteFile(file, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, row := range []struct {
		name   string
		args   []string
		status int
		words  string
	}{
		{"nothing", nil, 127, "no command was given"},
		{"no such command", []string{"no-such-command", "secret"}, 127, "no such command in PATH"},
		{"no such file", []string{root + "/absent", "secret"}, 127, "no such file"},
		{"a file isn't a directory", []string{put("file", "", 0o755) + "/x", "secret"}, 127, "no such file"},
		{"not executable", []string{put("plain", "#!/bin/sh\n", 0o644), "secret"}, 126, "isn't an executable file"},
		{"a directory", []string{root, "secret"}, 126, "isn't an executable file"},
		{"no program", []string{put("garbage", "\x00\x01", 0o755), "secret"}, 126, "neither a program"},
		{"no interpreter", []string{put("script", "#!/no/such/interpreter\n", 0o755), "secret"}, 126, "interpreter"},
	} {
		t.Run(row.name, func(t *testing.T) {
			child, err := Start(Command{Args: row.args, Environ: []string{"PATH=/bin:/usr/bin"}})
			if err == nil {
				child.Stop(0)
				<-child.AllEnded()
				t.Fatal("it started")
			}
			problem, ok := errors.AsType[*StartError](err)
			if !ok {
				t.Fatalf("%T: %v", err, err)
			}
			text := err.Error()
			if problem.Status != row.status || !strings.Contains(text, row.words) || problem.Unwrap() == nil {
				t.Errorf("status %d, %q; want %d and %q", problem.Status, text, row.status, row.words)
			}
			if strings.Contains(text, "secret") || strings.ContainsAny(text, "\n") {
				t.Errorf("%q has an argument or a second line in it", text)
			}
		})
	}
}
