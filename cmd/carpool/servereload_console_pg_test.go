package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// RELOAD does what SIGHUP does, and answers when it is done: what needs a
// restart, or what is wrong and where.
func TestReloadFromTheConsole(t *testing.T) {
	dir := t.TempDir()
	settings := func(rest string) string {
		return fmt.Sprintf("[databases]\napp = host=%s port=%d user=app\n[pgbouncer]\nlisten_addr = 127.0.0.1\nunix_socket_dir =\n"+
			"auth_type = any\nadmin_users = app\n%s", postgres.Host(), postgres.Port(), rest)
	}
	file := write(t, dir, "carpool.ini", settings("default_pool_size = 2\n"))
	p := start(t, []string{"CARPOOL_LISTEN_PORT=0"}, "serve", file)
	var notices []string
	console := p.console(&notices)
	reload := func(text string) error {
		t.Helper()
		notices = nil
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := console.Exec(t.Context(), "RELOAD").ReadAll()
		return err
	}
	size := func(want string) {
		t.Helper()
		results, err := console.Exec(t.Context(), "SHOW CONFIG").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range results[0].Rows {
			if string(row[0]) == "default_pool_size" && string(row[1]) != want {
				t.Errorf("default_pool_size is %s, want %s", row[1], want)
			}
		}
	}
	if err := reload(settings("default_pool_size = 3\nlisten_backlog = 7\n")); err != nil {
		t.Fatal(err)
	}
	if len(notices) != 1 || !strings.HasPrefix(notices[0], "listen_backlog needs a restart") {
		t.Error(notices)
	}
	size("3")
	var failed *pgconn.PgError
	if err := reload(settings("default_pool_size = many\nmax_client_conn = none\n")); !errors.As(err, &failed) || failed.Code != "F0000" ||
		!strings.Contains(failed.Detail, "carpool.ini:8: default_pool_size") || !strings.Contains(failed.Detail, "carpool.ini:9: max_client_conn") {
		t.Errorf("%v: %+v", err, failed)
	}
	size("3")

	// What SET has changed lasts until the next reload, the log level too.
	if _, err := console.Exec(t.Context(), "SET default_pool_size = 9; ").ReadAll(); err != nil {
		t.Fatal(err)
	}
	size("9")
	p.await(`user=app setting=default_pool_size old=3 new=9`)
	if _, err := console.Exec(t.Context(), "SET log_level = error").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if err := reload(settings("default_pool_size = 3\n")); err != nil {
		t.Fatal(err)
	}
	size("3")
	if _, err := console.Exec(t.Context(), "PAUSE app").ReadAll(); err != nil {
		t.Fatal(err)
	}
	p.await(`"PAUSE command issued" client=127.0.0.1:`)
	p.await(`user=app database=app`)
}

// console connects to the console of a carpool that has just been started, as app, and notes the notices that come.
func (p *process) console(notices *[]string) *pgconn.PgConn {
	p.t.Helper()
	address, _, _ := strings.Cut(p.await(`msg="listening on `), `"`)
	c, err := pgconn.ParseConfig("postgres://app@" + address + "/pgbouncer?sslmode=disable")
	if err != nil {
		p.t.Fatal(err)
	}
	c.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { *notices = append(*notices, n.Message) }
	console, err := pgconn.ConnectConfig(p.t.Context(), c)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = console.Close(context.Background()) }) // the process may have gone before
	return console
}
