package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "carpool"

// floors has every package of carpool. A package imports only packages of lower floors; a new package gets a row here
// first. The benchmarks stand beside the house: see benchFloor.
var floors = map[string]int{
	"config":        0,
	"pool":          0,
	"proxy/reactor": 0,
	"proxy/wire":    0,

	"proxy/auth":     1,
	"proxy/prepared": 1,
	"proxy/startup":  1,
	"proxy/state":    1,

	"proxy/upstream": 2,
	"proxy/notify":   2,

	"proxy": 3,

	"proxy/admin":   4,
	"proxy/metrics": 4,

	"cmd/sidecar":   1,
	"cmd/supervise": 1,

	"cmd/carpool": 5,

	"bench":                 benchFloor,
	"bench/compare":         benchFloor,
	"bench/delay":           benchFloor,
	"bench/drivers":         benchFloor,
	"bench/experiment":      benchFloor,
	"bench/faults":          benchFloor,
	"bench/nullserver":      benchFloor,
	"bench/pgserver":        benchFloor,
	"bench/pgserver/pgtest": benchFloor,
	"bench/pooler":          benchFloor,
	"bench/procfs":          benchFloor,
	"bench/report":          benchFloor,
	"bench/target":          benchFloor,
	"bench/worker":          benchFloor,
	"bench/worker/lecture":  benchFloor,
	"bench/workload":        benchFloor,

	"deploy":              benchFloor,
	"deploy/examples/run": benchFloor,
	"deploy/procfile":     benchFloor,
}

// benchFloor marks the benchmarks: they import floor 0 and each other, and only cmd imports them.
const benchFloor = -1

// testHarness are the packages that tests of every floor may import.
var testHarness = []string{"bench/pgserver", "bench/pgserver/pgtest"}

func TestFloors(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	seen := make(map[string]bool)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "build") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, wrong := range violations(filepath.ToSlash(relative), set, file) {
			t.Error(wrong)
		}
		files++
		seen[path.Dir(filepath.ToSlash(relative))] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 || !seen["cmd/carpool"] {
		t.Errorf("only %d files looked at: is %s still the root of the module?", files, root)
	}
}

// violations says what in one file is against the house rules. name is the file's path from the root of the module.
func violations(name string, set *token.FileSet, file *ast.File) []string {
	from := path.Dir(name)
	isTest := strings.HasSuffix(name, "_test.go")
	if _, known := floors[from]; !known {
		return []string{fmt.Sprintf("%s: package %s isn't in the table of floors", name, from)}
	}
	var wrong []string
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			imported = spec.Path.Value
		}
		if reason := forbidden(from, imported, isTest); reason != "" {
			wrong = append(wrong, fmt.Sprintf("%s: imports %s: %s", set.Position(spec.Pos()), imported, reason))
		}
	}
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if ok && function.Recv == nil && function.Name.Name == "init" {
			wrong = append(wrong, fmt.Sprintf("%s: an init function", set.Position(function.Pos())))
		}
	}
	if !isTest && path.Base(name) != "main.go" {
		ast.Inspect(file, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if ok && endsProcess(selector) {
				wrong = append(wrong, fmt.Sprintf("%s: ends the process; only a main.go does", set.Position(selector.Pos())))
			}
			return true
		})
	}
	return wrong
}

// forbidden is why a package may not import another, "" if it may.
func forbidden(from, imported string, isTest bool) string {
	switch {
	case imported == "C":
		return "carpool is built without cgo"
	case imported == module || strings.HasPrefix(imported, module+"/"):
		return forbiddenFloor(from, strings.TrimPrefix(strings.TrimPrefix(imported, module), "/"), isTest)
	case !strings.Contains(strings.Split(imported, "/")[0], "."):
		return "" // the standard library
	case isTest:
		return ""
	case strings.HasPrefix(imported, "github.com/prometheus/") && from != "proxy/metrics" && from != "cmd/carpool":
		return "prometheus belongs to proxy/metrics"
	case from == "pool" || from == "bench/pgserver/pgtest":
		return "this package uses the standard library only"
	case floors[from] == 0 || from == "bench/pgserver":
		if !strings.HasPrefix(imported, "golang.org/x/sys/") {
			return "this package uses the standard library and golang.org/x/sys only"
		}
	}
	return ""
}

// forbiddenFloor is forbidden for packages of this module.
func forbiddenFloor(from, imported string, isTest bool) string {
	floor, known := floors[imported]
	own := floors[from]
	switch {
	case !known:
		return "it isn't in the table of floors"
	case imported == from && isTest: // an external test
		return ""
	case isTest && slices.Contains(testHarness, imported):
		return ""
	case floor == benchFloor:
		if from == "cmd/carpool" || own == benchFloor {
			return ""
		}
		return "only cmd imports the benchmarks"
	case own == benchFloor:
		if floor == 0 {
			return ""
		}
		return "the benchmarks import floor 0 only"
	case floor < own, isTest && floor == own:
		return ""
	}
	return fmt.Sprintf("floor %d can't import floor %d", own, floor)
}

// endsProcess recognises the calls of the standard library that end the process.
func endsProcess(selector *ast.SelectorExpr) bool {
	receiver, ok := selector.X.(*ast.Ident)
	if !ok {
		return false
	}
	switch receiver.Name + "." + selector.Sel.Name {
	case "os.Exit", "syscall.Exit", "unix.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln":
		return true
	}
	return false
}

func TestViolationsAreNoticed(t *testing.T) {
	for _, row := range []struct {
		file, body string
		want       string // part of the one violation, "" for none
	}{
		{"pool/x.go", `import "sync"`, ""},
		{"pool/x.go", `import "golang.org/x/sys/unix"`, "standard library only"},
		{"pool/x.go", `import "carpool/config"`, "floor 0 can't import floor 0"},
		{"pool/x_test.go", `import "pgregory.net/rapid"`, ""},
		{"proxy/reactor/x.go", `import "golang.org/x/sys/unix"`, ""},
		{"proxy/wire/x.go", `import "github.com/jackc/pgx/v5/pgproto3"`, "golang.org/x/sys only"},
		{"proxy/startup/x.go", `import "carpool/proxy/wire"`, ""},
		{"proxy/startup/x.go", `import "carpool/proxy/auth"`, "floor 1 can't import floor 1"},
		{"proxy/startup/x_test.go", `import "carpool/proxy/auth"`, ""},
		{"proxy/startup/x_test.go", `import "carpool/proxy"`, "floor 1 can't import floor 3"},
		{"proxy/upstream/x_test.go", `import "carpool/bench/pgserver/pgtest"`, ""},
		{"proxy/upstream/x_test.go", `import "carpool/bench"`, "only cmd"},
		{"proxy/upstream/x.go", `import "carpool/bench/pgserver"`, "only cmd"},
		{"proxy/x.go", `import "carpool/proxy/upstream"`, ""},
		{"proxy/x.go", `import "carpool/proxy/admin"`, "floor 3 can't import floor 4"},
		{"proxy/x.go", `import "github.com/prometheus/client_golang/prometheus"`, "belongs to proxy/metrics"},
		{"proxy/x.go", `import "C"`, "without cgo"},
		{"proxy/x.go", `import "carpool/proxy/util"`, "table of floors"},
		{"proxy/metrics/x.go", `import "github.com/prometheus/client_golang/prometheus"`, ""},
		{"proxy/util/x.go", ``, "table of floors"},
		{"bench/x.go", `import "carpool/proxy/wire"`, ""},
		{"bench/x.go", `import "carpool/bench/pgserver"`, ""},
		{"bench/x.go", `import "carpool/proxy"`, "floor 0 only"},
		{"bench/pgserver/x.go", `import "github.com/jackc/pgx/v5"`, "golang.org/x/sys only"},
		{"cmd/carpool/x.go", `import "carpool/bench"`, ""},
		{"cmd/carpool/x.go", `func f() { os.Exit(1) }`, "ends the process"},
		{"cmd/carpool/main.go", `func f() { os.Exit(1) }`, ""},
		{"cmd/carpool/x_test.go", `func f() { os.Exit(1) }`, ""},
		{"proxy/x.go", `func f() { log.Fatalf("") }`, "ends the process"},
		{"proxy/x_test.go", `func init() {}`, "init function"},
		{"proxy/x.go", `type t struct{}; func (t) init() {}`, ""},
	} {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, row.file, "package x\n"+row.body, parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("%s: %v", row.body, err)
		}
		got := violations(row.file, set, file)
		if row.want == "" && len(got) > 0 || row.want != "" && (len(got) != 1 || !strings.Contains(got[0], row.want)) {
			t.Errorf("%s: %s: got %q, want %q", row.file, row.body, got, row.want)
		}
	}
}
