package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"syscall"

	"carpool/proxy"
)

// obey does what signals say until ctx ends.
func obey(ctx context.Context, signals <-chan os.Signal, px *proxy.Proxy, log *slog.Logger) {
	stopping := false
	for {
		var sig os.Signal
		select {
		case <-ctx.Done():
			return
		case sig = <-signals:
		}
		mode := proxy.Immediate
		switch sig {
		case syscall.SIGHUP:
			log.Warn("got a signal to reload, which isn't built yet: restart carpool instead")
			continue
		case syscall.SIGUSR1, syscall.SIGUSR2:
			log.Warn("got a signal to pause or to resume, which isn't built yet")
			continue
		case syscall.SIGTERM:
			mode = proxy.WaitForClients
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
