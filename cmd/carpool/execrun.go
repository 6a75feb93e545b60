package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"

	"carpool/cmd/sidecar"
	"carpool/config"
	"carpool/proxy"
	"carpool/proxy/admin"
)

// execution is one `carpool exec` on its way.
type execution struct {
	program *program
	options *execOptions
	plan    *sidecar.Plan
	command []string

	source     *sidecar.Source // of the first URL; nil if it is the environment
	text       string          // what the source said at start
	urls       []*sidecar.URL  // as they were at start
	identities []sidecar.Identity
	pooler     sidecar.Pooler
	reckonings []reckoning
	config     *config.Config
	log        *slog.Logger // what carpool exec has to say itself
	proxy      *proxy.Proxy
	ended      chan error // gets one error when the proxy has ended
}

// run does it all: it reads the URLs, starts the pooler and then the command, and ends after both have.
func (e *execution) run() error {
	if err := e.program.beforeCommand(e.prepare); err != nil {
		return err
	}
	if e.options.explain {
		return e.plan.Explain(e.program.stdout, e.urls, e.config, texts(e.reckonings), e.command)
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
	checkFileLimit(e.config, newLogAt(e.config, out, max(slog.LevelWarn, logLevel(e.config))))
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

// prepare reads everything that is to be known before the pooler starts. It ends at the latest with ctx.
func (e *execution) prepare(ctx context.Context) error {
	found, err := e.readSource(ctx)
	if err != nil {
		return err
	}
	if e.urls, err = e.plan.Read(found); err != nil {
		return err
	}
	e.identities = sidecar.Identities(e.urls)
	e.pooler.Password = rand.Text()
	if e.config, err = e.plan.Config(e.urls, e.identities, e.pooler); err != nil || e.options.share == "" {
		return err
	}
	if err := e.takeShares(ctx); err != nil {
		return err
	}
	e.config, err = e.plan.Config(e.urls, e.identities, e.pooler)
	return err
}
