package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"carpool/proxy"
)

// repeatTime is how soon after a signal to stop a SIGTERM is still the same
// one: platforms send it to each process, and again while they wait.
const repeatTime = 5 * time.Second

// ending is what the signals to stop have come to so far. The zero ending is
// none.
type ending struct{ last time.Time } // when the last of them came

// mode is how a signal that came now makes the process end. ok is false if it
// is one that has been obeyed already.
func (e *ending) mode(sig os.Signal, now time.Time) (mode proxy.ShutdownMode, ok bool) {
	first, repeated := e.last.IsZero(), now.Sub(e.last) < repeatTime
	e.last = now
	switch {
	case sig == syscall.SIGTERM && first:
		return proxy.WaitForClients, true
	case sig == syscall.SIGTERM && repeated:
		return 0, false
	case sig == syscall.SIGINT && first:
		return proxy.WaitForServers, true
	default:
		return proxy.Immediate, true
	}
}

// obey does what signals say until ctx ends. handOver is called before the
// first shutdown.
func obey(ctx context.Context, signals <-chan os.Signal, px *proxy.Proxy, r *reloading, handOver func(), log *slog.Logger) {
	var end ending
	var pauses sync.WaitGroup // all of them end with ctx
	defer pauses.Wait()
	for {
		var sig os.Signal
		select {
		case <-ctx.Done():
			return
		case sig = <-signals:
		}
		switch sig {
		case syscall.SIGHUP:
			r.ask()
			continue
		case syscall.SIGUSR1:
			if err := px.Hold(""); err != nil {
				log.Warn("got a signal to pause, and can't", "error", err)
				continue
			}
			log.Info("PAUSE command issued", "signal", "SIGUSR1")
			pauses.Go(func() {
				if px.AwaitHeld(ctx, "") == nil {
					log.Info("paused: no server connection is open; SIGUSR2 resumes")
				}
			})
			continue
		case syscall.SIGUSR2:
			if err := px.Resume(""); err != nil {
				log.Warn("got a signal to resume, and can't", "error", err)
				continue
			}
			log.Info("RESUME command issued", "signal", "SIGUSR2")
			continue
		}
		if end.last.IsZero() {
			handOver()
		}
		mode, ok := end.mode(sig, time.Now())
		if !ok {
			log.Info("got signal " + sig.String() + " again, which changes nothing so soon; SIGINT or SIGQUIT ends at once")
			continue
		}
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
