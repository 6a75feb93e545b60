package metrics

import (
	"context"
	"net"
	"net/http"
	"slices"
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
	// maxKnocks is how many servers are knocked at, at the same time. With more
	// of them each has less time, so that all have their turn.
	maxKnocks = 16
)

// readiness answers /readyz.
type readiness struct {
	proxy *proxy.Proxy // immutable

	mu      sync.Mutex // held while servers are looked for: who asks meanwhile gets the same answer
	checked time.Time
	reached bool
	opened  config.Address // the last one that could be reached
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
		list := addresses(r.proxy.Config())
		if i := slices.Index(list, r.opened); i > 0 {
			list[0], list[i] = list[i], list[0] // it likely can be again
		}
		if at, ok := knock(list); ok {
			r.reached, r.opened = true, at
		} else {
			r.reached = false
		}
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

// knock reports whether a connection to any of the addresses can be made, and
// to which. Nothing is sent: of that Postgres writes a line to its log only with
// log_connections. With no addresses at all there is nothing that could be
// missing.
func knock(list []config.Address) (at config.Address, ok bool) {
	if len(list) == 0 {
		return config.Address{}, true
	}
	ctx, cancel := context.WithTimeout(context.Background(), reachTimeout)
	defer cancel()
	rounds := (len(list) + maxKnocks - 1) / maxKnocks
	share := reachTimeout / time.Duration(rounds)
	slots := make(chan struct{}, maxKnocks)
	reached := make(chan config.Address, len(list))
	var knocks sync.WaitGroup
	for _, a := range list {
		slots <- struct{}{}
		knocks.Go(func() { // ends with its share of the time, and with ctx
			defer func() { <-slots }()
			dialer := net.Dialer{Timeout: share}
			conn, err := dialer.DialContext(ctx, a.Network(), a.String())
			if err == nil {
				_ = conn.Close()
				reached <- a
				cancel() // the others needn't be tried any more
			}
		})
	}
	knocks.Wait()
	select {
	case at = <-reached:
		return at, true
	default:
		return config.Address{}, false
	}
}
