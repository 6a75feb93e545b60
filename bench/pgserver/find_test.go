package pgserver

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestVersionIn(t *testing.T) {
	paths := []string{
		"/usr/lib/postgresql/9.6/bin", "/usr/lib/postgresql/17/bin", "/opt/homebrew/opt/postgresql/bin",
		"/usr/lib/postgresql/10/bin", "/usr/local/opt/postgresql@15/bin",
	}
	var got []float64
	for _, path := range paths {
		got = append(got, versionIn(path))
	}
	if want := []float64{9.6, 17, 0, 10, 15}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFindLooksBeyondPath(t *testing.T) {
	t.Setenv("PATH", "/nowhere")
	binaries, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	if !isProgram(binaries.Path("postgres")) {
		t.Errorf("no postgres in %s", binaries.Dir)
	}
}

func TestFindFollowsLinks(t *testing.T) {
	t.Setenv("PATH", "/nowhere")
	binaries, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, program := range []string{"initdb", "postgres"} {
		if err := os.Symlink(binaries.Path(program), filepath.Join(dir, program)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	if got, err := Find(); err != nil || got != binaries {
		t.Errorf("got %v, %v; want %v", got, err, binaries)
	}
}
