package nullserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"time"
)

const (
	// startPatience is how long a process may take to tell its address, endPatience how long to end after its standard
	// input has: then it is killed.
	startPatience = 10 * time.Second
	endPatience   = 2 * time.Second
	// maxAddress bounds the line with the address, in bytes.
	maxAddress = 64
)

// Child is the null server's own process: it listens, prints its address to stdout as one line, and serves until stdin or
// ctx ends. Launch is the other side.
func Child(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	listener, err := listen(ctx)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, listener.Addr()); err != nil {
		_ = listener.Close()
		return fmt.Errorf("telling the null server's address: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // nobody waits for it: a blocked read of stdin ends with the process
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	return Serve(ctx, listener)
}

// Launch starts a null server in a process of its own and returns when it listens. The command, program first, is one that
// calls Child; environ is its environment, ours when nil. The server stops when ctx ends, when our process does, or with
// Stop, which is to be called in any case.
func Launch(ctx context.Context, command, environ []string) (*Server, error) {
	if len(command) == 0 {
		return nil, errors.New("starting the null server: no command")
	}
	process := exec.CommandContext(ctx, command[0], command[1:]...)
	process.Env = environ
	stdin, err := process.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the null server: %w", err)
	}
	// The end of its input is its signal to go.
	process.Cancel = stdin.Close
	process.WaitDelay = endPatience
	stdout, err := process.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the null server: %w", err)
	}
	if err := process.Start(); err != nil {
		return nil, fmt.Errorf("starting the null server: %w", err)
	}
	stop := func() error {
		_ = stdin.Close()
		kill := time.AfterFunc(endPatience, func() { _ = process.Process.Kill() })
		defer kill.Stop()
		if err := process.Wait(); err != nil && ctx.Err() == nil {
			return fmt.Errorf("ending the null server: %w", err)
		}
		return nil
	}
	late := time.AfterFunc(startPatience, func() { _ = process.Process.Kill() })
	line, err := bufio.NewReader(io.LimitReader(stdout, maxAddress)).ReadString('\n')
	late.Stop()
	if err == nil {
		var address netip.AddrPort
		if address, err = netip.ParseAddrPort(strings.TrimSpace(line)); err == nil {
			return &Server{address: address.String(), stop: stop}, nil
		}
	}
	_ = process.Process.Kill()
	_ = stop()
	return nil, fmt.Errorf("starting the null server: it told no address: %w", err)
}
