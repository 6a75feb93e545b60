package admin

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"carpool/config"
	"carpool/proxy"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
)

// Connections that never get on with their logins keep nobody out, neither an
// operator nor a client, however far they have come.
func TestFloodOfLogins(t *testing.T) {
	const limit, flood = 30, 200
	users := t.TempDir() + "/users.txt"
	if err := os.WriteFile(users, []byte("\"app\" \"word\"\n\"boss\" \"word\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := makeProxy(t, map[string]string{
		"auth_file": users, "auth_type": "scram-sha-256", "pool_mode": "transaction", "admin_users": "boss", "tcp_defer_accept": "0",
		"max_client_conn": "10", "max_client_logins": fmt.Sprint(limit), "event_loops": "2",
	}, &config.Database{Name: "*", Hosts: []string{postgres.Host()}, Ports: []int{postgres.Port()}})
	p.SetConsole(New(p, "carpool 1.2"))
	r := &running{t: t, proxy: p, ended: make(chan error, 1)}
	go func() { r.ended <- p.Run() }()
	t.Cleanup(func() {
		p.Shutdown(proxy.Immediate)
		r.wait()
	})
	startup := wire.AppendStartup(nil, wire.Protocol30, []wire.Param{{Name: "user", Value: "app"}, {Name: "database", Value: "app"}})
	for name, bytes := range map[string][]byte{"silent": nil, "half a packet": startup[:9], "no password": startup} {
		t.Run(name, func(t *testing.T) {
			accepted, gaveWay := p.State().Accepted, p.State().GaveWay
			var first net.Conn
			for range flood {
				conn, err := net.Dial("tcp", p.Addresses()[0])
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_, _ = conn.Write(bytes)
				if first == nil {
					first = conn
				}
			}
			for _, database := range []string{"pgbouncer", "app"} {
				user := map[string]string{"pgbouncer": "boss", "app": "app"}[database]
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				conn, err := pgconn.Connect(ctx, fmt.Sprintf("postgres://%s:word@%s/%s?sslmode=disable", user, p.Addresses()[0], database))
				cancel()
				if err != nil {
					t.Fatalf("%s at %s: %v", user, database, err)
				}
				defer conn.Conn().Close()
			}
			_ = first.SetReadDeadline(time.Now().Add(patience))
			told, err := io.ReadAll(first)
			if err != nil || !strings.Contains(string(told), "53300") || !strings.Contains(string(told), "max_client_logins") {
				t.Errorf("the first one was told %q, %v", told, err)
			}
			st := p.State()
			if n := st.Accepted - accepted; n != flood+2 {
				t.Errorf("%d were accepted, want %d", n, flood+2)
			}
			if n := st.GaveWay - gaveWay; n < flood-limit {
				t.Errorf("%d gave way, want %d at least", n, flood-limit)
			}
			logins := 0
			for _, s := range p.Sockets() {
				if !s.Server && s.State == proxy.ClientLogin {
					logins++
				}
			}
			if logins > limit {
				t.Errorf("%d logins are under way, want %d at most", logins, limit)
			}
		})
	}
}
