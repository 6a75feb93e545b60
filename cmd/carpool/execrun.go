package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"carpool/cmd/sidecar"
	"carpool/cmd/supervise"
	"carpool/config"
	"carpool/proxy"
	"carpool/proxy/admin"

	"golang.org/x/term"
)

// execution is one `carpool exec` on its way.
type execution struct {
	program *program
	options *execOptions
	plan    *sidecar.Plan
	command []string

	source     *sidecar.Source // of the first URL; nil if it is the environment
	text       string          // what the source said at start
	urls       []*sidecar.URL
	identities []sidecar.Identity
	pooler     sidecar.Pooler
	reckonings []string // how the shares came about
	config     *config.Config
	log        *slog.Logger // what carpool exec has to say itself
	proxy      *proxy.Proxy
	ended      chan error // gets one error when the proxy has ended
}

const (
	// tellGrace is how long processes have to end after they were told to for the last time.
	tellGrace = 2 * time.Second
	// terminalPatience is how long what a command leaves behind is waited for at a terminal.
	terminalPatience = time.Second
)

// run does it all: it reads the URLs, starts the pooler and then the command, and ends after both have.
func (e *execution) run() error {
	if err := e.prepare(); err != nil {
		return err
	}
	if e.options.explain {
		return e.plan.Explain(e.program.stdout, e.urls, e.config, e.reckonings, e.command)
	}
	certificate, err := newCertificate()
	if err != nil {
		return err
	}
	defer certificate.remove()
	e.pooler.Certificate = certificate.path
	if e.config, err = e.plan.Config(e.urls, e.identities, e.pooler); err != nil {
		return err
	}
	out := newLogWriter(e.program.stderr)
	defer out.Close()
	ours := *e.config
	if e.plan.Given("log_level") == "" {
		ours.LogLevel = config.LogInfo
	}
	e.log = newLog(&ours, out)
	metricsListener, err := listenMetrics(e.config.MetricsListen)
	if err != nil {
		return err
	}
	if e.proxy, err = proxy.New(proxy.Options{Config: e.config, Log: newLog(e.config, out)}); err != nil {
		closeListener(metricsListener)
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	var helpers sync.WaitGroup // all of them end with ctx
	defer helpers.Wait()
	defer stop()
	if len(e.config.AdminUsers)+len(e.config.StatsUsers) > 0 {
		console := admin.New(e.proxy, version())
		e.proxy.SetConsole(console)
		helpers.Go(func() { console.Run(ctx) })
	}
	if metricsListener != nil {
		helpers.Go(func() { serveMetrics(ctx, metricsListener, e.proxy, e.log) })
	}
	e.ended = make(chan error, 1)
	go func() { e.ended <- e.proxy.Run() }()
	return e.supervise(ctx, &helpers)
}

// prepare reads everything that is to be known before the pooler starts.
func (e *execution) prepare() error {
	ctx := context.Background()
	instead := make(map[string]string)
	if o := e.options; o.urlFile != "" || o.urlCommand != "" {
		e.source = &sidecar.Source{
			File: o.urlFile, Command: o.urlCommand, Interval: o.urlInterval,
			Environ: e.program.environ, Stderr: e.program.stderr, Run: (*exec.Cmd).Run,
		}
		if o.urlFile != "" {
			e.source.Interval = urlFileInterval
		}
		var err error
		if e.text, err = e.source.Read(ctx); err != nil {
			return err
		}
		instead[e.plan.Variables[0]] = e.text
	}
	var err error
	if e.urls, err = e.plan.Read(instead); err != nil {
		return err
	}
	e.identities = sidecar.Identities(e.urls)
	e.pooler.Password = rand.Text()
	if e.config, err = e.plan.Config(e.urls, e.identities, e.pooler); err != nil || e.options.share == "" {
		return err
	}
	e.takeShares(ctx)
	e.config, err = e.plan.Config(e.urls, e.identities, e.pooler)
	return err
}

// takeShares asks the servers how many connections they allow. A server that doesn't answer gets the pool that it would without
// --share.
func (e *execution) takeShares(ctx context.Context) {
	share, err := sidecar.ParseShare(e.options.share)
	if err != nil {
		return // check has refused it
	}
	for i, u := range e.urls {
		size, reckoning := 0, ""
		limits, err := sidecar.ReadLimits(ctx, e.config, i)
		if err != nil {
			reckoning = fmt.Sprintf("%s: the share isn't known, so the pool has its default size: %v", u.Variable, err)
		} else {
			size, reckoning = limits.Share(share, e.options.share)
			reckoning = u.Variable + ": " + reckoning
		}
		e.pooler.Shares = append(e.pooler.Shares, size)
		e.reckonings = append(e.reckonings, reckoning)
	}
}

// supervise starts the command and returns when the command, what it started and the pooler have ended.
func (e *execution) supervise(ctx context.Context, helpers *sync.WaitGroup) error {
	signals := newExecSignals(e.program.ignored)
	defer signals.stop()
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
	child, err := supervise.Start(command)
	if err != nil {
		e.proxy.Shutdown(proxy.Immediate)
		err = errors.Join(err, <-e.ended)
		if problem, ok := errors.AsType[*supervise.StartError](err); ok {
			fmt.Fprintf(e.program.stderr, "carpool: %v\n", err)
			return commandEnded{problem.Status}
		}
		return err
	}
	if e.source != nil {
		e.source.Run = child.Run
		watching, stopWatching := context.WithCancel(ctx)
		helpers.Go(func() { e.source.Watch(watching, e.text, e.renew, e.complain) })
		helpers.Go(func() { // a URL command that hangs mustn't keep us
			defer stopWatching()
			select {
			case <-child.Ended():
			case <-ctx.Done():
			}
		})
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

// smallInterval is the time between two looks for memory that can be done without. It costs less than a millisecond each time.
const smallInterval = 10 * time.Second

// staySmall keeps pages that only start-up and logins have touched from counting until ctx ends.
func staySmall(ctx context.Context) {
	timer := time.NewTimer(time.Second) // start-up is over by then
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			releaseProgram()
			timer.Reset(smallInterval)
		}
	}
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

// door is where the pooler lets the command in.
func (e *execution) door() sidecar.Door {
	door := sidecar.Door{Password: e.pooler.Password}
	if e.config.UnixSocketDir != "" {
		door.SocketDir, door.Port = e.config.UnixSocketDir, strconv.Itoa(e.config.ListenPort)
		return door
	}
	host, port, err := net.SplitHostPort(e.proxy.Addresses()[0])
	if err != nil {
		return door
	}
	switch {
	case host == "0.0.0.0":
		host = "127.0.0.1"
	case host == "::":
		host = "::1"
	}
	door.Host, door.Port = host, port
	return door
}

// announce says once what has been set up.
func (e *execution) announce(notes []string) {
	for i, u := range e.urls {
		limits := e.config.Resolve(e.config.Databases[i], e.config.Databases[i].User)
		e.log.Info("pooling "+u.Variable, "server", u.Place(), "server_connections", sidecar.PoolSize(e.config, i),
			"mode", limits.PoolMode.String(), "listen", strings.Join(e.proxy.Addresses(), " "))
	}
	for _, reckoning := range e.reckonings {
		e.log.Info(reckoning)
	}
	for _, note := range notes {
		e.log.Info(note)
	}
	for _, warning := range e.config.Warnings() {
		e.log.Warn(warning.String())
	}
}

// renew takes over another URL for the first variable.
func (e *execution) renew(text string) error {
	urls, err := e.plan.Read(map[string]string{e.plan.Variables[0]: text})
	if err != nil {
		return err
	}
	next, err := e.plan.Config(urls, e.identities, e.pooler)
	if err != nil {
		return err
	}
	done, err := e.proxy.Reload(next)
	if err != nil {
		return err
	}
	e.log.Info("a new URL for "+e.plan.Variables[0]+" is in use", "server", urls[0].Place(), "pools_replaced", done.Replaced)
	return nil
}

func (e *execution) complain(err error) {
	e.log.Warn("the URL for "+e.plan.Variables[0]+" can't be renewed, the old one stays in use", "error", err)
}

// execSignals are the signals that `carpool exec` wants besides those that every command gets.
type execSignals struct {
	more   chan os.Signal
	unread chan os.Signal
}

func newExecSignals(ignored []os.Signal) *execSignals {
	for _, sig := range ignored {
		signal.Ignore(sig) // again, so that the command has it as we had
	}
	s := &execSignals{more: make(chan os.Signal, 16), unread: make(chan os.Signal, 1)}
	more := slices.DeleteFunc(supervise.Signals(), func(sig os.Signal) bool { return slices.Contains(handledSignals[:], sig) })
	signal.Notify(s.more, more...)
	// main ignores this one, and so would the command. One that is handled is as usual again in a new process.
	signal.Notify(s.unread, syscall.SIGPIPE)
	return s
}

func (s *execSignals) stop() {
	signal.Stop(s.more)
	signal.Stop(s.unread)
}
