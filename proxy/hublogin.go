package proxy

import (
	"context"
	"fmt"

	"carpool/proxy/notify"
	"carpool/proxy/upstream"
	"carpool/proxy/wire"
)

// Whose login a hub's connection has: that of one of the routes whose clients
// listen. It stays with that one, also when its own clients have ceased to
// listen, until
//
//	the login is refused       the next route's is tried at once
//	the route's login changes  the connection is opened anew by the next route's,
//	or the route ends          and perhaps by the same one's, as it is now then
//
// A route that was superseded gives no login: the configuration has its user no
// more. Where there are only such, the hub waits for the first session that goes
// over to another.

// hubName is how a hub's connection is called on the server.
const hubName = "carpool listen"

// maxHubLogins is how many routes' logins are tried before the hub waits and
// begins again, with the next one.
const maxHubLogins = 8

// dial opens the hub's connection, the way that servers are opened now.
func (d *databaseHub) dial(ctx context.Context) (*notify.Conn, error) {
	if err := d.proxy.awaitResumed(ctx, d.database); err != nil {
		return nil, err
	}
	var first *route
	var refusal error
	for range maxHubLogins {
		r, err := d.awaitLogin(ctx)
		if err != nil {
			return nil, err
		}
		if r == first {
			break // all have been tried
		}
		t := r.terms.Load() // after the hub has noted whose they are, see hubs.renew
		up, err := upstream.Dial(ctx, t.dest.target, []wire.Param{{Name: "application_name", Value: hubName}})
		if err == nil {
			if refusal != nil {
				d.proxy.log.Warn("the connection for notifications is another user's, since one was refused",
					"database", d.database, "user", t.user, "error", refusal)
			}
			return &notify.Conn{FD: up.FD, TLS: up.TLS, Rest: up.Rest, PID: up.PID}, nil
		}
		err = fmt.Errorf("as user %q: %w", t.user, err)
		if !refusesLogin(err) {
			return nil, err // as it would another's
		}
		if first == nil {
			first = r
		}
		refusal = err
		d.tryNext(r)
	}
	return nil, refusal
}

// refusesLogin reports whether a server that couldn't be opened may well let
// somebody else in.
func refusesLogin(err error) bool {
	switch upstream.FailureOf(err) {
	case upstream.FailureCredentials, upstream.FailureRefused, upstream.FailureFull:
		return true
	}
	return false
}

// awaitLogin returns the route whose login is to be tried now, and notes that it
// is. It blocks while there is none, or until ctx is done.
func (d *databaseHub) awaitLogin(ctx context.Context) (*route, error) {
	h := &d.proxy.hubs
	for {
		h.mu.Lock()
		if d.login = d.chooseLocked(); d.login != nil {
			r := d.login
			d.next = r.serial
			h.mu.Unlock()
			return r, nil
		}
		if d.joined == nil {
			d.joined = make(chan struct{})
		}
		joined := d.joined
		h.mu.Unlock()
		select {
		case <-joined:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// chooseLocked is the route whose turn it is, nil if there is none.
func (d *databaseHub) chooseLocked() (chosen *route) {
	for r := range d.listening {
		if !r.superseded.Load() && (chosen == nil || d.before(r, chosen)) {
			chosen = r
		}
	}
	return chosen
}

// before reports whether the turn of a comes before that of b: by their serials,
// beginning with next, around.
func (d *databaseHub) before(a, b *route) bool { return a.serial-d.next < b.serial-d.next }

// tryNext notes that a route's login was refused.
func (d *databaseHub) tryNext(r *route) {
	h := &d.proxy.hubs
	h.mu.Lock()
	defer h.mu.Unlock()
	d.next = r.serial + 1
}

// renew is told of routes that have ended or are logged in otherwise now. Who
// calls it has stored the new terms before, so that a dial that begins meanwhile
// either has them or is noted.
func (h *hubs) renew(routes ...*route) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range routes {
		if d := h.list[r.database]; d != nil && d.login == r {
			d.login, d.next = nil, r.serial+1
			d.hub.Reopen()
		}
	}
}

// lives reports whether clients listen by the login of a route.
func (h *hubs) lives(r *route) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.list[r.database]
	return d != nil && d.login == r && len(d.listening) > 0
}
