package faults

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A clock that is set, by an hour or by a second, matters to nobody who only asks how long something took: Go's times have a
// reading of the clock that goes forward, and lose it only by what is looked for here.
func TestNoCalendar(t *testing.T) {
	calendar := []string{"UnixMilli", "UnixMicro", "UnixNano", "MarshalBinary", "MarshalText", "MarshalJSON", "UTC", "Local", "Date", "AddDate"}
	files := 0
	for _, dir := range []string{"proxy", "pool"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(name string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			files++
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				method, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || !slices.Contains(calendar, method.Sel.Name) && !(method.Sel.Name == "Unix" && isBare(call)) && !(method.Sel.Name == "Round" && isZero(call)) {
					return true
				}
				t.Errorf("%s: %s takes a time for a date", set.Position(call.Pos()), method.Sel.Name)
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
}

// isBare reports whether a call has no argument: time.Time's Unix hasn't.
func isBare(call *ast.CallExpr) bool { return len(call.Args) == 0 }

// isZero reports whether a call's argument is 0: with that, Round takes the reading of the clock that goes forward away.
func isZero(call *ast.CallExpr) bool {
	if len(call.Args) != 1 {
		return false
	}
	n, ok := call.Args[0].(*ast.BasicLit)
	return ok && n.Value == "0"
}
