package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"carpool/config"
	"carpool/proxy"
	"carpool/proxy/metrics"

	"golang.org/x/sys/unix"
)

// Limits on one HTTP request and its connection, and on how many there are.
const (
	httpHeaderTimeout = 5 * time.Second
	httpTimeout       = 10 * time.Second
	httpIdleTimeout   = 2 * time.Minute
	maxHTTPHeader     = 16 << 10
	// maxVisitors is how many connections there are at a time. Descriptors are
	// there for clients, and whoever asks for metrics needn't prove anything.
	maxVisitors = 32
)

// listenMetrics opens the socket for metrics, nil for an empty address.
func listenMetrics(address string) (net.Listener, error) {
	return listenMetricsWith(net.ListenConfig{}, address)
}

// listenMetricsFor is listenMetrics for a carpool that may have to share its
// ports with the one that takes over from it.
func listenMetricsFor(c *config.Config) (net.Listener, error) {
	var options net.ListenConfig
	if c.SOReusePort {
		options.Control = sharePort
	}
	return listenMetricsWith(options, c.MetricsListen)
}

func listenMetricsWith(options net.ListenConfig, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	if host, port, err := net.SplitHostPort(address); err == nil && host == "*" {
		address = ":" + port
	}
	listener, err := options.Listen(context.Background(), "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("metrics_listen: %w; set it to a free port, or stop who has this one", err)
	case err != nil:
		return nil, fmt.Errorf("metrics_listen: %w", err)
	}
	return listener, nil
}

// sharePort lets other processes of the same user listen on the port too.
func sharePort(_, _ string, raw syscall.RawConn) error {
	var optionErr error
	err := raw.Control(func(fd uintptr) {
		optionErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return cmp.Or(err, optionErr)
}

func closeListener(listener net.Listener) {
	if listener != nil {
		_ = listener.Close()
	}
}

// serveMetrics answers until ctx ends, no new connections any more once somebody
// has closed the listener.
func serveMetrics(ctx context.Context, listener net.Listener, px *proxy.Proxy, log *slog.Logger) {
	var v visitors
	server := &http.Server{
		Handler:           metrics.NewHandler(px, version()),
		ReadHeaderTimeout: httpHeaderTimeout,
		ReadTimeout:       httpTimeout,
		WriteTimeout:      httpTimeout,
		IdleTimeout:       httpIdleTimeout,
		MaxHeaderBytes:    maxHTTPHeader,
		ConnState:         v.note,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	release := context.AfterFunc(ctx, func() { _ = server.Close() })
	log.Info("metrics on http://" + listener.Addr().String() + "/metrics")
	err := server.Serve(listener)
	if errors.Is(err, net.ErrClosed) {
		<-ctx.Done() // those who are connected are still answered
	}
	if release() {
		_ = server.Close()
	}
	if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		log.Error("metrics aren't served any more", "error", err)
	}
}

// visitors are the open connections to the metrics.
type visitors struct {
	mu    sync.Mutex
	conns []net.Conn // the one of which nothing was heard for the longest comes first
}

// note is told of each connection's states. One too many costs the one that has
// been quiet for the longest its place: so a health check gets its answer even
// while somebody opens connections without end.
func (v *visitors) note(conn net.Conn, state http.ConnState) {
	if quiet := v.enter(conn, state); quiet != nil {
		_ = quiet.Close()
	}
}

func (v *visitors) enter(conn net.Conn, state http.ConnState) (quiet net.Conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.conns = slices.DeleteFunc(v.conns, func(c net.Conn) bool { return c == conn })
	if state == http.StateClosed || state == http.StateHijacked {
		return nil
	}
	if len(v.conns) == maxVisitors {
		quiet = v.conns[0]
		v.conns = slices.Delete(v.conns, 0, 1)
	}
	v.conns = append(v.conns, conn)
	return quiet
}
