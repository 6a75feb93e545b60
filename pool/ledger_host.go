package pool

import (
	"errors"
	"math/rand/v2"
	"time"
)

// firstBackoff is the pause after a host's first failed dial; it doubles with
// every further one, up to Settings.LoginRetry.
const firstBackoff = 100 * time.Millisecond

// soonBackoff is the longest pause after a host has said that it will be
// available soon.
const soonBackoff = 500 * time.Millisecond

// outageGap, times Settings.LoginRetry: a failure after this long without an
// attempt is the beginning of a new outage, not the continuation of an old one.
const outageGap = 2

// host is what the ledger knows of where accounts dial to.
type host[S comparable] struct {
	name     string
	accounts []*account[S]
	dialing  int // dials in flight

	// All zero unless the last dials failed.
	failures    int // in a row; dials that were in flight together count once
	failedSince time.Duration
	lastFailure time.Duration
	nextTry     time.Duration
	err         error
}

// hostOf returns the host of that name, made if there is none; without a name
// it is one of its own.
func (l *ledger[S]) hostOf(name string) *host[S] {
	h := l.hosts[name]
	if h == nil {
		h = &host[S]{name: name}
		if name != "" {
			l.hosts[name] = h
		}
	}
	return h
}

func (l *ledger[S]) leaveHost(a *account[S], h *host[S]) {
	h.accounts = deleteFirst(h.accounts, a)
	if len(h.accounts) == 0 && h.name != "" {
		delete(l.hosts, h.name)
	}
}

// allows reports whether the host may be dialed: always while it answers; while
// it is failing, by one dial at a time when the back-off is over.
func (h *host[S]) allows(now time.Duration) bool {
	return h.failures == 0 || h.dialing == 0 && now >= h.nextTry
}

func (h *host[S]) succeeded() {
	h.failures, h.failedSince, h.lastFailure, h.nextTry, h.err = 0, 0, 0, 0, nil
}

// failed notes the failure of a dial that began at that time.
func (h *host[S]) failed(began, now, retry time.Duration, err error, rng *rand.Rand) {
	h.err = err
	retry = max(retry, firstBackoff)
	if h.failures > 0 && began <= h.lastFailure {
		// It began before the failure that is known: no news, no longer pause.
		return
	}
	if h.failures == 0 || began-h.lastFailure > outageGap*retry {
		h.failures, h.failedSince = 0, now
	}
	pause := retry
	if h.failures < 20 {
		pause = min(firstBackoff<<h.failures, retry)
	}
	pause = min(pause+time.Duration(rng.Float64()/4*float64(pause)), retry)
	var soon interface{ Soon() bool }
	if errors.As(err, &soon) && soon.Soon() {
		pause = min(pause, soonBackoff)
	}
	h.failures++
	h.lastFailure = now
	h.nextTry = now + pause
}

// hopeless reports whether there is no point in waiting: nothing is open, the
// host has been failing for as long as waiters are asked to bear, and it is too
// early to try again. While an attempt is possible or under way its outcome is
// awaited, so that nobody is told of an error of long ago.
func (a *account[S]) hopeless(now time.Duration) bool {
	h := a.host
	return h.failures > 0 && a.empty() && !a.paused && now < h.nextTry && now-h.failedSince >= a.set.LoginRetry
}

// hopelessErr is what those who needn't wait are told: the account's own error
// if it has met one since the host began to fail.
func (a *account[S]) hopelessErr() error {
	if a.counts.LastError != nil && a.lastErrAt >= a.host.failedSince {
		return a.counts.LastError
	}
	return a.host.err
}

// armBackoff has a looked at when the back-off of its host is over. If it is
// over already, a dial is in flight and its end does it.
func (l *ledger[S]) armBackoff(a *account[S], now time.Duration, fx *effects[S]) {
	if a.host.nextTry > now {
		l.arm(a, a.host.nextTry, fx)
	}
}

// despair ends the wait of everyone in an account that is hopeless, or has it
// looked at again when it may be.
func (l *ledger[S]) despair(a *account[S], now time.Duration, fx *effects[S]) {
	if a.waiting.n == 0 || a.removed || a.paused || a.host.failures == 0 || !a.empty() {
		return
	}
	if a.hopeless(now) {
		l.failEveryone(a, a.hopelessErr(), fx)
		return
	}
	if at := a.host.failedSince + a.set.LoginRetry; at > now {
		l.arm(a, at, fx)
	}
}
