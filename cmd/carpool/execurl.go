package main

import (
	"context"

	"carpool/cmd/sidecar"
	"carpool/cmd/supervise"
)

// readSource reads the URL of the first variable where it is to come from elsewhere than the environment, and else returns nil.
func (e *execution) readSource(ctx context.Context) (*sidecar.Found, error) {
	o := e.options
	if o.urlFile == "" && o.urlCommand == "" {
		return nil, nil
	}
	e.source = &sidecar.Source{
		File: o.urlFile, Command: o.urlCommand, Interval: o.urlInterval,
		Environ: e.program.environ, Stderr: e.program.stderr, Run: supervise.RunGroup,
	}
	if o.urlFile != "" {
		e.source.Interval = urlFileInterval
	}
	var err error
	if e.text, err = e.source.Read(ctx); err != nil {
		return nil, err
	}
	return e.source.Found(e.text), nil
}

// watchSource takes over what the source says until the command has ended: a URL command that hangs mustn't keep us.
func (e *execution) watchSource(ctx context.Context, child *supervise.Child) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-child.Ended():
			stop()
		case <-ctx.Done():
		}
	}()
	defer func() { <-ended }()
	defer stop()
	e.source.Run = child.Run
	current := e.urls[0]
	e.source.Watch(ctx, e.text, func(text string) error {
		next, err := e.renew(text, current)
		if err == nil {
			current = next
		}
		return err
	}, e.complain)
}

// renew takes over another URL for the first variable.
func (e *execution) renew(text string, current *sidecar.URL) (*sidecar.URL, error) {
	urls, err := e.plan.Read(e.source.Found(text))
	if err != nil {
		return nil, err
	}
	next, err := e.plan.Config(urls, e.identities, e.pooler)
	if err != nil {
		return nil, err
	}
	done, err := e.proxy.Reload(next)
	if err != nil {
		return nil, err
	}
	e.log.Info("a new URL for "+e.plan.Variables[0]+" is in use", "server", urls[0].Place(), "pools_replaced", done.Replaced)
	if !urls[0].SameDatabase(current) {
		e.log.Warn("the new URL for "+e.plan.Variables[0]+" leads to another database than the one before", "server", urls[0].Place(), "before", current.Place())
	}
	return urls[0], nil
}

func (e *execution) complain(err error) {
	e.log.Warn("the URL for "+e.plan.Variables[0]+" can't be renewed, the old one stays in use", "error", err)
}
