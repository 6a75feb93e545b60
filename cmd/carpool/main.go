// Command carpool is a Postgres connection pooler: many clients share a few
// server connections.
//
// main is the only place that ends the process. Everything else hangs on run,
// which tests call with arguments, environment, outputs and signals of their
// own. root.go says how a command line is understood; each command has a file.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ignored := ignoredSignals()
	// A log that nobody reads any more is no reason to end.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, handledSignals[:]...)
	os.Exit(run(&program{
		args: os.Args[1:], environ: os.Environ(), signals: signals, stdout: os.Stdout, stderr: os.Stderr,
		ignored: ignored,
	}))
}

// handledSignals are those that mean something to a command. All commands get
// all of them: what a signal means differs, but none may be lost while a
// command sets itself up.
var handledSignals = [...]os.Signal{
	syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2,
}

// ignoredSignals are those that we were started with ignored, as nohup does for HUP, shells do for INT of what runs in the
// background, and systemd does for PIPE. A pooler obeys them all the same; a command that it starts is to have them as they were.
// Go's runtime knows it of HUP and INT alone.
func ignoredSignals() []os.Signal {
	var ignored []os.Signal
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			ignored = append(ignored, sig)
		}
	}
	if startedWithoutPipe() {
		ignored = append(ignored, syscall.SIGPIPE)
	}
	return ignored
}
