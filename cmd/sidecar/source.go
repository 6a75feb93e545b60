package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Source is where a database URL comes from that may change: a file, or a command that prints it.
type Source struct {
	// File is the file's name. It is looked up anew each time, so it may be replaced, or be a link to what is.
	File string
	// Command is for the shell, and is run if there is no File.
	Command string
	// Interval is the time from one look to the next.
	Interval time.Duration
	// Environ is the command's environment, and Stderr where it may complain.
	Environ []string
	Stderr  io.Writer
	// Run runs a process to its end, as exec.Cmd's method of that name does, with all that it starts.
	Run func(*exec.Cmd) error
}

const (
	// commandPatience is how long a command may take to print a URL.
	commandPatience = 10 * time.Second
	// mostBytes bounds what is read. It is more than a URL may have, so that one that is too long is told.
	mostBytes = 128 << 10
)

// Read returns the URL as it is now, without blanks around it. It blocks until then, until ctx ends, or until the command has had
// its time. The error has nothing of the URL.
func (s *Source) Read(ctx context.Context) (string, error) {
	var text []byte
	var err error
	if s.File != "" {
		text, err = readFile(s.File)
	} else {
		text, err = s.runCommand(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", s, err)
	}
	url := strings.TrimSpace(string(text))
	if url == "" {
		return "", fmt.Errorf("%s: no URL is there", s)
	}
	return url, nil
}

// Found is a URL that Read has returned.
func (s *Source) Found(url string) *Found {
	return &Found{URL: url, From: "what " + s.String() + " says"}
}

// String names the flag that the source is from. The command may have secrets in it.
func (s *Source) String() string {
	if s.File != "" {
		return "--url-file " + s.File
	}
	return "--url-command"
}

func readFile(name string) ([]byte, error) {
	// Opening a pipe would wait for who writes to it.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close() //nolint:errcheck // only read
	switch found, err := f.Stat(); {
	case err != nil:
		return nil, withoutPath(err)
	case found.IsDir():
		return nil, syscall.EISDIR
	case !found.Mode().IsRegular():
		return nil, errors.New("it isn't a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, mostBytes))
	return text, withoutPath(err)
}

// withoutPath is an error that doesn't repeat the name of the file.
func withoutPath(err error) error {
	if problem, ok := errors.AsType[*os.PathError](err); ok {
		return problem.Err
	}
	return err
}

func (s *Source) runCommand(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandPatience, errTooLong)
	defer cancel()
	output := &limited{}
	command := exec.CommandContext(ctx, "/bin/sh", "-c", s.Command)
	command.Env, command.Stdout, command.Stderr = s.Environ, output, s.Stderr
	command.WaitDelay = time.Second // for what it has started and nobody has ended
	if err := s.Run(command); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return output.text, nil
}

// errTooLong ends a command that has had its time.
var errTooLong = fmt.Errorf("it took longer than %s", commandPatience)

// limited keeps the beginning of what is written to it.
type limited struct{ text []byte }

func (l *limited) Write(b []byte) (int, error) {
	l.text = append(l.text, b[:min(len(b), mostBytes-len(l.text))]...)
	return len(b), nil
}

// Watch looks at the source again and again until ctx ends, and calls changed with a URL that isn't the one before; current is
// the first of these. A URL that changed returns an error for is offered again. What goes wrong goes to failed, the same thing
// once. A file has to look the same twice before it is believed, as it may be found half-written.
func (s *Source) Watch(ctx context.Context, current string, changed func(url string) error, failed func(error)) {
	ticker := time.NewTicker(s.Interval)
	defer ticker.Stop()
	seen, said := current, ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		url, err := s.Read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && s.File != "" && url != seen:
			seen = url
			continue
		case err == nil && url == current:
			said = ""
			continue
		case err == nil:
			if err = changed(url); err == nil {
				current, said = url, ""
				continue
			}
		}
		if problem := err.Error(); problem != said {
			said = problem
			failed(err)
		}
	}
}
