package metrics

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"carpool/config"
	"carpool/proxy"
)

const (
	// reachTimeout bounds how long servers have to accept a connection.
	reachTimeout = time.Second
	// reachValidity is how long it is taken for granted what was found out, so
	// that nobody can make carpool knock at servers more often than that.
	reachValidity = time.Second
	// maxKnocks is how many servers are knocked at, at the same time.
	maxKnocks = 16
)

// readiness answers /readyz.
type readiness struct {
	proxy *proxy.Proxy // immutable

	mu      sync.Mutex // held while servers are looked for: who asks meanwhile gets the same answer
	checked time.Time
	reached bool
}

// ServeHTTP implements http.Handler.
func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case r.proxy.State().Stopping:
		answer(w, http.StatusServiceUnavailable, "shutting down\n")
	case req.URL.Query().Get("servers") != "ignored" && !r.reachable():
		answer(w, http.StatusServiceUnavailable, "no server can be reached\n")
	default:
		answer(w, http.StatusOK, "ready\n")
	}
}

// reachable reports whether at least one server can be reached. One that there
// are connections to is; otherwise it takes an attempt, because carpool by
// itself makes none as long as no client comes.
func (r *readiness) reachable() bool {
	for _, v := range r.proxy.Pools() {
		if v.Pool.Open > v.Pool.Dialing {
			return true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.checked.IsZero() || time.Since(r.checked) > reachValidity {
		r.reached = knock(addresses(r.proxy.Config()))
		r.checked = time.Now()
	}
	return r.reached
}

// addresses are those of all servers, each once.
func addresses(c *config.Config) []config.Address {
	var list []config.Address
	known := make(map[config.Address]bool)
	for _, d := range c.Databases {
		for _, a := range c.Addresses(d) {
			if !known[a] {
				known[a] = true
				list = append(list, a)
			}
		}
	}
	return list
}

// knock reports whether a connection to any of the addresses can be made. Nothing
// is sent, which Postgres doesn't mention in its log. With no addresses at all
// there is nothing that could be missing.
func knock(list []config.Address) bool {
	if len(list) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), reachTimeout)
	defer cancel()
	slots := make(chan struct{}, maxKnocks)
	answers := make(chan bool)
	for _, a := range list {
		go func() { // ends with ctx; its answer is waited for below
			slots <- struct{}{}
			defer func() { <-slots }()
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, a.Network(), a.String())
			if err == nil {
				_ = conn.Close()
			}
			answers <- err == nil
		}()
	}
	reached := false
	for range list {
		if <-answers {
			reached = true
			cancel()
		}
	}
	return reached
}
