// Package metrics shows a running proxy to monitoring: Prometheus's text format
// at /metrics, and two endpoints for whatever starts and stops carpool,
// /healthz and /readyz.
//
// It counts nothing itself. Each scrape reads the proxy's own counters
// (collector.go) and forgets them again, so that it costs nothing between
// scrapes. NewHandler makes the whole; who serves it, and where, is up to the
// caller.
package metrics
