package deploy_test

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"carpool/deploy/procfile"
)

// instruction is a line of a Dockerfile, its continuations joined.
type instruction struct{ word, arguments string }

// stages are the instructions of a Dockerfile, from FROM to FROM.
func stages(t *testing.T, name string) [][]instruction {
	t.Helper()
	var all [][]instruction
	text := strings.ReplaceAll(mustRead(t, name), "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, arguments, _ := strings.Cut(line, " ")
		if word == "FROM" {
			all = append(all, nil)
		}
		if len(all) == 0 {
			if word != "ARG" {
				t.Fatalf("%s: %s before FROM", name, word)
			}
			continue
		}
		last := &all[len(all)-1]
		*last = append(*last, instruction{word, strings.TrimSpace(arguments)})
	}
	return all
}

// only returns the arguments of the one instruction with a word.
func only(t *testing.T, stage []instruction, word string) string {
	t.Helper()
	var found []string
	for _, i := range stage {
		if i.word == word {
			found = append(found, i.arguments)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d instructions %s, want one", len(found), word)
	}
	return found[0]
}

// execForm reads the JSON form of ENTRYPOINT and CMD, the one without a shell around the program.
func execForm(t *testing.T, arguments string) []string {
	t.Helper()
	var words []string
	if err := json.Unmarshal([]byte(arguments), &words); err != nil || len(words) == 0 {
		t.Fatalf("%s isn't the exec form: %v", arguments, err)
	}
	return words
}

// ignored tells whether a file stays out of the build context: as in Docker the last pattern that fits it, or a directory
// above it, decides.
func ignored(patterns []string, name string) bool {
	out := false
	for _, pattern := range patterns {
		keep := strings.HasPrefix(pattern, "!")
		if fitsPath(strings.TrimPrefix(pattern, "!"), name) {
			out = !keep
		}
	}
	return out
}

// fitsPath is a pattern's match with a file or a directory above it. A pattern that begins with **/ fits at any depth.
func fitsPath(pattern, name string) bool {
	parts := strings.Split(name, "/")
	anywhere, deep := strings.CutPrefix(pattern, "**/")
	for end := range parts {
		candidate := strings.Join(parts[:end+1], "/")
		if deep {
			candidate = parts[end]
		}
		if ok, _ := filepath.Match(anywhere, candidate); ok {
			return true
		}
	}
	return false
}

// buildContext copies what Docker would be given.
func buildContext(t *testing.T) string {
	t.Helper()
	var patterns []string
	for line := range strings.Lines(mustRead(t, "docker/Dockerfile.dockerignore")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, line)
		}
	}
	dir := t.TempDir()
	err := filepath.WalkDir("..", func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel("..", name)
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && relative != ".":
			return filepath.SkipDir
		case !entry.Type().IsRegular() || ignored(patterns, filepath.ToSlash(relative)):
			return nil
		}
		to := filepath.Join(dir, relative)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return copyFile(name, to)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestIgnored(t *testing.T) {
	patterns := []string{"*", "!go.mod", "!cmd", "**/*_test.go", "**/testdata"}
	for _, row := range []struct {
		name string
		want bool
	}{
		{"go.mod", false},
		{"README.md", true},
		{"cmd/carpool/main.go", false},
		{"cmd/carpool/main_test.go", true},
		{"deploy/docker/go.mod", true},
		{"cmd/testdata/x/y.go", true},
		{"main_test.go", true},
	} {
		if got := ignored(patterns, row.name); got != row.want {
			t.Errorf("%s: got %v", row.name, got)
		}
	}
}

// imageBinary runs the steps of the first stage and returns what the second one copies.
func imageBinary(t *testing.T, build []instruction) string {
	t.Helper()
	context := buildContext(t)
	for _, name := range []string{".git", "deploy", "docs", "carpool", "cmd/carpool/main_test.go"} {
		if _, err := os.Stat(filepath.Join(context, name)); err == nil {
			t.Errorf("the build context has %s in it", name)
		}
	}
	program := filepath.Join(t.TempDir(), "carpool")
	var ran []string
	for _, i := range build {
		switch {
		case i.word != "RUN":
		case i.arguments == "go mod download": // the network's part
			ran = append(ran, "download")
		default:
			cmd := exec.Command("/bin/sh", "-c", strings.ReplaceAll(i.arguments, " /carpool ", " "+program+" "))
			cmd.Dir, cmd.Env = context, append(os.Environ(), "COMMIT=0123abc")
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("RUN %s: %v\n%s", i.arguments, err, output)
			}
			ran = append(ran, "build")
		}
	}
	if !slices.Equal(ran, []string{"download", "build"}) {
		t.Errorf("the steps are %q", ran)
	}
	return program
}

func TestDockerfile(t *testing.T) {
	all := stages(t, "docker/Dockerfile")
	if len(all) != 2 || !strings.HasPrefix(all[0][0].arguments, "golang:") || all[1][0].arguments != "scratch" {
		t.Fatalf("the stages are %v", all)
	}
	final := all[1]
	program := imageBinary(t, all[0])
	requireStatic(t, program)
	if !strings.Contains(mustRead(t, program), "0123abc") {
		t.Error("the program doesn't know its commit")
	}
	if got := only(t, final, "USER"); got != "65532:65532" {
		t.Errorf("the user is %q, which must be a number other than 0", got)
	}
	var copies []string
	for _, i := range final {
		if i.word == "COPY" {
			copies = append(copies, i.arguments)
		}
	}
	if want := []string{
		"--from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt", "--from=build /carpool /carpool",
	}; !slices.Equal(copies, want) {
		t.Errorf("the image has %q", copies)
	}
	tryImage(t, final, program)
}

// requireStatic fails unless a program runs without any file beside it.
func requireStatic(t *testing.T, program string) {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			t.Error("the program has an interpreter: it isn't static")
		}
	}
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("the program needs %v, %v", libraries, err)
	}
}

// dockerGrace is how long a container may take to end, if nobody says otherwise.
const dockerGrace = 10 * time.Second

// shutdownTimeout is how long a carpool takes to end at most, with this environment and these arguments.
func shutdownTimeout(t *testing.T, environ []string, args ...string) time.Duration {
	t.Helper()
	status, output := run(t, environ, binary, append([]string{"check"}, args...)...)
	_, rest, found := strings.Cut(output, "\nshutdown_timeout = ")
	value, _, _ := strings.Cut(rest, "\n")
	seconds, err := strconv.ParseFloat(value, 64)
	if status != 0 || !found || err != nil {
		t.Fatalf("carpool check: status %d, shutdown_timeout %q\n%s", status, value, output)
	}
	return time.Duration(seconds * float64(time.Second))
}

// imageEnviron is the environment that the image sets.
func imageEnviron(t *testing.T) []string {
	t.Helper()
	all := stages(t, "docker/Dockerfile")
	return strings.Fields(only(t, all[len(all)-1], "ENV"))
}

// tryImage starts what the image would start, as its user and with nothing but its files where we may do that.
func tryImage(t *testing.T, final []instruction, program string) {
	t.Helper()
	root := newRootDirectory(t, program)
	metrics, port := freePort(t), freePort(t)
	environ := append(strings.Fields(only(t, final, "ENV")), "DATABASE_URL="+database(t, "image"),
		"CARPOOL_METRICS_LISTEN=:"+metrics, "CARPOOL_LISTEN_PORT="+port)
	if ports := only(t, final, "EXPOSE"); ports != "6432 9187" {
		t.Errorf("it exposes %s", ports)
	}
	output := &transcript{grown: make(chan struct{})}
	cmd := root.command(append(execForm(t, only(t, final, "ENTRYPOINT")), execForm(t, only(t, final, "CMD"))...), environ)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the status is in ProcessState
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended already
		<-ended
		if text, _ := output.read(); t.Failed() {
			t.Logf("it wrote:\n%s", text)
		}
	})
	interval, probe, found := strings.Cut(only(t, final, "HEALTHCHECK"), " CMD ")
	if !found || !strings.Contains(interval, "--interval=") {
		t.Fatalf("the health check is %q", interval)
	}
	check := func() error { return root.command(execForm(t, probe), environ).Run() }
	eventually(t, "the health check is content", func() bool { return check() == nil })
	if got := userThrough(t, local(port), "image"); got != role {
		t.Errorf("through the container's carpool we are %q", got)
	}
	// Some runtimes of Kubernetes send what the image says in place of SIGTERM, which alone waits for clients.
	if slices.ContainsFunc(final, func(i instruction) bool { return i.word == "STOPSIGNAL" }) {
		t.Error("it isn't stopped by SIGTERM")
	}
	if limit := shutdownTimeout(t, environ); limit <= 0 || limit >= dockerGrace {
		t.Errorf("it may take %s to end", limit)
	}
	// A client that never leaves by itself keeps nobody waiting for longer than that.
	conn, err := net.Dial("tcp", local(port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(dockerGrace):
		t.Fatal("it would have been killed")
	}
	if status := cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("stopped, it ends with status %d", status)
	}
	if check() == nil {
		t.Error("the health check is content with nobody there")
	}
	noConnections(t)
}

// The app's own image starts gunicorn behind carpool, exactly as the Procfile and heroku.yml do.
func TestAppsDockerfile(t *testing.T) {
	all := stages(t, "examples/flask-books/Dockerfile")
	words := execForm(t, only(t, all[len(all)-1], "CMD"))
	lines, err := procfile.Parse(bytes.NewReader([]byte(mustRead(t, "examples/flask-books/Procfile"))))
	if err != nil {
		t.Fatal(err)
	}
	if web, _ := procfile.Find(lines, "web"); strings.Join(words, " ") != web {
		t.Errorf("the image starts %q, the Procfile %q", words, web)
	}
}
