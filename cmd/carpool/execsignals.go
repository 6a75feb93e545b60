package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"carpool/cmd/supervise"
)

// execSignals are the signals that `carpool exec` wants besides those that every command gets.
type execSignals struct{ more chan os.Signal }

func newExecSignals(ignored []os.Signal) *execSignals {
	restoreSignals(ignored)
	s := &execSignals{more: make(chan os.Signal, 16)}
	more := slices.DeleteFunc(supervise.Signals(), func(sig os.Signal) bool { return slices.Contains(handledSignals[:], sig) })
	signal.Notify(s.more, more...)
	return s
}

func (s *execSignals) stop() { signal.Stop(s.more) }

// restoreSignals sees to it that a command has signals as we had them: what is ignored stays ignored in a new program, what is
// handled is as usual again.
func restoreSignals(ignored []os.Signal) {
	for _, sig := range ignored {
		signal.Ignore(sig)
	}
	if !slices.Contains(ignored, os.Signal(syscall.SIGPIPE)) {
		// main ignores this one. Nobody reads what is sent here.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
}

// stoppedBefore is how carpool ends when a signal comes before the command has been started: as the command would have.
func (p *program) stoppedBefore(sig os.Signal) (ended commandEnded, ok bool) {
	number, known := sig.(syscall.Signal)
	if !known || !isStop(sig) || slices.Contains(p.ignored, sig) {
		return commandEnded{}, false
	}
	return commandEnded{128 + int(number)}, true
}

// beforeCommand runs f with a context that ends with the first signal to stop, which is then the error, and all that is left to be
// done. Other signals find nobody there.
func (p *program) beforeCommand(f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		for {
			select {
			case <-ctx.Done():
				return
			case sig := <-p.signals:
				if ended, ok := p.stoppedBefore(sig); ok {
					fmt.Fprintf(p.stderr, "carpool: %v before the command was started\n", sig)
					cancel(ended)
				}
			}
		}
	}()
	err := f(ctx)
	cancel(nil)
	<-listening
	if ended, ok := context.Cause(ctx).(commandEnded); ok {
		return ended
	}
	return err
}

// toldToStop is the same for signals that have come since.
func (p *program) toldToStop() error {
	for {
		select {
		case sig := <-p.signals:
			if ended, ok := p.stoppedBefore(sig); ok {
				fmt.Fprintf(p.stderr, "carpool: %v before the command was started\n", sig)
				return ended
			}
		default:
			return nil
		}
	}
}
