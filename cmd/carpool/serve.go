package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"syscall"

	"carpool/config"
	"carpool/proxy"
	"carpool/proxy/admin"

	"github.com/spf13/cobra"
)

func serveCommand(p *program) *cobra.Command {
	s := &source{}
	cmd := &cobra.Command{
		Use:   "serve [FILE]",
		Short: "Run the pooler.",
		Long: `Run the pooler, in the foreground unless -d says otherwise, as a configuration file in PgBouncer's syntax says, or without a file in front of the
database that DATABASE_URL names. CARPOOL_* environment variables override the file, flags override both.

Without a file, CARPOOL_URLS may name several variables with database URLs, and CARPOOL_USERLIST holds users as an auth_file does.

SIGTERM takes no new clients and ends when the last one has left, or after shutdown_timeout; SIGINT ends when running
transactions have; SIGINT after either, or SIGQUIT, ends at once. The status is 1 if that cut off a transaction. SIGHUP reads the
configuration anew and opens the logfile anew; SIGUSR1 pauses, SIGUSR2 resumes.`,
		Args: atMostOneFile,
		RunE: func(_ *cobra.Command, args []string) error { return p.serveFrom(s, args) },
	}
	s.addFlags(cmd.Flags())
	return cmd
}

// serveFrom loads the configuration and serves until it is told to stop.
func (p *program) serveFrom(s *source, args []string) error {
	c, err := p.load(s, args)
	if err != nil {
		return err
	}
	back := backgroundOf(p)
	if s.daemon && back == nil {
		return p.daemonize(c)
	}
	if err := becomeUser(c.RunAsUser); err != nil {
		return err
	}
	log, err := newServeLog(c, p, s.quiet || back != nil)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := readable(p.configFile(args)); err != nil {
		log.log.Warn("a reload won't be possible", "error", err)
	}
	err = p.serve(c, serving{log: log.log, reload: p.reloadingFrom(s, args, log), background: back, takeOver: s.takeOver})
	if err != nil && c.LogFormat == config.LogJSON && !log.quiet {
		// A line that isn't JSON would be one too many for who reads them.
		log.log.Error("carpool: " + err.Error())
		return commandEnded{exitFailure}
	}
	return err
}

// readable is an error if a file that is there can't be read. "" is no file.
func readable(name string) error {
	if name == "" {
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	return file.Close()
}

// serving is what a proxy is run with.
type serving struct {
	log        *slog.Logger
	reload     *reloading
	background *background
	takeOver   bool // from the process in the pidfile
}

// serve runs a proxy until a signal has ended it.
func (p *program) serve(c *config.Config, s serving) (err error) {
	log, r := s.log, s.reload
	log.Info("starting", "version", version(), "pid", os.Getpid(), "go", runtime.Version())
	warnAtStart(c, log)
	limitMemory(os.DirFS("/"), p.variable(memoryVariable), log)
	pid, before, err := ownPIDFile(c, s.takeOver)
	if err != nil {
		return err
	}
	defer func() {
		if removeErr := pid.remove(); err == nil {
			err = removeErr
		}
	}()
	sockets, err := p.handedOver()
	if err != nil {
		return err
	}
	metricsListener := sockets.metrics
	if metricsListener == nil {
		if metricsListener, err = listenMetricsFor(c); err != nil {
			return besides(before, err)
		}
	}
	px, err := proxy.New(proxy.Options{Config: c, Log: log, Inherited: sockets.clients, TakeOver: before != 0})
	if err != nil {
		closeListener(metricsListener)
		return besides(before, err)
	}
	if before != 0 {
		if err := takeOverFrom(before, &pid, c.PIDFile, log); err != nil {
			return err
		}
	}
	console := admin.New(px, version())
	console.SetOrders(admin.Orders{Reload: r.now, Changed: func(*config.Config) { r.follow(px) }})
	px.SetConsole(console)

	ctx, stop := context.WithCancel(context.Background())
	var helpers sync.WaitGroup // all of them end with ctx
	defer helpers.Wait()
	defer stop()
	manager := serviceManager{socket: p.variable(notifyVariable), log: log}
	handOver := func() {
		manager.stopping()
		if c.SOReusePort {
			closeListener(metricsListener) // the other process answers from now on
		}
	}
	helpers.Go(func() { console.Run(ctx) })
	helpers.Go(func() { obey(ctx, p.signals, px, r, handOver, log) })
	go r.run(ctx, px, manager)
	go r.watch(ctx, px)
	if metricsListener != nil {
		helpers.Go(func() { serveMetrics(ctx, metricsListener, px, log) })
	}
	releaseProgram() // most of what starting took isn't needed again
	st := px.State()
	log.Info("event loops", "poller", st.Poller, "event_loops", st.Loops)
	manager.ready(px.Addresses()) // the sockets are open: clients get in
	s.background.isReady()
	if err := px.Run(); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	log.Info("stopped")
	if cut := px.CutOff(); cut > 0 {
		return fmt.Errorf("transactions were cut off by the end: %d", cut)
	}
	return nil
}

// ownPIDFile writes the pidfile. With takeOver, if the process in it runs, that
// is before, and the file gets its name in takeOverFrom.
func ownPIDFile(c *config.Config, takeOver bool) (pid pidFile, before int, err error) {
	if takeOver {
		if c.PIDFile == "" || !c.SOReusePort {
			return pid, 0, usageError{errors.New("-R needs a pidfile, which says who is to go, and so_reuseport = 1 for both, who listen side by side for a while")}
		}
		if before = runningPID(c.PIDFile); before != 0 {
			if err := syscall.Kill(before, 0); err != nil { // found out before anything of its is taken
				return pid, 0, fmt.Errorf("-R: process %d can't be told to end: %w", before, err)
			}
			pid, err = nextPIDFile(c.PIDFile)
			return pid, before, err
		}
	}
	pid, err = takePIDFile(c.PIDFile)
	return pid, 0, err
}

// takeOverFrom makes the pidfile ours, and tells the process before us to end
// when its clients have left. We listen already.
func takeOverFrom(before int, pid *pidFile, name string, log *slog.Logger) error {
	if err := pid.putInPlace(name); err != nil {
		return err
	}
	if err := syscall.Kill(before, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("-R: telling process %d to end: %w", before, err)
	}
	log.Info("taking over: the process before serves its clients until they leave", "pid", before)
	return nil
}

// besides is why we can't listen beside the process before us, 0 for none, if
// err says that an address is taken.
func besides(before int, err error) error {
	if before == 0 || !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	return fmt.Errorf("-R: process %d, in the pidfile, has to run with so_reuseport = 1, too, and as the same user: %w", before, err)
}

// warnAtStart logs what an operator should know about the surroundings.
func warnAtStart(c *config.Config, log *slog.Logger) {
	for _, warning := range c.Warnings() {
		log.Warn(warning.String())
	}
	if os.Geteuid() == 0 {
		log.Warn("running as root, which carpool has no need for: start it as a user of its own")
	}
	checkFileLimit(c, log)
}
