package supervise

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Child is a command that runs. Its methods may be called from any goroutine.
type Child struct {
	// Immutable.

	command   Command
	pid       int
	log       *slog.Logger
	forwards  chan syscall.Signal
	stops     chan time.Duration
	kick      chan struct{} // one waiting is enough
	ended     chan struct{}
	allEnded  chan struct{}
	broadcast bool // whether anybody but us can have got a signal that we got

	status int // set before ended is closed

	// Guarded by mu.

	mu    sync.Mutex
	owned map[int]bool // children that os/exec waits for
	runs  int          // how many there ever were

	// Owned by the loop.

	witness  *witness // nil when there is none
	doses    doses
	stopSent map[syscall.Signal]bool // forwarded without a witness: once is enough
	ending   ending
	before   map[int]bool // children that this process had before the command
	none     bool         // the kernel says that this process has no children
}

// Start starts a command. The error is a *StartError if the command is to
// blame. Nothing is left running then.
//
// The caller must pass the signals in Signals to Forward from now on; those that
// came earlier may be passed too.
func Start(command Command) (*Child, error) {
	if len(command.Args) == 0 {
		return nil, notFound(`""`, "no command was given", syscall.ENOENT)
	}
	file, problem := lookUp(command.Args[0], command.Environ)
	if problem != nil {
		return nil, problem
	}
	if err := adoptOrphans(); err != nil {
		return nil, err
	}
	c := &Child{
		command: command, log: command.Log,
		forwards: make(chan syscall.Signal), stops: make(chan time.Duration), kick: make(chan struct{}, 1),
		ended: make(chan struct{}), allEnded: make(chan struct{}),
		owned: make(map[int]bool), stopSent: make(map[syscall.Signal]bool), before: childrenNow(), broadcast: canBroadcast(),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	children := make(chan os.Signal, 1) // one waiting is enough: all are looked at
	signal.Notify(children, syscall.SIGCHLD)
	err := c.startLeader(file, command.Args)
	if shell, isScript := asScript(file, command.Args, err); isScript {
		err = c.startLeader(shell[0], shell)
	}
	if err != nil {
		signal.Stop(children)
		return nil, explainStart(command.Args[0], file, err)
	}
	// After the command: a broadcast in between is heard twice, the other way
	// round it would be lost.
	c.callWitness()
	go c.run(children) // ends when nothing is left, and says so by allEnded
	return c, nil
}

// startLeader starts the command from a thread that stays until the command has
// ended: the kernel takes the end of that thread for the end of the parent, and
// tells the command TERM.
func (c *Child) startLeader(file string, args []string) error {
	started := make(chan error)
	go func() { // ends with the command
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		pid, err := syscall.ForkExec(file, args, &syscall.ProcAttr{
			Env: c.command.Environ, Files: []uintptr{0, 1, 2}, Sys: attributes(),
		})
		c.pid = pid
		started <- err
		if err == nil {
			<-c.ended
		}
	}()
	return <-started
}

// canBroadcast reports whether a signal to us can have gone to others as well.
// The first process of a container isn't reached by a kill that names no
// process, and whoever is outside names it alone; only a terminal tells groups.
func canBroadcast() bool {
	if os.Getpid() != 1 {
		return true
	}
	terminal, err := openTerminal()
	if err != nil {
		return false
	}
	terminal.Close() // only asked whether there is one
	return true
}

// PID is the command's process id. It means nothing after Ended.
func (c *Child) PID() int { return c.pid }

// Ended is closed when the command itself has ended. What it started may go on.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Status is what to exit with: the command's exit status, or 128+n if signal n
// killed it. It blocks until the command has ended.
func (c *Child) Status() int {
	<-c.ended
	return c.status
}

// AllEnded is closed when the command and all that it started have ended, or
// were left alone as Command.Abandon says. It comes some seconds late at most if
// a process can't be killed.
func (c *Child) AllEnded() <-chan struct{} { return c.allEnded }

// Forward sees to it that the command gets a signal that came to this process,
// unless it got that by itself. It doesn't wait for that.
func (c *Child) Forward(sig os.Signal) {
	number, ok := sig.(syscall.Signal)
	if !ok {
		return
	}
	select {
	case c.forwards <- number:
	case <-c.allEnded:
	}
}

// Stop tells the command TERM and, when it has ended, what it left behind. All
// that is there after grace is killed. It returns at once; of several calls the
// one that ends first counts.
func (c *Child) Stop(grace time.Duration) {
	select {
	case c.stops <- grace:
	case <-c.allEnded:
	}
}

// Run is RunGroup for as long as the Child is there: the Child doesn't reap what
// is run by it, nor takes it or its group for something that the command has
// left behind. AllEnded waits for it, but it isn't told to end: that is for the
// caller to do, with the context of the exec.Cmd.
func (c *Child) Run(cmd *exec.Cmd) error {
	inGroup(cmd)
	// A process must be known before it can have ended.
	c.mu.Lock()
	err := cmd.Start()
	if err != nil {
		c.mu.Unlock()
		return err
	}
	pid := cmd.Process.Pid
	c.owned[pid] = true
	c.runs++
	c.mu.Unlock()

	err = waitGroup(cmd)
	c.mu.Lock()
	delete(c.owned, pid)
	c.mu.Unlock()
	c.goRound() // it may have hidden others that have ended
	return err
}

// goRound makes the loop look again at what has ended.
func (c *Child) goRound() {
	select {
	case c.kick <- struct{}{}:
	default: // it is about to
	}
}

// run is the loop: it owns all that happens to the command.
func (c *Child) run(children chan os.Signal) {
	defer close(c.allEnded)
	defer signal.Stop(children)
	defer c.dismissWitness()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		c.reap()
		if c.finished(time.Now()) {
			return
		}
		timer.Reset(c.next(time.Now()))
		select {
		case <-children:
		case <-c.kick:
		case <-timer.C:
			c.questionWitness(time.Now())
		case sig := <-c.forwards:
			c.arrived(sig, time.Now())
		case word, ok := <-c.reports():
			c.testified(word, ok, time.Now())
		case grace := <-c.stops:
			c.stop(grace, time.Now())
		}
	}
}

// next is how long the loop may wait for something to happen.
func (c *Child) next(now time.Time) time.Duration {
	wait := time.Hour
	for _, at := range []time.Time{c.questionDue(), c.endingDue(now)} {
		if !at.IsZero() {
			wait = min(wait, max(at.Sub(now), 0))
		}
	}
	return wait
}

// reap collects what has ended.
func (c *Child) reap() {
	if !c.hasEnded() {
		c.reapLeader()
	}
	if w := c.witness; w != nil {
		var status syscall.WaitStatus
		if pid, _ := syscall.Wait4(w.pid, &status, syscall.WNOHANG, nil); pid == w.pid {
			w.reaped = true
			if status.Signaled() { // before it was ready to note signals
				c.doses.witnessed(status.Signal(), time.Now())
			}
			c.loseWitness("it has ended")
		}
	}
	c.none = c.reapOrphans()
}

// reapLeader looks whether the command has ended or stopped.
func (c *Child) reapLeader() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(c.pid, &status, syscall.WNOHANG|syscall.WUNTRACED, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil: // somebody else in this process has reaped it
			c.log.Error(fmt.Sprintf("waiting for the command: %v", err))
			c.status = statusNotRunnable
			close(c.ended)
			return
		case pid == 0:
			return
		case status.Stopped():
			if watched() {
				// The shell that watches us is to see that its job has stopped.
				c.send(os.Getpid(), syscall.SIGSTOP)
			}
		default:
			c.status = exitStatus(status)
			close(c.ended)
			return
		}
	}
}

// hasEnded reports whether the command itself has ended.
func (c *Child) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// send sends a signal to a process that hasn't been reaped.
func (c *Child) send(pid int, sig syscall.Signal) {
	if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
		c.log.Warn("sending a signal", "pid", pid, "signal", sig.String(), "error", err)
	}
}
