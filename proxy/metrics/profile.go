package metrics

import (
	"context"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"carpool/proxy"
)

// maxProfile is how long one profile may be taken, in seconds, and
// profilePatience how long its reader has beyond that.
const (
	maxProfile      = 120
	profilePatience = 10 * time.Second
)

// profiles serves Go's profiles below /debug/pprof/ while metrics_pprof is on,
// all but the command line, which may hold a secret.
type profiles struct{ proxy *proxy.Proxy }

// ServeHTTP implements http.Handler.
func (p profiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seconds, err := strconv.Atoi(r.FormValue("seconds"))
	switch {
	case !p.proxy.Config().MetricsPprof:
		answer(w, http.StatusNotFound, "metrics_pprof is off\n")
		return
	case r.FormValue("seconds") != "" && (err != nil || seconds < 0 || seconds > maxProfile):
		answer(w, http.StatusBadRequest, "seconds isn't a number from 0 to "+strconv.Itoa(maxProfile)+"\n")
		return
	}
	// A profile takes longer than an answer otherwise may.
	const standard = 30 // seconds, where none are given
	deadline := time.Now().Add(time.Duration(max(seconds, standard))*time.Second + profilePatience)
	_ = http.NewResponseController(w).SetWriteDeadline(deadline) // not every writer has one
	r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, &http.Server{}))
	switch name := r.PathValue("name"); name {
	case "profile":
		pprof.Profile(w, r)
	case "trace":
		pprof.Trace(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "cmdline":
		http.NotFound(w, r)
	case "":
		pprof.Index(w, r)
	default:
		pprof.Handler(name).ServeHTTP(w, r)
	}
}
