package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"carpool/proxy"
	"carpool/proxy/metrics"
)

// Limits on one HTTP request and its connection.
const (
	httpTimeout     = 10 * time.Second
	httpIdleTimeout = 2 * time.Minute
	maxHTTPHeader   = 16 << 10
)

// listenMetrics opens the socket for metrics, nil for an empty address.
func listenMetrics(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics_listen: %w", err)
	}
	return listener, nil
}

func closeListener(listener net.Listener) {
	if listener != nil {
		_ = listener.Close()
	}
}

// serveMetrics answers until ctx ends. It owns the listener.
func serveMetrics(ctx context.Context, listener net.Listener, px *proxy.Proxy, log *slog.Logger) {
	server := &http.Server{
		Handler:           metrics.NewHandler(px, version()),
		ReadHeaderTimeout: httpTimeout,
		ReadTimeout:       httpTimeout,
		WriteTimeout:      httpTimeout,
		IdleTimeout:       httpIdleTimeout,
		MaxHeaderBytes:    maxHTTPHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	release := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer release()
	log.Info("metrics on http://" + listener.Addr().String() + "/metrics")
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Error("metrics aren't served any more", "error", err)
	}
}
