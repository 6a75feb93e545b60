package main

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"carpool/config"
)

// newLog makes a logger to one writer, as a configuration asks for.
func newLog(c *config.Config, w io.Writer) *slog.Logger { return newLogAt(c, w, logLevel(c)) }

// newLogAt is newLog with a level of its own, which may change.
func newLogAt(c *config.Config, w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(lineHandler(c.LogFormat, w, level))
}

// lineHandler writes one line for each record, whatever is in it.
func lineHandler(format config.LogFormat, w io.Writer, level slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if format == config.LogJSON {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// logLevel is log_level, lowered by verbose.
func logLevel(c *config.Config) slog.Level {
	switch {
	case c.Verbose > 0 || c.LogLevel == config.LogDebug:
		return slog.LevelDebug
	case c.LogLevel == config.LogWarn:
		return slog.LevelWarn
	case c.LogLevel == config.LogError:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

// logTargets are the handlers that each record goes to.
type logTargets []slog.Handler

// logHandler passes records on to targets that may be replaced at any time. What
// With has added is kept apart and handed over with each record, so a logger
// that was made before follows the change.
type logHandler struct {
	targets *atomic.Pointer[logTargets]
	added   []func(slog.Handler) slog.Handler
}

// Enabled implements slog.Handler.
func (h logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	for _, target := range *h.targets.Load() {
		if target.Enabled(ctx, level) {
			return true
		}
	}
	return false
}

// Handle implements slog.Handler. It never fails: there is nowhere to tell.
func (h logHandler) Handle(ctx context.Context, record slog.Record) error {
	for _, target := range *h.targets.Load() {
		if !target.Enabled(ctx, record.Level) {
			continue
		}
		for _, add := range h.added {
			target = add(target)
		}
		_ = target.Handle(ctx, record.Clone())
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(target slog.Handler) slog.Handler { return target.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler {
	return h.with(func(target slog.Handler) slog.Handler { return target.WithGroup(name) })
}

func (h logHandler) with(add func(slog.Handler) slog.Handler) slog.Handler {
	h.added = append(h.added[:len(h.added):len(h.added)], add)
	return h
}
