package deploy_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/BurntSushi/toml"
)

// buildpack is a copy of the buildpack, as it is when the platform has unpacked it.
func buildpack(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "build pack")
	copyTree(t, filepath.Join("heroku", "buildpack"), dir)
	return dir
}

// variables makes the directory in which the platform hands over config variables, one file each.
func variables(t *testing.T, values map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, value := range values {
		mustWrite(t, filepath.Join(dir, name), value)
	}
	return dir
}

// builderEnviron is all that the programs of a buildpack find in their environment.
var builderEnviron = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "STACK=heroku-24"}

// config are the config variables of an app that takes its binary from the builder's machine.
func config() map[string]string { return map[string]string{"CARPOOL_BINARY": "file://" + binary} }

// environOf are config variables as a dyno has them: the platform gives it all those that the build has got.
func environOf(config map[string]string) []string {
	var environ []string
	for name, value := range config {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// slug is an app's directory after a build with the classic buildpack, which put carpool into it, for the config variables
// that config returns.
func slug(t *testing.T, app string) string {
	t.Helper()
	return slugWith(t, app, config())
}

func slugWith(t *testing.T, app string, config map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "app")
	copyTree(t, filepath.Join("examples", app), dir)
	bp := buildpack(t)
	if status, output := run(t, builderEnviron, filepath.Join(bp, "bin", "detect"), dir); status != 0 || output != "carpool\n" {
		t.Fatalf("bin/detect: status %d, %q", status, output)
	}
	if status, output := run(t, builderEnviron, filepath.Join(bp, "bin", "compile"), dir, t.TempDir(), variables(t, config)); status != 0 {
		t.Fatalf("bin/compile: status %d\n%s", status, output)
	}
	if status, output := run(t, builderEnviron, filepath.Join(bp, "bin", "release"), dir); status != 0 || output != "--- {}\n" {
		t.Fatalf("bin/release: status %d, %q", status, output)
	}
	return dir
}

func TestClassicBuildpack(t *testing.T) {
	dir := slug(t, "flask-books")
	d := start(t, dir, "run", "type -p carpool && carpool --version", environOf(config())...)
	if status := d.allEnded(patience); status != 0 {
		t.Errorf("status %d", status)
	}
	if written, _ := d.output.read(); !strings.HasPrefix(written, filepath.Join(dir, "vendor/carpool/bin/carpool")+"\n") {
		t.Errorf("a dyno finds %q", written)
	}
}

// An app that comes from the PgBouncer buildpack still starts with its old Procfile.
func TestOldStartCommand(t *testing.T) {
	dir := slug(t, "flask-books")
	for _, name := range []string{"start-pgbouncer", "start-pgbouncer-stunnel", "use-pgbouncer"} {
		environ := append(environOf(config()), "DATABASE_URL=postgres://u:p@127.0.0.1/d")
		d := start(t, dir, "run", "bin/"+name+` bash -c 'echo "child of $PPID"; exit 7'`, environ...)
		d.await("child of ", 1)
		if status := d.allEnded(patience); status != 7 {
			t.Errorf("bin/%s: status %d", name, status)
		}
	}
}

// What the build is told by config variables is in the environment of all dynos too, and of all commands.
func TestConfigVariablesOfTheBuildInDynos(t *testing.T) {
	url, sum := release(t, ".tar.gz")
	for name, config := range map[string]map[string]string{
		"a download": {"CARPOOL_DOWNLOAD_URL": url, "CARPOOL_DOWNLOAD_SHA256": sum},
		"a file":     config(),
		"an image":   {"CARPOOL_BINARY": binary, "CARPOOL_IMAGE": "registry.example.com/carpool:0.1.0"},
	} {
		dir := slugWith(t, "flask-books", config)
		environ := append(environOf(config), "DATABASE_URL=postgres://u:p@127.0.0.1/d")
		for command, want := range map[string]int{"carpool exec -- sh -c 'exit 7'": 7, "carpool check": 0} {
			if status := start(t, dir, "run", command, environ...).allEnded(patience); status != want {
				t.Errorf("%s: %s ends with status %d", name, command, status)
			}
		}
		d := start(t, dir, "web", "carpool serve --listen env:PORT", append(environ, "PORT="+freePort(t))...)
		d.await("listening on ", 1)
		d.broadcast(syscall.SIGTERM)
		if status := d.allEnded(patience); status != 0 {
			t.Errorf("%s: serve ends with status %d", name, status)
		}
	}
}

// A binary of the app itself is named from where the app is.
func TestBinaryOfTheApp(t *testing.T) {
	dir := t.TempDir()
	if err := copyFile(binary, filepath.Join(dir, "tool")); err != nil {
		t.Fatal(err)
	}
	env := variables(t, map[string]string{"CARPOOL_BINARY": "tool"})
	if status, output := run(t, builderEnviron, filepath.Join(buildpack(t), "bin", "compile"), dir, t.TempDir(), env); status != 0 {
		t.Errorf("status %d\n%s", status, output)
	}
}

// An app may have a file where others have a directory.
func TestCompileWithAFileCalledBin(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "bin"), "mine")
	env := variables(t, map[string]string{"CARPOOL_BINARY": binary})
	status, output := run(t, builderEnviron, filepath.Join(buildpack(t), "bin", "compile"), dir, t.TempDir(), env)
	if status != 0 || !strings.Contains(output, "no bin/start-pgbouncer") || mustRead(t, filepath.Join(dir, "bin")) != "mine" {
		t.Errorf("status %d\n%s", status, output)
	}
}

func TestWithoutArguments(t *testing.T) {
	for _, program := range []string{"compile", "build"} {
		status, output := run(t, builderEnviron, filepath.Join(buildpack(t), "bin", program))
		if status != 1 || !strings.HasPrefix(output, " !     carpool: usage: bin/"+program+" ") {
			t.Errorf("bin/%s: status %d, %q", program, status, output)
		}
	}
}

// What make dist makes, the buildpack takes, with the sum that it prints.
func TestDist(t *testing.T) {
	dist := t.TempDir()
	command := exec.Command("make", "--no-print-directory", "dist", "DIST="+dist, "PLATFORMS=linux/"+runtime.GOARCH)
	command.Dir = ".."
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	sum, name, _ := strings.Cut(strings.TrimSpace(mustRead(t, filepath.Join(dist, "SHA256SUMS"))), "  ")
	if name != "carpool-linux-"+runtime.GOARCH+".tar.gz" || !strings.Contains(string(output), sum) {
		t.Errorf("it makes %s, and says %s", name, output)
	}
	slugWith(t, "flask-books", map[string]string{
		"CARPOOL_DOWNLOAD_URL": "file://" + filepath.Join(dist, name) + "?version=1", "CARPOOL_DOWNLOAD_SHA256": sum,
	})
}

// Nothing of the app is overwritten.
func TestCompileKeepsTheAppsOwnFiles(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "bin", "start-pgbouncer")
	mustWrite(t, own, "mine")
	env := variables(t, map[string]string{"CARPOOL_BINARY": binary})
	if status, output := run(t, builderEnviron, filepath.Join(buildpack(t), "bin", "compile"), dir, t.TempDir(), env); status != 0 {
		t.Fatalf("status %d\n%s", status, output)
	}
	if got := mustRead(t, own); got != "mine" {
		t.Errorf("the app's file has become %q", got)
	}
}

// release packs the binary as a release would be, and returns the file's URL and sum.
func release(t *testing.T, form string) (url, sum string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "carpool-linux"+form)
	if form == "" {
		if err := copyFile(binary, name); err != nil {
			t.Fatal(err)
		}
	} else {
		pack(t, name)
	}
	digest := sha256.Sum256([]byte(mustRead(t, name)))
	return "file://" + name, hex.EncodeToString(digest[:])
}

// pack makes a .tar.gz with a directory, a text, and the binary in it.
func pack(t *testing.T, name string) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	compressed, err := gzip.NewWriterLevel(file, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(compressed)
	for _, member := range []struct{ name, text string }{
		{"carpool-0.1.0/README.md", "carpool\n"}, {"carpool-0.1.0/carpool", mustRead(t, binary)},
	} {
		header := &tar.Header{Name: member.name, Mode: 0o755, Size: int64(len(member.text))}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(member.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := compressed.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDownload(t *testing.T) {
	for _, form := range []string{"", ".tar.gz", "-asset"} {
		url, sum := release(t, form)
		bp, cache := buildpack(t), t.TempDir()
		env := variables(t, map[string]string{"CARPOOL_DOWNLOAD_URL": url + "\n", "CARPOOL_DOWNLOAD_SHA256": strings.ToUpper(sum)})
		for _, want := range []string{"Downloading", "from the cache"} {
			dir := t.TempDir()
			status, output := run(t, builderEnviron, filepath.Join(bp, "bin", "compile"), dir, cache, env)
			if status != 0 || !strings.Contains(output, want) {
				t.Fatalf("%q: status %d, want %q in\n%s", form, status, want, output)
			}
			if mustRead(t, filepath.Join(dir, "vendor/carpool/bin/carpool")) != mustRead(t, binary) {
				t.Errorf("%q: another binary is in the slug", form)
			}
		}
		// Another version replaces what is in the cache.
		if err := os.Rename(filepath.Join(cache, "carpool-"+sum), filepath.Join(cache, "carpool-old")); err != nil {
			t.Fatal(err)
		}
		if status, output := run(t, builderEnviron, filepath.Join(bp, "bin", "compile"), t.TempDir(), cache, env); status != 0 {
			t.Fatalf("status %d\n%s", status, output)
		}
		if entries, err := os.ReadDir(cache); err != nil || len(entries) != 1 {
			t.Errorf("the cache holds %v, %v", entries, err)
		}
	}
}

func TestRefusedBinaries(t *testing.T) {
	url, sum := release(t, "")
	script := filepath.Join(t.TempDir(), "broken")
	mustWrite(t, script, "no program")
	for _, row := range []struct {
		name      string
		variables map[string]string
		want      string
	}{
		{"nothing", nil, "nowhere to take the binary from"},
		{"missing", map[string]string{"CARPOOL_BINARY": "/nonexistent/carpool"}, "isn't there"},
		{"no sum", map[string]string{"CARPOOL_DOWNLOAD_URL": url}, "needs CARPOOL_DOWNLOAD_SHA256"},
		{"half a sum", map[string]string{"CARPOOL_DOWNLOAD_URL": url, "CARPOOL_DOWNLOAD_SHA256": sum[:32]}, "needs CARPOOL_DOWNLOAD_SHA256"},
		{
			"wrong sum",
			map[string]string{"CARPOOL_DOWNLOAD_URL": url, "CARPOOL_DOWNLOAD_SHA256": strings.Repeat("0", 64)},
			"isn't the file that CARPOOL_DOWNLOAD_SHA256 promises",
		},
		{
			"unencrypted",
			map[string]string{"CARPOOL_DOWNLOAD_URL": "http://me:hidden@127.0.0.1:1/carpool", "CARPOOL_DOWNLOAD_SHA256": sum},
			"must be https://",
		},
		{"no program", map[string]string{"CARPOOL_BINARY": script}, "doesn't run on this stack"},
	} {
		cache := t.TempDir()
		status, output := run(t, builderEnviron, filepath.Join(buildpack(t), "bin", "compile"), t.TempDir(), cache, variables(t, row.variables))
		if status != 1 || !strings.Contains(output, row.want) || strings.Contains(output, "hidden") {
			t.Errorf("%s: status %d, %q", row.name, status, output)
		}
		if entries, err := os.ReadDir(cache); err != nil || len(entries) > 0 {
			t.Errorf("%s: the cache holds %v, %v", row.name, entries, err)
		}
	}
}

// The lifecycle of Cloud Native Buildpacks: detect, build, and a launch with the layer's bin/ in PATH.
func TestCloudNativeBuildpack(t *testing.T) {
	url, sum := release(t, ".tar.gz")
	bp, layers, platform := buildpack(t), t.TempDir(), t.TempDir()
	copyTree(t, variables(t, map[string]string{"CARPOOL_DOWNLOAD_URL": url, "CARPOOL_DOWNLOAD_SHA256": sum}), filepath.Join(platform, "env"))
	plan := filepath.Join(t.TempDir(), "plan.toml")
	mustWrite(t, plan, "")
	environ := append(slices.Clone(builderEnviron),
		"CNB_BUILDPACK_DIR="+bp, "CNB_PLATFORM_DIR="+platform, "CNB_LAYERS_DIR="+layers, "CNB_BUILD_PLAN_PATH="+plan, "CNB_BP_PLAN_PATH="+plan)
	if status, output := run(t, environ, filepath.Join(bp, "bin", "detect"), platform, plan); status != 0 {
		t.Fatalf("bin/detect: status %d\n%s", status, output)
	}
	for _, want := range []string{"Downloading", "from the cache"} {
		status, output := run(t, environ, filepath.Join(bp, "bin", "build"), layers, platform, plan)
		if status != 0 || !strings.Contains(output, want) {
			t.Fatalf("bin/build: status %d, want %q in\n%s", status, want, output)
		}
	}
	for name, want := range map[string]layerTypes{"carpool": {Launch: true}, "download": {Cache: true}} {
		if got := layer(t, filepath.Join(layers, name+".toml")); got != want {
			t.Errorf("the layer %s has the types %+v", name, got)
		}
	}
	// A layer's description without the layer would be an error of ours.
	mustWrite(t, filepath.Join(platform, "env", "CARPOOL_BINARY"), binary)
	if err := os.RemoveAll(filepath.Join(layers, "download")); err != nil {
		t.Fatal(err)
	}
	if status, output := run(t, environ, filepath.Join(bp, "bin", "build"), layers, platform, plan); status != 0 {
		t.Errorf("status %d\n%s", status, output)
	}
	if _, err := os.Stat(filepath.Join(layers, "download.toml")); err == nil {
		t.Error("there is a description of a layer that isn't there")
	}
	found, output := run(t, []string{"PATH=" + filepath.Join(layers, "carpool", "bin") + ":" + path}, "/bin/sh", "-c", "carpool --version")
	if found != 0 {
		t.Errorf("a process of the image doesn't find carpool: %s", output)
	}
}

// layerTypes is what a layer's file tells the lifecycle.
type layerTypes struct {
	Launch bool `toml:"launch"`
	Build  bool `toml:"build"`
	Cache  bool `toml:"cache"`
}

func layer(t *testing.T, name string) layerTypes {
	t.Helper()
	var content struct {
		Types layerTypes `toml:"types"`
	}
	strictTOML(t, name, &content)
	return content.Types
}

func strictTOML[T any](t *testing.T, name string, into *T) {
	t.Helper()
	meta, err := toml.DecodeFile(name, into)
	if err != nil {
		t.Fatal(err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		t.Errorf("%s: unknown keys %v", name, unknown)
	}
}

func TestBuildpackDescription(t *testing.T) {
	var description struct {
		API       string `toml:"api"`
		Buildpack struct {
			ID          string   `toml:"id"`
			Name        string   `toml:"name"`
			Version     string   `toml:"version"`
			Description string   `toml:"description"`
			Keywords    []string `toml:"keywords"`
			Licenses    []struct {
				Type string `toml:"type"`
			} `toml:"licenses"`
		} `toml:"buildpack"`
		Targets []struct {
			OS   string `toml:"os"`
			Arch string `toml:"arch"`
		} `toml:"targets"`
	}
	strictTOML(t, "heroku/buildpack/buildpack.toml", &description)
	if description.API != "0.10" || description.Buildpack.ID != "carpool/carpool" || len(description.Targets) != 2 {
		t.Errorf("got %+v", description)
	}
	for _, program := range []string{"detect", "compile", "release", "build"} {
		about, err := os.Stat(filepath.Join("heroku/buildpack/bin", program))
		if err != nil || about.Mode()&0o111 != 0o111 {
			t.Errorf("bin/%s can't be executed: %v, %v", program, about, err)
		}
	}
}

// Where shellcheck is installed, it has nothing to say.
func TestShellcheck(t *testing.T) {
	programs, err := filepath.Glob("heroku/buildpack/*/*")
	if err != nil || len(programs) < 5 {
		t.Fatalf("%v, %v", programs, err)
	}
	for _, program := range programs {
		if status, output := run(t, builderEnviron, "/bin/bash", "-n", absolute(t, program)); status != 0 {
			t.Errorf("%s: %s", program, output)
		}
	}
	if shellcheck, err := exec.LookPath("shellcheck"); err == nil {
		args := append([]string{"-x", "-s", "bash"}, programs...)
		if output, err := exec.Command(shellcheck, args...).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, output)
		}
	}
}

func absolute(t *testing.T, name string) string {
	t.Helper()
	full, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return full
}
