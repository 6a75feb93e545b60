package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"carpool/config"
)

func TestLogWriterKeepsOrder(t *testing.T) {
	out := newTranscript()
	l := newLogWriter(out)
	var want strings.Builder
	for i := range 1000 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	l.Close()
	if out.String() != want.String() {
		t.Error("what was written isn't what came out")
	}
	l.Close() // again: no harm
	if _, err := l.Write([]byte("late\n")); err != nil {
		t.Error(err)
	}
}

// Nobody waits for a reader who doesn't read, and lines that were lost are
// counted once he does.
func TestLogWriterDoesNotBlock(t *testing.T) {
	r, w := io.Pipe()
	l := newLogWriter(w)
	line := []byte(strings.Repeat("x", 1023) + "\n")
	const lines = 3 * maxLogBacklog / 1024
	for range lines {
		if _, err := l.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	read := make(chan string)
	go func() {
		text, _ := io.ReadAll(r)
		read <- string(text)
	}()
	l.Close()
	<-l.done
	_ = w.Close()
	text := <-read
	kept := strings.Count(text, "xxx\n")
	if kept == lines || kept < maxLogBacklog/1024 {
		t.Errorf("%d of %d lines were kept", kept, lines)
	}
	if want := fmt.Sprintf("lines_dropped=%d\n", lines-kept); !strings.Contains(text, want) {
		t.Errorf("no %q at the end: %q", want, text[max(0, len(text)-200):])
	}
}

func TestLogFormatAndLevel(t *testing.T) {
	for _, row := range []struct {
		set  string
		want slog.Level
	}{
		{"", slog.LevelInfo},
		{"log_level=debug", slog.LevelDebug},
		{"log_level=warn", slog.LevelWarn},
		{"log_level=error", slog.LevelError},
		{"verbose=1", slog.LevelDebug},
	} {
		c := config.Default()
		if name, value, ok := strings.Cut(row.set, "="); ok {
			if err := c.Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
		if got := logLevel(c); got != row.want {
			t.Errorf("%s: level %s, want %s", row.set, got, row.want)
		}
	}
	c := config.Default()
	c.LogFormat = config.LogJSON
	var out strings.Builder
	newLog(c, &out).Info("hello\x1b[31m\nworld", "user", "a\"b\n")
	var line struct{ Level, Msg, User string }
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil || line.User != "a\"b\n" || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%v in %q", err, out.String())
	}
	// A name can't forge a line, nor paint the terminal.
	out.Reset()
	c.LogFormat = config.LogText
	newLog(c, &out).Info("login", "user", "x\nlevel=INFO msg=forged \x1b[31m")
	if text := out.String(); strings.Count(text, "\n") != 1 || strings.Contains(text, "\x1b") {
		t.Errorf("%q", text)
	}
}
