package main

import (
	"context"
	"errors"
	"time"

	"carpool/cmd/sidecar"
	"carpool/proxy"
	"carpool/proxy/upstream"
)

const (
	// sharePatience is how long a server may take to say what it allows.
	sharePatience = 5 * time.Second
	// shareRetry is the time between two attempts to ask it.
	shareRetry = 200 * time.Millisecond
)

// reckoning says how the share of one URL came about.
type reckoning struct {
	text string
	err  error // why it isn't known; nil if it is
}

// texts are reckonings for people to read.
func texts(reckonings []reckoning) []string {
	list := make([]string, len(reckonings))
	for i, r := range reckonings {
		list[i] = r.text
		if r.err != nil {
			list[i] += ": " + r.err.Error()
		}
	}
	return list
}

// takeShares asks the servers how many connections they allow. A server that doesn't answer gets the pool that it would without
// --share. The error is that ctx has ended.
func (e *execution) takeShares(ctx context.Context) error {
	share, err := sidecar.ParseShare(e.options.share)
	if err != nil {
		return err
	}
	for i, u := range e.urls {
		limits, err := e.readLimits(ctx, i)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		size, r := 0, reckoning{text: u.Variable + ": the share isn't known, so the pool has the size that it has without --share", err: err}
		if err == nil {
			size, r.text = limits.Share(share, e.options.share)
			r.text = u.Variable + ": " + r.text
		}
		e.pooler.Shares = append(e.pooler.Shares, size)
		e.reckonings = append(e.reckonings, r)
	}
	return nil
}

// readLimits asks the server of the nth URL what it allows, again and again for some seconds if it isn't there yet.
func (e *execution) readLimits(ctx context.Context, n int) (sidecar.Limits, error) {
	ctx, cancel := context.WithTimeout(ctx, sharePatience)
	defer cancel()
	var problem error
	for {
		row, err := proxy.Ask(ctx, e.config, e.config.Databases[n], sidecar.LimitsQuery)
		switch refusal, refused := errors.AsType[*upstream.LoginError](err); {
		case err == nil:
			return sidecar.ParseLimits(row)
		case refused && refusal.Fatal():
			return sidecar.Limits{}, err
		case ctx.Err() == nil || problem == nil:
			problem = err // the last attempt is cut short, and says only that
		}
		select {
		case <-ctx.Done():
			return sidecar.Limits{}, problem
		case <-time.After(shareRetry):
		}
	}
}
