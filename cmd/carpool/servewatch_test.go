package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"carpool/bench/pgserver"

	"github.com/jackc/pgx/v5/pgconn"
)

// Files count as changed when they have come to rest, each change once.
func TestWatcherWaitsForRest(t *testing.T) {
	at := func(n int64) fileState { return fileState{inode: uint64(n), size: n} }
	var w watcher
	for i, look := range []struct {
		a, b fileState
		want bool
	}{
		{at(1), at(1), false}, // the first look has nothing to compare with
		{at(1), at(1), true},  // since the start they may have changed
		{at(1), at(1), false},
		{at(2), at(1), false}, // being written
		{at(3), at(1), false},
		{at(3), at(2), false}, // the other one now
		{at(3), at(2), true},
		{at(3), at(2), false},
		{fileState{}, at(2), false}, // gone
		{fileState{}, at(2), true},
		{at(3), at(2), false}, // back
		{at(3), at(2), true},
		{at(4), at(2), false}, // there and back again within two looks
		{at(3), at(2), false},
		{at(3), at(2), false},
	} {
		if got := w.due([]string{"a", "b"}, map[string]fileState{"a": look.a, "b": look.b}); got != look.want {
			t.Errorf("look %d: due is %t", i, got)
		}
	}
	// A file that nobody has read yet is due.
	seen := map[string]fileState{"a": at(3), "b": at(2), "c": at(1)}
	if w.due([]string{"a", "b", "c"}, seen) || !w.due([]string{"a", "b", "c"}, seen) {
		t.Error("a new file")
	}
}

// place writes a file.
func place(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// freePort is a TCP port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// move is rename(2).
func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// link is symlink(2) in the place of what is there.
func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name+".tmp"); err != nil {
		t.Fatal(err)
	}
	move(t, name+".tmp", name)
}

// rotation is a certificate that is replaced, and who looks at it.
type rotation struct {
	t         *testing.T
	authority *pgserver.Authority
	dir       string // with tls.crt and tls.key, as Kubernetes mounts a secret
	url       string
}

// issue returns a new certificate and its key.
func (r *rotation) issue() (cert, key string) {
	r.t.Helper()
	pair, err := r.authority.Issue("pooler", "localhost", "127.0.0.1")
	if err != nil {
		r.t.Fatal(err)
	}
	return string(mustReadFile(r.t, pair.Cert)), string(mustReadFile(r.t, pair.Key))
}

func mustReadFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// version makes a directory with a new certificate.
func (r *rotation) version(name string) {
	r.t.Helper()
	if err := os.Mkdir(filepath.Join(r.dir, name), 0o700); err != nil {
		r.t.Fatal(err)
	}
	cert, key := r.issue()
	place(r.t, filepath.Join(r.dir, name, "tls.crt"), cert)
	place(r.t, filepath.Join(r.dir, name, "tls.key"), key)
}

// shown is the serial number of the certificate that a new client is shown.
func (r *rotation) shown() string {
	r.t.Helper()
	conn, err := dial(r.url)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	return conn.Conn().(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// A certificate that is replaced, whichever way, is shown to new clients without
// a signal; a broken one isn't, and nobody's query fails over it.
func TestCertificatesAreWatched(t *testing.T) {
	dir := t.TempDir()
	authority, err := pgserver.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &rotation{t: t, authority: authority, dir: dir}
	path := func(name string) string { return filepath.Join(dir, name) }
	r.version("..1")
	link(t, "..1", path("..data"))
	link(t, "..data/tls.crt", path("tls.crt"))
	link(t, "..data/tls.key", path("tls.key"))
	p, address := serve(t, ownURL(), "serve", "--set=client_tls_sslmode=require", "--pool-size=3", "--set=listen_addr=127.0.0.1",
		"--set=client_tls_cert_file="+path("tls.crt"), "--set=client_tls_key_file="+path("tls.key"))
	_, port, _ := strings.Cut(address, ":")
	r.url = "postgres://app:secret@localhost:" + port + "/app?sslmode=verify-full&sslrootcert=" + authority.File

	var queries, failures atomic.Int64
	var clients sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer clients.Wait()
	defer stop()
	work := func(keep bool) {
		var conn *pgconn.PgConn
		for ctx.Err() == nil {
			var err error
			if conn == nil {
				conn, err = dial(r.url)
			}
			if err == nil {
				_, err = query(conn, "SELECT 1")
			}
			if err != nil {
				t.Error(err)
				failures.Add(1)
				return
			}
			queries.Add(1)
			if !keep {
				_ = conn.Close(context.Background())
				conn = nil
			}
		}
		if conn != nil {
			_ = conn.Close(context.Background())
		}
	}
	for range 2 {
		clients.Go(func() { work(true) })
	}
	clients.Go(func() { work(false) })

	last := r.shown()
	for _, way := range []struct {
		name    string
		replace func()
	}{
		{"the link to a version", func() { r.version("..2"); link(t, "..2", path("..data")) }},
		{"in place, one file after the other", func() {
			cert, key := r.issue()
			place(t, path("tls.crt"), cert)
			place(t, path("tls.key"), key)
		}},
		{"by renaming", func() {
			r.version("new")
			move(t, path("new/tls.key"), path("tls.key"))
			move(t, path("new/tls.crt"), path("tls.crt"))
		}},
	} {
		way.replace()
		eventually(t, "another certificate: "+way.name, func() bool { return r.shown() != last })
		last = r.shown()
	}
	// Half of a certificate.
	cert, key := r.issue()
	place(t, path("tls.crt"), cert[:len(cert)/2])
	p.await("client_tls_cert_file and client_tls_key_file: ")
	p.await("not reloaded: the configuration stays as it was")
	if r.shown() != last {
		t.Error("not the certificate from before")
	}
	place(t, path("tls.crt"), cert)
	place(t, path("tls.key"), key)
	eventually(t, "the whole certificate", func() bool { return r.shown() != last })
	before := queries.Load()
	eventually(t, "queries run", func() bool { return failures.Load() > 0 || queries.Load() > before+20 })
	stop()
	clients.Wait()
	t.Logf("%d queries, %d failed", queries.Load(), failures.Load())
}

// Users, rules and name maps are taken on when their files change.
func TestAuthFilesAreWatched(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	place(t, path("users.txt"), "\"app\" \"first\"\n")
	place(t, path("hba.conf"), "host all all 127.0.0.1/32 scram-sha-256\nlocal all all peer map=m\n")
	place(t, path("ident.conf"), "m nobody-here app\n")
	place(t, path("carpool.ini"), fmt.Sprintf(`[databases]
app = host=%s port=%d user=app password=secret
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir = %s
auth_type = hba
auth_file = %s
auth_hba_file = %s
auth_ident_file = %s
admin_users = app
`, postgres.Host(), postgres.Port(), port, dir, path("users.txt"), path("hba.conf"), path("ident.conf")))
	p := start(t, nil, "serve", path("carpool.ini"))
	address, _, _ := strings.Cut(p.await(`msg="listening on 127`), `"`)
	address = "127" + address
	p.await(`msg="listening on unix:`)
	enter := func(url string) error {
		conn, err := dial(url)
		if err == nil {
			_ = conn.Close(context.Background())
		}
		return err
	}
	with := func(password string) error {
		return enter("postgres://app:" + password + "@" + address + "/app?sslmode=disable")
	}
	local := func() error { return enter("postgres:///app?user=app&port=" + port + "&host=" + dir) }
	if err := with("first"); err != nil {
		t.Fatal(err)
	}
	if local() == nil {
		t.Error("a user whom the map doesn't name")
	}
	place(t, path("ident.conf"), "m "+me.Username+" app\n")
	eventually(t, "the map has another user", func() bool { return local() == nil })
	place(t, path("users.new"), "\"app\" \"second\"\n")
	move(t, path("users.new"), path("users.txt"))
	eventually(t, "the password is another", func() bool { return with("second") == nil })
	if with("first") == nil {
		t.Error("the old password is still good")
	}
	place(t, path("users.txt"), "\"app\" \"third\"\nbroken\n")
	p.await("users.txt:2: ")
	if err := with("second"); err != nil {
		t.Error(err)
	}
	place(t, path("users.txt"), "")
	p.await("users.txt is empty")
	place(t, path("users.txt"), "\"app\" \"fourth\"\n")
	eventually(t, "the file is in order again", func() bool { return with("fourth") == nil })

	// What is switched off isn't looked at, and later it is made up for.
	console, err := dial("postgres://app:fourth@" + address + "/pgbouncer?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close(context.Background())
	if _, err := console.Exec(t.Context(), "SET watch_files = 0").ReadAll(); err != nil {
		t.Fatal(err)
	}
	place(t, path("hba.conf"), "host all all 127.0.0.1/32 reject\n")
	if err := with("fourth"); err != nil {
		t.Error(err)
	}
	if _, err := console.Exec(t.Context(), "SET watch_files = 1").ReadAll(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rules are others", func() bool { return with("fourth") != nil })
	p.await("msg=\"files taken on\"")
	if log := p.stderr.String(); strings.Contains(log, "second") || strings.Contains(log, "fourth") {
		t.Error("the log shows a password")
	}
}

// What was read from a pipe at the start can't be read again, and isn't waited for.
func TestPipesAreNotWatched(t *testing.T) {
	p := startCommand(t, nil, "bash", "-c", `exec "$@" < <(echo '"app" "secret"')`, "bash", binary, "serve", "--port=0", "--set=auth_file=/dev/stdin",
		"--set=listen_addr=127.0.0.1", "--set=unix_socket_dir=", "/dev/null")
	p.await(`msg="listening on `)
	p.await("/dev/stdin isn't a regular file")
	p.await("not reloaded")
}
