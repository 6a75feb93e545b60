package proxy

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"carpool/config"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
)

// longWinded is a console that answers everything with much, and until its
// client leaves if it is asked to.
type longWinded struct{ left chan error }

func (c *longWinded) Open(string, bool, *slog.Logger) ConsoleSession { return c }
func (c *longWinded) Parameters() []wire.Param                       { return nil }
func (c *longWinded) Close()                                         {}

func (c *longWinded) Message(ctx context.Context, typ byte, _ []byte) []byte {
	if typ == wire.Sync {
		<-ctx.Done()
		c.left <- context.Cause(ctx)
		return nil
	}
	return append(wire.AppendHeader(nil, wire.CopyData, 8<<20), make([]byte, 8<<20)...)
}

// startConsole runs a proxy with the console, and connects to it.
func startConsole(t *testing.T, c Console, patience time.Duration) (net.Conn, *Proxy) {
	t.Helper()
	cfg := config.Default()
	for name, value := range map[string]string{
		"listen_addr": "127.0.0.1", "listen_port": "0", "unix_socket_dir": "", "auth_type": "any", "admin_users": "boss",
	} {
		if err := cfg.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	p, err := New(Options{Config: cfg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p.SetConsole(c)
	p.consolePatience = patience
	done := make(chan error, 1)
	go func() { done <- p.Run() }()
	t.Cleanup(func() {
		p.Shutdown(Immediate)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	client, err := pgconn.Connect(t.Context(), "postgres://boss@"+p.Addresses()[0]+"/pgbouncer?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	hijacked, err := client.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hijacked.Conn.Close() })
	return hijacked.Conn, p
}

func send(t *testing.T, conn net.Conn, b []byte) {
	t.Helper()
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// A client that doesn't read its answer is ended, and meanwhile nothing more is
// done for it.
func TestConsoleClientThatDoesNotRead(t *testing.T) {
	conn, p := startConsole(t, &longWinded{}, 50*time.Millisecond)
	var batch []byte
	for range 100 {
		batch = wire.AppendQuery(batch, "SHOW EVERYTHING")
	}
	send(t, conn, batch)
	most := 0
	eventually(t, "the client is ended", func() bool {
		sockets := p.Sockets()
		for _, s := range sockets {
			most = max(most, s.Unsent)
		}
		return len(sockets) == 0
	})
	if most > 2*(8<<20)+1024 {
		t.Errorf("%d bytes were kept for it", most)
	}
}

// What is done for a client that leaves ends.
func TestConsoleClientThatLeaves(t *testing.T) {
	console := &longWinded{left: make(chan error, 1)}
	conn, p := startConsole(t, console, time.Minute)
	send(t, conn, wire.AppendEmpty(nil, wire.Sync))
	_ = conn.Close()
	select {
	case err := <-console.left:
		if err != context.Canceled {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on")
	}
	eventually(t, "the client is gone", func() bool { return len(p.Sockets()) == 0 })
}
