package proxy

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"carpool/config"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
)

// Whose place a newcomer gets when the console is full.
func TestPlacesAtTheConsole(t *testing.T) {
	type client struct {
		admin, busy bool
		heard       time.Duration
	}
	admin, stats := client{admin: true, heard: 50}, client{heard: 60}
	for _, tt := range []struct {
		name       string
		rest       client   // what all are but the first few
		few        []client // the others
		admin, own bool     // the newcomer
		gone       int      // of the few; -1: none
		ok         bool
	}{
		{"the least recent of those who look", admin, []client{{heard: 9}, {heard: 7}, {admin: true, heard: 1}}, true, false, 1, true},
		{"an admin if there is no other", admin, []client{{admin: true, heard: 4}}, true, false, 0, true},
		{"nobody's command is interrupted", client{admin: true, busy: true}, []client{{admin: true, busy: true, heard: 1}}, true, false, -1, false},
		{"but for who runs it there is room", client{admin: true, busy: true}, []client{{admin: true, busy: true, heard: 1}}, true, true, -1, true},
		{"who looks takes the place of who looks", stats, []client{{heard: 3}, {admin: true, heard: 1}}, false, false, 0, true},
		{"who works comes last", stats, []client{{busy: true, heard: 1}, {heard: 2}}, false, false, 1, true},
		{"no admin's place for who looks", admin, nil, false, false, -1, false},
	} {
		var o consoles
		var all []*consoleClient
		for i := range mostConsoles {
			kind := tt.rest
			if i < len(tt.few) {
				kind = tt.few[i]
			}
			c := &consoleClient{admin: kind.admin, busy: kind.busy, heard: kind.heard}
			all = append(all, c)
			if gone, ok := o.enter(c, false); gone != nil || !ok {
				t.Fatalf("%s: no room for number %d", tt.name, i)
			}
		}
		gone, ok := o.enter(&consoleClient{admin: tt.admin}, tt.own)
		var want *consoleClient
		if tt.gone >= 0 {
			want = all[tt.gone]
		}
		if gone != want || ok != tt.ok {
			t.Errorf("%s: %+v, %v", tt.name, gone, ok)
		}
		if wanted := mostConsoles; len(o.list) != wanted && !tt.own {
			t.Errorf("%s: %d clients, want %d", tt.name, len(o.list), wanted)
		}
	}
}

// quiet is a console that answers with nothing.
type quiet struct{}

func (quiet) Open(string, bool, *slog.Logger) ConsoleSession { return quiet{} }
func (quiet) Parameters() []wire.Param                       { return nil }
func (quiet) Close()                                         {}
func (quiet) Message(context.Context, byte, []byte) []byte   { return nil }

// However many connections to the console are left open, an operator gets in.
func TestManyConsoles(t *testing.T) {
	cfg := config.Default()
	for name, value := range map[string]string{
		"listen_addr": "127.0.0.1", "listen_port": "0", "unix_socket_dir": "", "auth_type": "any",
		"admin_users": "boss", "stats_users": "looker", "event_loops": "2",
	} {
		if err := cfg.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	p, err := New(Options{Config: cfg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p.SetConsole(quiet{})
	done := make(chan error, 1)
	go func() { done <- p.Run() }()
	t.Cleanup(func() {
		p.Shutdown(Immediate)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	enter := func(user string) (*pgconn.PgConn, error) {
		conn, err := pgconn.Connect(t.Context(), "postgres://"+user+"@"+p.Addresses()[0]+"/pgbouncer?sslmode=disable")
		if err == nil {
			t.Cleanup(func() { _ = conn.Conn().Close() })
		}
		return conn, err
	}
	var first *pgconn.PgConn
	for i := range 2 * mostConsoles {
		conn, err := enter("looker")
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = conn
		}
	}
	for range mostConsoles {
		if _, err := enter("boss"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the others to be gone", func() bool { return len(p.Sockets()) == mostConsoles })
	_, err = first.ReceiveMessage(t.Context())
	var told *pgconn.PgError
	if !errors.As(err, &told) || told.Code != "57P05" {
		t.Errorf("the first one was told %v", err)
	}
	_, err = enter("looker")
	if !errors.As(err, &told) || told.Code != "53300" {
		t.Errorf("one who may only look, when admins have all places: %v", err)
	}
	if _, err := enter("boss"); err != nil {
		t.Error(err)
	}
}
