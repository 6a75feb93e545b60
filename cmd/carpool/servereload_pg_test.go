package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// SIGHUP puts what the file says now in force, as far as that is possible
// without a restart; the environment and the flags go on to override it.
func TestHangupReloads(t *testing.T) {
	dir := t.TempDir()
	users := write(t, dir, "users.txt", "\"app\" \"secret\"\n")
	settings := func(rest string) string {
		return fmt.Sprintf(`[databases]
app = host=%s port=%d
[pgbouncer]
listen_addr = 127.0.0.1
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = transaction
admin_users = app
%s`, postgres.Host(), postgres.Port(), users, rest)
	}
	file := write(t, dir, "carpool.ini", settings("default_pool_size = 2\nreserve_pool_size = 1\nlog_level = warn\n"))
	p := start(t, []string{"CARPOOL_LISTEN_PORT=0", "CARPOOL_RESERVE_POOL_SIZE=3", "CARPOOL_LOG_LEVEL=info"}, "serve", file)
	address, _, _ := strings.Cut(p.await(`msg="listening on `), `"`)
	conn := mustConnect(t, address)
	mustQuery(t, conn, "SELECT 1")
	console, err := dial("postgres://app:secret@" + address + "/pgbouncer?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close(t.Context())
	inForce := func(setting, want string) {
		t.Helper()
		results, err := console.Exec(t.Context(), "SHOW CONFIG").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range results[0].Rows {
			if string(row[0]) == setting && string(row[1]) != want {
				t.Errorf("%s is %s, want %s", setting, row[1], want)
			}
		}
	}
	inForce("default_pool_size", "2")

	rewrite := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.signal(syscall.SIGHUP)
	}
	rewrite("carpool.ini", settings("default_pool_size = 5\nreserve_pool_size = 2\nlisten_backlog = 7\n"))
	p.await("msg=reloaded changes=1 need_restart=1")
	p.await(`msg="reload: changed" setting=default_pool_size old=2 new=5`)
	p.await(`the old value stays" setting=listen_backlog old=128 new=7`)
	inForce("default_pool_size", "5")
	inForce("reserve_pool_size", "3")
	inForce("listen_backlog", "128")

	// Nothing of a broken file counts, and what is wrong with it is said.
	rewrite("carpool.ini", settings("default_pool_size = 6\nmax_client_conn = many\n"))
	p.await("carpool.ini:11: max_client_conn: ")
	p.await("the configuration stays as it was")
	inForce("default_pool_size", "5")

	// auth_file is read anew, and the file is in order again.
	if err := os.WriteFile(file, []byte(settings("default_pool_size = 7\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	rewrite("users.txt", "\"app\" \"other\"\n")
	p.await("files_changed=1")
	inForce("default_pool_size", "7")
	if _, err := connect(t, address); err == nil {
		t.Error("the old password is still good")
	}
	mustQuery(t, conn, "SELECT 1")
	if log := p.stderr.String(); strings.Contains(log, "secret") || strings.Contains(log, `"other"`) {
		t.Error("the log shows a password")
	}
}

// The level of the log changes at once.
func TestReloadChangesTheLogLevel(t *testing.T) {
	dir := t.TempDir()
	const text = "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir =\nadmin_users = app\nauth_type = any\nlog_level = "
	file := write(t, dir, "carpool.ini", text+"info\n")
	p := start(t, nil, "serve", file)
	address, _, _ := strings.Cut(p.await(`msg="listening on `), `"`)
	for _, step := range []struct{ level, logged string }{
		{"debug", "msg=reloaded changes=1"},
		{"warn", "new=warn"},
	} {
		write(t, dir, "carpool.ini", text+step.level+"\n")
		p.signal(syscall.SIGHUP)
		p.await(step.logged)
	}
	write(t, dir, "carpool.ini", text+"nonsense\n")
	p.signal(syscall.SIGHUP)
	p.await("the configuration stays as it was")
	before := strings.Count(p.stderr.String(), "msg=reloaded")
	write(t, dir, "carpool.ini", text+"error\n")
	p.signal(syscall.SIGHUP)
	console, err := dial("postgres://app@" + address + "/pgbouncer?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the level is another", func() bool {
		results, err := console.Exec(t.Context(), "SHOW CONFIG").ReadAll()
		return err == nil && slices.ContainsFunc(results[0].Rows, func(row [][]byte) bool {
			return string(row[0]) == "log_level" && string(row[1]) == "error"
		})
	})
	_ = console.Close(t.Context())
	p.signal(syscall.SIGTERM)
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	if log := p.stderr.String(); strings.Count(log, "msg=reloaded") != before || strings.Contains(log, "got signal") {
		t.Error("what is less than a warning is still logged")
	}
}

// Where a reload would wait for somebody who never writes, it doesn't begin, or
// keeps nobody else waiting; signals to stop are obeyed.
func TestReloadThatCannotRead(t *testing.T) {
	const text = "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir =\nauth_type = trust\n"
	for _, row := range []struct {
		name    string
		content string // of the file, with PIPE for a named pipe's name; "" makes the file itself one
		refused bool
	}{
		{"the file", "", true},
		{"the users", text + "auth_file = PIPE\n", true},
		{"an included file", text + "%include PIPE\n", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			file := write(t, dir, "carpool.ini", text)
			p := start(t, nil, "serve", file)
			p.await(`msg="listening on `)
			pipe := filepath.Join(dir, "pipe")
			if row.content == "" {
				pipe = file
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			} else {
				write(t, dir, "carpool.ini", strings.ReplaceAll(row.content, "PIPE", pipe))
			}
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				p.signal(syscall.SIGHUP)
			}
			if row.refused {
				p.await(pipe + " isn't a regular file")
				p.await("the configuration stays as it was")
			}
			p.signal(syscall.SIGTERM)
			if status := p.wait(); status != exitOK {
				t.Errorf("status %d", status)
			}
		})
	}
}
