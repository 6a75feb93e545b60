package drivers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"carpool/bench/pgserver"
)

const (
	// stepPatience is how long a program may be at one step; its start counts as part of the first.
	stepPatience = 20 * time.Second
	// installPatience bounds what is done once before the programs of a language run.
	installPatience = 3 * time.Minute
	// longestComplaint bounds what of a program's standard error goes into an error.
	longestComplaint = 2000
	// jdbc is where Debian's package has the driver.
	jdbc = "/usr/share/java/postgresql.jar"
)

// python is a driver of Debian's packages, which its own Python has, whichever other comes first in PATH.
func python(arguments ...string) runner {
	return func(ctx context.Context, url string, steps []string, report func(outcome)) error {
		interpreter := "/usr/bin/python3"
		if _, err := os.Stat(interpreter); err != nil {
			interpreter = "python3"
		}
		directory, err := filepath.Abs("testdata/python")
		if err != nil {
			return err
		}
		return program(ctx, url, directory, append([]string{interpreter, "-B", "run.py"}, arguments...), steps, report)
	}
}

// node is a driver from npm.
func node(arguments ...string) runner {
	return func(ctx context.Context, url string, steps []string, report func(outcome)) error {
		directory, err := nodeModules()
		if err != nil {
			return err
		}
		return program(ctx, url, directory, append([]string{"node", "run.mjs"}, arguments...), steps, report)
	}
}

// java is JDBC, with a prepareThreshold or "default".
func java(threshold string) runner {
	return func(ctx context.Context, url string, steps []string, report func(outcome)) error {
		directory, err := javaClasses()
		if err != nil {
			return err
		}
		command := []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8", "-cp", jdbc + ":.", "Main", threshold}
		return program(ctx, url, directory, command, steps, report)
	}
}

// program runs a command with steps added to it, and reports what it prints.
func program(ctx context.Context, url, directory string, command, steps []string, report func(outcome)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(stepPatience, func() { cancel(fmt.Errorf("nothing happens for %s", stepPatience)) })
	defer watch.Stop()
	c := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], steps...)...)
	c.Dir = directory
	c.Env = append(pgserver.Environment(directory), "DATABASE_URL="+url)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) } // with its children
	c.WaitDelay = time.Second
	var complaint strings.Builder
	c.Stderr = &complaint
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	readErr := readOutcomes(out, func(o outcome) {
		watch.Reset(stepPatience)
		report(o)
	})
	err = c.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := errors.Join(readErr, err); err != nil {
		text := strings.TrimSpace(complaint.String())
		return fmt.Errorf("%w: %s", err, text[max(0, len(text)-longestComplaint):])
	}
	return nil
}

func readOutcomes(from io.Reader, report func(outcome)) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o outcome
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return fmt.Errorf("the program printed %q: %w", lines.Text(), err)
		}
		report(o)
	}
	return lines.Err()
}

// nodeModules is a directory with the programs for Node.js and the packages that they need, installed at most once.
var nodeModules = sync.OnceValues(func() (string, error) {
	return install("node", "npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
})

// javaClasses is a directory with the program for Java, compiled at most once.
var javaClasses = sync.OnceValues(func() (string, error) {
	return install("java", "javac", "-encoding", "UTF-8", "-cp", jdbc, "Main.java")
})

// install copies a folder of testdata and runs a command in the copy.
func install(folder string, command ...string) (string, error) {
	directory := filepath.Join(scratch, folder)
	if err := os.CopyFS(directory, os.DirFS(filepath.Join("testdata", folder))); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), installPatience)
	defer cancel()
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Dir = directory
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("running %s: %w: %s", strings.Join(command, " "), err, out)
	}
	return directory, nil
}
