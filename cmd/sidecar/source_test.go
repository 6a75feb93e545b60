package sidecar

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestSourceReads(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		source Source
		want   string
		err    string
	}{
		{Source{File: file("url", " postgres://u:p@h/d\n\n")}, "postgres://u:p@h/d", ""},
		{Source{File: file("empty", "\n")}, "", "--url-file " + dir + "/empty: no URL is there"},
		{Source{File: dir + "/nothing"}, "", "--url-file " + dir + "/nothing: no such file or directory"},
		{Source{File: dir}, "", "--url-file " + dir + ": is a directory"},
		{Source{File: pipe}, "", "--url-file " + pipe + ": it isn't a regular file"},
		{Source{File: "/dev/zero"}, "", "--url-file /dev/zero: it isn't a regular file"},
		{Source{Command: "echo $SCHEME://u:p@h/d"}, "postgres://u:p@h/d", ""},
		{Source{Command: "echo hunter2; exit 3"}, "", "--url-command: exit status 3"},
		{Source{Command: "true"}, "", "--url-command: no URL is there"},
		{Source{Command: "head -c 1000000 /dev/zero | tr '\\0' x"}, strings.Repeat("x", mostBytes), ""},
	} {
		row.source.Environ, row.source.Run = []string{"SCHEME=postgres", "PATH=" + os.Getenv("PATH")}, (*exec.Cmd).Run
		got, err := row.source.Read(t.Context())
		if got != row.want || (err == nil) != (row.err == "") || err != nil && err.Error() != row.err {
			t.Errorf("%+v: got %.40q %v", row.source, got, err)
		}
	}
}

// A command that hangs is given up with the context.
func TestSourceCommandThatHangs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	source := Source{Command: "sleep 1000", Run: func(cmd *exec.Cmd) error {
		if err := cmd.Start(); err != nil {
			return err
		}
		cancel()
		return cmd.Wait()
	}}
	if _, err := source.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A command that has had its time is told in words.
func TestSourceCommandThatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		source := Source{Command: "x", Run: func(*exec.Cmd) error {
			<-time.After(2 * commandPatience)
			return errors.New("signal: killed")
		}}
		if _, err := source.Read(ctx); err == nil || err.Error() != "--url-command: it took longer than 10s" {
			t.Errorf("got %v", err)
		}
	})
}

// watched is what a watch has told about.
type watched struct {
	changed []string
	failed  []string
}

// watch plays what a file holds second by second ("-" is no file), and returns what was told. A URL that is "bad" can't be used.
func watch(t *testing.T, contents ...string) watched {
	t.Helper()
	var told watched
	path := filepath.Join(t.TempDir(), "url")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		source := Source{File: path, Interval: time.Second}
		go func() {
			defer close(done)
			source.Watch(ctx, "a", func(url string) error {
				if url == "bad" {
					return errors.New("can't be used")
				}
				told.changed = append(told.changed, url)
				return nil
			}, func(err error) { told.failed = append(told.failed, err.Error()) })
		}()
		for _, content := range contents {
			if content == "-" {
				if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second) // that is the watch's turn, too
			synctest.Wait()
		}
		cancel()
		<-done
	})
	for i := range told.failed {
		told.failed[i] = strings.ReplaceAll(told.failed[i], path, "url")
	}
	return told
}

func TestWatch(t *testing.T) {
	for _, row := range []struct {
		contents string
		changed  string
		failed   string
	}{
		{"a a a a", "", ""},
		{"a b b b a a", "b,a", ""},
		{"a b c c c", "c", ""}, // b was half of c
		{"a b a a", "", ""},
		{"a - - a a", "", "--url-file url: no such file or directory"},
		{"a - - - b b", "b", "--url-file url: no such file or directory"},
		{"a bad bad bad bad b b", "b", "can't be used"},
		{"a bad bad a a bad bad", "", "can't be used,can't be used"},
		{"bad bad - - bad bad", "", "can't be used,--url-file url: no such file or directory,can't be used"},
	} {
		told := watch(t, strings.Fields(row.contents)...)
		want := func(list string) []string {
			return slices.DeleteFunc(strings.Split(list, ","), func(s string) bool { return s == "" })
		}
		if !slices.Equal(told.changed, want(row.changed)) || !slices.Equal(told.failed, want(row.failed)) {
			t.Errorf("%s: changed %q, failed %q", row.contents, told.changed, told.failed)
		}
	}
}
