package admin

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"carpool/proxy"
)

// Every order leaves a line in the log that says who has given it, and one that
// wasn't carried out says so; what changes nothing leaves none.
func TestOrdersAreLogged(t *testing.T) {
	const who = " client=10.0.0.7:41000 user=boss"
	for sql, want := range map[string]string{
		"SHOW POOLS":                  "",
		"SET application_name = psql": "",
		"SET default_pool_size = 20":  "", // as it was
		"NONSENSE":                    "",
		"PAUSE":                       `INFO msg="PAUSE command issued"` + who,
		"pause db;":                   `INFO msg="PAUSE command issued"` + who + " database=db",
		"RESUME db": `INFO msg="RESUME command issued"` + who + ` database=db
			INFO msg="RESUME command wasn't carried out"` + who + ` database=db sqlstate=55000 error="database db is not paused"`,
		"DISABLE db":                `INFO msg="DISABLE command issued"` + who + " database=db",
		"ENABLE db":                 `INFO msg="ENABLE command issued"` + who + " database=db",
		"RECONNECT":                 `INFO msg="RECONNECT command issued"` + who,
		"KILL db":                   `INFO msg="KILL command issued"` + who + " database=db",
		"WAIT_CLOSE":                `INFO msg="WAIT_CLOSE command issued"` + who,
		"RELOAD":                    `INFO msg="RELOAD command issued"` + who,
		"SHUTDOWN WAIT_FOR_CLIENTS": `INFO msg="SHUTDOWN command issued"` + who + " mode=WAIT_FOR_CLIENTS",
		"KILL_CLIENT 7": `INFO msg="KILL_CLIENT command issued"` + who + ` id=7
			INFO msg="KILL_CLIENT command wasn't carried out"` + who + ` id=7 sqlstate=42704 error="client not found"`,
		"SET default_pool_size = 7":       `INFO msg="SET command issued"` + who + " setting=default_pool_size old=20 new=7",
		"SET default_pool_size = hunter2": `INFO msg="SET command wasn't carried out"` + who + " setting=default_pool_size sqlstate=22023",
		"SET listen_port = 7":             `INFO msg="SET command wasn't carried out"` + who + " setting=listen_port sqlstate=55000",
		"PAUSE \"a\x1b[31m\"": `INFO msg="PAUSE command issued"` + who + ` database=a?[31m
			INFO msg="PAUSE command wasn't carried out"` + who + ` database=a?[31m sqlstate=3D000 error="no such database: a?[31m"`,
	} {
		var lines strings.Builder
		text := slog.NewTextHandler(&lines, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
		log := slog.New(text).With("client", "10.0.0.7:41000", "user", "boss")
		c := New(newProxy(t, nil, dbEntry()), "carpool 1.2")
		c.SetOrders(Orders{Reload: func(context.Context) (proxy.Reloaded, error) { return proxy.Reloaded{}, nil }})
		s := c.Open("boss", true, log)
		ask(t, s, sql)
		s.Close()
		var wanted strings.Builder
		for line := range strings.Lines(want) {
			wanted.WriteString("level=" + strings.TrimSpace(line) + "\n")
		}
		if got := lines.String(); got != wanted.String() {
			t.Errorf("%s logs\n%swant\n%s", sql, got, wanted.String())
		}
	}
}
