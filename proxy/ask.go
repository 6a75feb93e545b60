package proxy

import (
	"context"
	"log/slog"

	"carpool/config"
	"carpool/proxy/upstream"
)

// Ask logs in to a server of a database just as its pool would, runs a query,
// and returns the last row, with "" for NULL and nil for no row at all. The
// database's connect_query isn't run. The connection is closed again. Ask blocks
// until then or until ctx ends, and not longer than server_connect_timeout. The
// error is one line without a secret; where a server refused it wraps an
// *upstream.LoginError.
func Ask(ctx context.Context, c *config.Config, d *config.Database, query string) ([]string, error) {
	n, err := loadSettings(c, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	target := n.targetFor(d, d.User, n.Resolve(d, d.User))
	target.ConnectQuery, target.ConnectSettings = query, false
	server, err := upstream.Dial(ctx, target, nil)
	if err != nil {
		return nil, err
	}
	_ = server.Close() // it has said what we wanted to know
	return server.Answer, nil
}
