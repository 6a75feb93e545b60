package main

import (
	"io"
	"log/slog"

	"carpool/config"
)

// newLog makes the logger that a configuration asks for.
func newLog(c *config.Config, w io.Writer) *slog.Logger { return newLogAt(c, w, logLevel(c)) }

// newLogAt is newLog with a level of its own, which may change.
func newLogAt(c *config.Config, w io.Writer, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == config.LogJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
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
