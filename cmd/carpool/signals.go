package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"syscall"
	"time"

	"carpool/proxy"
)

// obey does what signals say until ctx ends.
func obey(ctx context.Context, signals <-chan os.Signal, px *proxy.Proxy, r *reloading, log *slog.Logger) {
	stopping := false
	var late <-chan time.Time // clients have had their time to leave by themselves
	for {
		var sig os.Signal
		select {
		case <-ctx.Done():
			return
		case <-late:
			log.Info("half of shutdown_timeout is over: clients in no transaction have to go")
			px.Shutdown(proxy.WaitForServers)
			continue
		case sig = <-signals:
		}
		mode := proxy.Immediate
		switch sig {
		case syscall.SIGHUP:
			r.reload(px, log)
			continue
		case syscall.SIGUSR1, syscall.SIGUSR2:
			log.Warn("got a signal to pause or to resume, which isn't built yet")
			continue
		case syscall.SIGTERM:
			mode = proxy.WaitForClients
			if limit := px.Config().ShutdownTimeout; limit > 0 {
				late = time.After(limit / 2)
			}
		case syscall.SIGINT:
			mode = proxy.WaitForServers
		}
		if stopping {
			mode = proxy.Immediate
		}
		stopping = true
		log.Info("got signal " + sig.String())
		px.Shutdown(mode)
	}
}

// interruptible runs f with a context that the first signal to stop ends. If
// that is what ended f, the error is errCanceled.
func (p *program) interruptible(f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	stopped := make(chan struct{})
	defer func() { <-stopped }()
	defer cancel(nil)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-ctx.Done():
				return
			case sig := <-p.signals:
				if isStop(sig) {
					cancel(errCanceled)
				}
			}
		}
	}()
	err := f(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, errCanceled) {
		return errCanceled // what was torn off in the middle is of no interest
	}
	return err
}

// isStop reports whether a signal asks a command to stop.
func isStop(sig os.Signal) bool {
	switch sig {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP:
		return true
	}
	return false
}
