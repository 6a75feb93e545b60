package main

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds everything that a test waits for.
const patience = 60 * time.Second

// build makes carpool, and returns the binary.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "carpool")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "carpool/cmd/carpool").CombinedOutput(); err != nil {
		t.Fatalf("building carpool: %v\n%s", err, out)
	}
	return binary
}

// The whole example: the shop opens, has books, and is gone after Ctrl-C, which is the end of the context.
func TestExamples(t *testing.T) {
	binary := build(t)
	t.Chdir(filepath.Join("..", "..", ".."))
	for _, app := range []string{"flask-books", "django-books"} {
		t.Run(app, func(t *testing.T) {
			ctx, stop := context.WithTimeout(context.Background(), patience)
			defer stop()
			read, write := io.Pipe()
			ended := make(chan error, 1)
			go func() {
				err := run(ctx, []string{"-carpool", binary, "-port", "0", "-workers", "2", app}, write)
				_ = write.Close() // never fails
				ended <- err
			}()
			said, address := listen(t, read)
			response, err := http.Get(address)
			if err != nil {
				t.Fatalf("%v\n%s", err, said())
			}
			page, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || response.StatusCode != 200 || !strings.Contains(string(page), "The Mythical Man-Month") {
				t.Errorf("%s, %v: %s", response.Status, err, page)
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			for _, want := range []string{"release | ", "worker  | worker: counting\n", "worker  | worker: stopped\n"} {
				if !strings.Contains(said(), want) {
					t.Errorf("nothing says %q:\n%s", want, said())
				}
			}
			if _, err := http.Get(address); err == nil {
				t.Error("somebody still answers")
			}
		})
	}
}

// listen collects what is written, and returns when the address of the pages is among it.
func listen(t *testing.T, read io.Reader) (said func() string, address string) {
	t.Helper()
	var mu sync.Mutex
	var text strings.Builder
	said = func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
	found := make(chan string, 1)
	go func() { // ends with read
		form := regexp.MustCompile(`The bookstore is open: (\S+)`)
		buffer := make([]byte, 4096)
		for told := false; ; {
			n, err := read.Read(buffer)
			mu.Lock()
			text.Write(buffer[:n])
			mu.Unlock()
			if match := form.FindStringSubmatch(said()); match != nil && !told {
				told = true
				found <- match[1]
			}
			if err != nil {
				close(found)
				return
			}
		}
	}()
	address, ok := <-found
	if !ok {
		t.Fatalf("it has ended:\n%s", said())
	}
	return said, address
}

func TestProblems(t *testing.T) {
	t.Chdir(filepath.Join("..", "..", ".."))
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"no-such-app"}, "there is no such example"},
		{[]string{"-port", "no-port", "flask-books"}, "-port says another one"},
		{[]string{"-carpool", "/nonexistent/carpool", "-port", "0", "flask-books"}, "the release ended with status 127"},
	} {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		if err := run(ctx, row.args, io.Discard); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: got %v", row.args, err)
		}
		stop()
	}
}

func TestLabelled(t *testing.T) {
	var out strings.Builder
	l := &labelled{label: "web | ", mu: new(sync.Mutex), out: &out}
	for _, part := range []string{"one", " line\nand", " another\n\nrest"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%q: %d, %v", part, n, err)
		}
	}
	if got, want := out.String(), "web | one line\nweb | and another\nweb | \n"; got != want {
		t.Errorf("got %q", got)
	}
	if _, err := l.Write(make([]byte, longestLine)); err != nil || len(l.rest) != 0 {
		t.Errorf("%d bytes of an endless line are kept, %v", len(l.rest), err)
	}
}
