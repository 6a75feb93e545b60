package main

import (
	"log/slog"
	"strings"
	"testing"

	"carpool/config"
)

func TestFilesNeeded(t *testing.T) {
	c := config.Default()
	c.MaxClientConn, c.DefaultPoolSize = 1000, 20
	c.AddDatabase(&config.Database{Name: "plain"})
	c.AddDatabase(&config.Database{Name: "reserve", PoolSize: config.Some(3), ReservePoolSize: config.Some(2)})
	c.AddDatabase(&config.Database{Name: "open", PoolSize: config.Some(0)})
	c.AddDatabase(&config.Database{Name: "bounded", PoolSize: config.Some(0), MaxDBConnections: config.Some(7)})
	if got, want := filesNeeded(c), 1000+otherFiles+20+5+1000+7; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

func TestWarningAboutTooFewFiles(t *testing.T) {
	for _, row := range []struct {
		clients int
		want    string
	}{{10, "level=INFO msg=\"file descriptors\""}, {1_000_000_000, "level=WARN"}} {
		c := config.Default()
		c.MaxClientConn = row.clients
		var out strings.Builder
		checkFileLimit(c, slog.New(slog.NewTextHandler(&out, nil)))
		if !strings.Contains(out.String(), row.want) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%d clients: %s", row.clients, out.String())
		}
	}
}
