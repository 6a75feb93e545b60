package metrics

import (
	"io"
	"net/http"

	"carpool/proxy"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes is how many scrapes are served at the same time; more are refused,
// so that nobody can make carpool busy with them.
const maxScrapes = 4

// NewHandler serves
//
//	/metrics  everything that is counted, in Prometheus's text format
//	/healthz  200 as long as the process answers at all
//	/readyz   200 while new clients are taken and a server can be reached for
//	          them, else 503; /readyz?servers=ignored doesn't look for servers
//	/debug/pprof/  Go's profiles, if metrics_pprof is on
//
// version is the program's name and version. The handler is safe for concurrent
// use and belongs to the caller.
func NewHandler(p *proxy.Proxy, version string) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		newCollector(p, version),
		listeners(p.ListenStats),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		// What can be told is told: a strange name mustn't hide the rest.
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok\n")
	})
	mux.Handle("GET /readyz", &readiness{proxy: p})
	mux.Handle("GET /debug/pprof/{name...}", profiles{p})
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the asker may be gone, which is nobody's loss
}
