package procfile

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds everything that a test waits for.
const patience = 30 * time.Second

func TestParse(t *testing.T) {
	for _, row := range []struct {
		text string
		want []Line
		err  string // part of it
	}{
		{"", nil, ""},
		{"web: run\n", []Line{{"web", "run"}}, ""},
		{"# a note\r\n\r\nweb:run --port $PORT\r\nbig_worker-2:  a: b\r\n", []Line{{"web", "run --port $PORT"}, {"big_worker-2", "a: b"}}, ""},
		{"web: run", []Line{{"web", "run"}}, ""},
		{"web: a\nweb: b\n", nil, `line 2 of the Procfile is a second "web"`},
		{"\nweb\n", nil, "line 2"},
		{"web: \n", nil, "line 1"},
		{"two words: run\n", nil, "line 1"},
		{": run\n", nil, "line 1"},
		{"web: " + strings.Repeat("x", mostLineBytes), nil, "too long"},
	} {
		got, err := Parse(strings.NewReader(row.text))
		if !slices.Equal(got, row.want) || row.err == "" && err != nil || row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)) {
			t.Errorf("%.40q: got %v, %v", row.text, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("web: run\nworker: run two\n")
	f.Add("# x\n\nrelease : y\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		// What is understood is understood in the same way when it is written again.
		var again strings.Builder
		for _, line := range lines {
			again.WriteString(line.Name + ": " + line.Command + "\n")
		}
		if got, err := Parse(strings.NewReader(again.String())); err != nil || !slices.Equal(got, lines) {
			t.Errorf("%q: got %v, then %v, %v", text, lines, got, err)
		}
	})
}

func TestFind(t *testing.T) {
	lines := []Line{{"web", "a"}, {"worker", "b"}}
	if command, ok := Find(lines, "worker"); command != "b" || !ok {
		t.Errorf("got %q, %v", command, ok)
	}
	if _, ok := Find(lines, "release"); ok {
		t.Error("found what isn't there")
	}
}

// dyno starts a command line in a directory and returns it with what it writes, which may be read when all have ended.
func dyno(t *testing.T, dir, command string) (*Dyno, *bytes.Buffer) {
	t.Helper()
	var output bytes.Buffer
	d, err := Start(command, Place{Dir: dir, Environ: []string{"PATH=/usr/bin:/bin", "GREETING=hello"}, Output: &output})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Broadcast(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		await(t, d.AllEnded())
	})
	return d, &output
}

func await(t *testing.T, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatal("it didn't end")
	}
}

func TestStatus(t *testing.T) {
	for _, row := range []struct {
		command string
		want    int
	}{
		{"true", 0}, {"exit 7", 7}, {"kill -SEGV $$", 139}, {"no-such-command", 127},
	} {
		d, _ := dyno(t, t.TempDir(), row.command)
		await(t, d.AllEnded())
		if got := d.Status(); got != row.want {
			t.Errorf("%s: status %d, want %d", row.command, got, row.want)
		}
	}
}

func TestSurroundings(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".profile.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".profile.d", "a.sh"), []byte("export FROM_PROFILE=\"$HOME/x\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d, output := dyno(t, dir, `echo "$GREETING $FROM_PROFILE $PWD $USER"; echo problem >&2`)
	await(t, d.AllEnded())
	if got, want := output.String(), "hello "+dir+"/x "+dir+" \nproblem\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A signal reaches the children too, and those that outlive the first process are waited for.
func TestBroadcast(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	// The child ends at the signal only when it has written what the test waits for.
	d, err := Start(`bash -c 'trap "exit 0" TERM; echo ready; while :; do sleep 0.05; done' & wait; exit 3`, Place{
		Dir: t.TempDir(), Environ: []string{"PATH=/usr/bin:/bin"}, Output: write,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	if d.Status() != -1 {
		t.Error("a dyno that runs has a status")
	}
	for range 3 {
		if err := d.Broadcast(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	await(t, d.AllEnded())
	if got := d.Status(); got != 128+int(syscall.SIGTERM) {
		t.Errorf("status %d", got)
	}
	if err := d.Broadcast(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to a dyno that has ended: %v", err)
	}
}
