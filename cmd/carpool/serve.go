package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"

	"carpool/config"
	"carpool/proxy"
	"carpool/proxy/admin"

	"github.com/spf13/cobra"
)

func serveCommand(p *program) *cobra.Command {
	s := &source{}
	cmd := &cobra.Command{
		Use:   "serve [FILE]",
		Short: "Run the pooler in the foreground.",
		Long: `Run the pooler in the foreground, as a configuration file in PgBouncer's syntax says, or without a file in front of the
database that DATABASE_URL names. CARPOOL_* environment variables override the file, flags override both.

Without a file, CARPOOL_URLS may name several variables with database URLs, and CARPOOL_USERLIST holds users as an auth_file does.

SIGTERM takes no new clients and ends when the last one has left, or after shutdown_timeout; SIGINT ends when running
transactions have; SIGINT after either, or SIGQUIT, ends at once. The status is 1 if that cut off a transaction. SIGHUP reads the
configuration anew.`,
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
	stream := p.stderr
	if c.LogTo == config.LogToStdout {
		stream = p.stdout
	}
	out := newLogWriter(stream)
	defer out.Close()
	r := p.reloadingFrom(s, args)
	r.level.Set(logLevel(c))
	log := newLogAt(c, out, &r.level)
	if s.quiet {
		log = slog.New(slog.DiscardHandler)
	}
	return p.serve(c, log, r)
}

// serve runs a proxy until a signal has ended it.
func (p *program) serve(c *config.Config, log *slog.Logger, r *reloading) (err error) {
	log.Info("starting", "version", version(), "pid", os.Getpid(), "go", runtime.Version())
	warnAtStart(c, log)
	limitMemory(os.DirFS("/"), p.variable(memoryVariable), log)
	pid, err := takePIDFile(c.PIDFile)
	if err != nil {
		return err
	}
	defer func() {
		if removeErr := pid.remove(); err == nil {
			err = removeErr
		}
	}()
	metricsListener, err := listenMetricsFor(c)
	if err != nil {
		return err
	}
	px, err := proxy.New(proxy.Options{Config: c, Log: log})
	if err != nil {
		closeListener(metricsListener)
		return err
	}
	console := admin.New(px, version())
	console.SetOrders(admin.Orders{Reload: r.now, Changed: func(c *config.Config) { r.level.Set(logLevel(c)) }})
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
	go r.run(ctx, px, manager, log)
	if metricsListener != nil {
		helpers.Go(func() { serveMetrics(ctx, metricsListener, px, log) })
	}
	releaseProgram() // most of what starting took isn't needed again
	st := px.State()
	log.Info("event loops", "poller", st.Poller, "event_loops", st.Loops)
	manager.ready(px.Addresses()) // the sockets are open: clients get in
	if err := px.Run(); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	log.Info("stopped")
	if cut := px.CutOff(); cut > 0 {
		return fmt.Errorf("transactions were cut off by the end: %d", cut)
	}
	return nil
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
