package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"carpool/cmd/supervise"
	"carpool/proxy"

	"golang.org/x/term"
)

const (
	// tellGrace is how long processes have to end after they were told to for the last time.
	tellGrace = 2 * time.Second
	// terminalPatience is how long what a command leaves behind is waited for at a terminal.
	terminalPatience = time.Second
)

// supervise starts the command and returns when the command, what it started and the pooler have ended.
func (e *execution) supervise(ctx context.Context, helpers *sync.WaitGroup) error {
	signals := newExecSignals(e.program.ignored)
	defer signals.stop()
	hideMemory(e.log)
	door := e.door()
	environ, notes := e.plan.Environ(e.urls, e.identities, door)
	e.announce(notes)
	command := supervise.Command{
		Args: e.command, Environ: environ, Patience: e.options.drain, Grace: tellGrace,
		Witness: []string{"signal-witness", witnessName}, Log: e.log,
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		// A person has started this, and what is left of it, such as a tmux, is meant to stay.
		command.Patience, command.Abandon = min(command.Patience, terminalPatience), true
	}
	var child *supervise.Child
	err := e.program.toldToStop()
	if err == nil {
		child, err = supervise.Start(command)
	}
	if err != nil {
		e.proxy.Shutdown(proxy.Immediate)
		return e.program.notStarted(errors.Join(err, <-e.ended))
	}
	if e.source != nil {
		helpers.Go(func() { e.watchSource(ctx, child) })
	}
	helpers.Go(func() { staySmall(ctx) })
	failed, told := e.attend(child, signals)
	e.drain(told, failed)
	status := child.Status()
	if failed && status == exitOK {
		status = exitFailure
	}
	return commandEnded{status}
}

// attend passes signals on until the command and what it started have ended. failed is whether the pooler ended before, told when
// a TERM came, if one did.
func (e *execution) attend(child *supervise.Child, signals *execSignals) (failed bool, told time.Time) {
	var late <-chan time.Time // what is left of the command after this has had its time
	var alone <-chan struct{} // the command has ended when it was late already
	for {
		var sig os.Signal
		select {
		case <-child.AllEnded():
			return failed, told
		case sig = <-e.program.signals:
		case sig = <-signals.more:
		case err := <-e.ended:
			e.log.Error("the pooler has ended: telling the command to end too", "error", err)
			failed = true
			child.Stop(e.options.drain)
			e.ended = nil
			continue
		case <-late:
			alone = child.Ended()
			continue
		case <-alone:
			child.Stop(tellGrace)
			alone = nil
			continue
		}
		if sig == syscall.SIGTERM && told.IsZero() {
			told = time.Now()
			late = time.After(e.options.drain)
		}
		child.Forward(sig)
	}
}

// leastDrain is how long the pooler gets for its own end however late it is.
const leastDrain = time.Second

// drain ends the pooler. What the command has left in it, such as queries whose clients are gone, gets a clean end if there is
// time.
func (e *execution) drain(told time.Time, failed bool) {
	if failed {
		return
	}
	if e.atRest() {
		e.proxy.Shutdown(proxy.Immediate)
		e.farewell(<-e.ended)
		return
	}
	patience := e.options.drain
	if !told.IsZero() {
		patience = max(patience-time.Since(told), leastDrain)
	}
	// Nobody is left but clients from elsewhere. They mustn't keep a platform waiting.
	stages := []struct {
		mode  proxy.ShutdownMode
		limit time.Duration
	}{
		{proxy.WaitForClients, min(patience, leastDrain)},
		{proxy.WaitForServers, max(patience-leastDrain, 0)},
	}
	for _, stage := range stages {
		e.proxy.Shutdown(stage.mode)
		select {
		case err := <-e.ended:
			e.farewell(err)
			return
		case <-time.After(stage.limit):
		}
	}
	e.proxy.Shutdown(proxy.Immediate)
	e.farewell(<-e.ended)
}

// atRest reports whether nobody and nothing is left in the pooler.
func (e *execution) atRest() bool {
	for _, pool := range e.proxy.Pools() {
		if pool.Pool.Leased > 0 {
			return false
		}
	}
	return e.proxy.State().Clients == 0
}

func (e *execution) farewell(err error) {
	if err != nil {
		e.log.Error("the pooler didn't end well", "error", err)
	}
}
