package config

import (
	"bufio"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs.\ngot:\n%s\nwant:\n%s", name, got, want)
	}
}

func iniFiles(t *testing.T, folder string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", folder, "*.ini"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no files in testdata/%s (%v)", folder, err)
	}
	return names
}

func TestGoodFiles(t *testing.T) {
	for _, name := range iniFiles(t, "good") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			c, err := LoadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if problems := c.Validate(); len(problems) != 0 {
				t.Fatal(problems)
			}
			var b strings.Builder
			for line := range strings.Lines(c.Redacted()) {
				// Defaults have a test of their own.
				if !strings.HasPrefix(line, ";") || strings.Contains(line, "besides") {
					b.WriteString(line)
				}
			}
			b.WriteString("\nwarnings:\n" + filepath.ToSlash(c.Warnings().Error()) + "\n")
			golden(t, strings.TrimSuffix(name, ".ini")+".golden", b.String())
		})
	}
}

func TestBadFiles(t *testing.T) {
	for _, name := range iniFiles(t, "bad") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			c, err := LoadFile(name)
			var problems Problems
			if err != nil && !errors.As(err, &problems) {
				t.Fatalf("error is a %T, not Problems", err)
			}
			problems = append(problems, c.Validate()...)
			if len(problems) == 0 {
				t.Fatal("no problem found")
			}
			golden(t, strings.TrimSuffix(name, ".ini")+".golden", filepath.ToSlash(problems.Error())+"\n")
			for _, secret := range []string{"hunter", "correct", "horse", "battery", "staple"} {
				if strings.Contains(problems.Error(), secret) || strings.Contains(c.Redacted(), secret) {
					t.Errorf("part %q of a password is shown", secret)
				}
			}
		})
	}
}

// tree reads files from memory.
func tree(files map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		content, ok := files[filepath.ToSlash(name)]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(content), nil
	}
}

func TestReadingHasLimits(t *testing.T) {
	wide := map[string]string{"main": strings.Repeat("%include leaf\n", mostFiles+50), "leaf": ""}
	deep := map[string]string{}
	for i := range 20 {
		deep[strings.Repeat("x", i+1)] = "%include " + strings.Repeat("x", i+2)
	}
	tests := []struct {
		name, first string
		files       map[string]string
		want        string
	}{
		{"line", "main", map[string]string{"main": "[databases]\na = " + strings.Repeat("x", mostLineBytes)}, "main:2: line longer than 65536 bytes"},
		{"file", "main", map[string]string{"main": strings.Repeat("\n", mostFileBytes+1)}, "main: larger than"},
		{"files", "main", wide, "main:1000: more than 1000 files"},
		{"depth", "x", deep, "files included more than 10 deep"},
		{"missing", "main", nil, "reading configuration: open main: file does not exist"},
		{"problems", "main", map[string]string{"main": "[pgbouncer]\n" + strings.Repeat("x = 1\n", 1000)}, "main:201: too many problems, the rest isn't shown"},
		{"pairs", "main", map[string]string{"main": "[databases]\na=" + strings.Repeat("x=1 ", 10000)}, "too many problems"},
		{
			"databases", "main",
			map[string]string{"main": "[databases]\n" + manyNames(mostEntries+1)},
			"main:100002: more than 100000 databases",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := load(test.first, tree(test.files))
			if c == nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %.300v, want %q", err, test.want)
			}
			if n := len(err.(Problems)); n > mostProblems {
				t.Errorf("%d problems", n)
			}
		})
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("d")
		for ; i > 0; i /= 10 {
			b.WriteByte(byte('0' + i%10))
		}
		b.WriteString("=\n")
	}
	return b.String()
}

// A relative include is looked for in the working directory first, where
// PgBouncer looks.
func TestIncludePrefersWorkingDirectory(t *testing.T) {
	c, err := load("etc/main", tree(map[string]string{
		"etc/main":  "[pgbouncer]\n%include part\n%include other",
		"part":      "default_pool_size = 1",
		"etc/part":  "default_pool_size = 2",
		"etc/other": "min_pool_size = 3",
	}))
	if err != nil || c.DefaultPoolSize != 1 || c.MinPoolSize != 3 {
		t.Errorf("got %d, %d, %v", c.DefaultPoolSize, c.MinPoolSize, err)
	}
}

// The last entry of a name counts as a whole, and stays at the first's place.
func TestRepeatedDatabaseReplaces(t *testing.T) {
	c, err := load("m", tree(map[string]string{"m": "[databases]\na=host=x pool_size=3\nb=\na=host=y\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Databases) != 2 || c.Databases[0].Hosts[0] != "y" || c.Databases[0].PoolSize.Set {
		t.Errorf("got %s", c.Redacted())
	}
	if w := c.Warnings().Error(); !strings.Contains(w, `m:4: database "a": replaces the entry at m:2`) {
		t.Errorf("warnings: %s", w)
	}
}

func FuzzParse(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		names, err := filepath.Glob(filepath.Join("testdata", folder, "*.ini"))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(content))
		}
	}
	f.Add("[databases]\n\"\\\"=host=','port=1,2")
	f.Add("[peers]\n1=host=' '\n[users]\nu=pool_size=-1")
	f.Add("[pgbouncer]\nquery_timeout=0.0000014\ntcp_keepidle=1m0.5s\n")
	f.Fuzz(func(t *testing.T, content string) {
		read := tree(map[string]string{"main": content, "part": "min_pool_size = 1"})
		c, err := load("main", read)
		if err != nil && strings.ContainsAny(strings.ReplaceAll(err.Error(), "\n", ""), "\x00\x07\x1b") {
			t.Errorf("control character in %q", err)
		}
		c.Validate()
		c.Warnings()
		c.Redacted()
		first := whole(t, c)
		again, err := load("main", tree(map[string]string{"main": first}))
		if err != nil {
			t.Fatalf("%v in what was printed:\n%s", err, first)
		}
		if second := whole(t, again); second != first {
			t.Errorf("printed:\n%s\nread and printed again:\n%s", first, second)
		}
		if changes := Diff(c, again); len(changes) != 0 {
			t.Errorf("differs after printing and reading: %v", changes)
		}
	})
}

// whole prints a configuration with its passwords.
func whole(t *testing.T, c *Config) string {
	t.Helper()
	var b strings.Builder
	w := bufio.NewWriter(&b)
	printer{w: w}.config(c)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
