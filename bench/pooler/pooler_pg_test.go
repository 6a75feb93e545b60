package pooler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/bench/target"
	"carpool/config"

	"github.com/jackc/pgx/v5/pgconn"
)

const secret = `it's "p w"`

var (
	postgres *pgserver.Server
	carpool  string // the program, built for these tests
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "carpool-build-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	carpool = filepath.Join(dir, "carpool")
	if out, err := exec.Command("go", "build", "-o", carpool, "carpool/cmd/carpool").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building carpool: %v\n%s", err, out)
		return 1
	}
	return pgtest.Main(m, pgserver.Options{
		TLS: true, Databases: []string{"shop", "odd name"},
		Roles: []pgserver.Role{{Name: "reader", Password: secret}, {Name: "certified"}},
		HBA: []string{
			"hostssl all reader all scram-sha-256", "host all reader all reject", "local all reader scram-sha-256",
			"hostssl all certified all cert", "host all certified all reject",
		},
	}, func(s *pgserver.Server) { postgres = s })
}

func writeConfiguration(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pooler.ini")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// products are both poolers. A machine without pgbouncer fails the test: there would be nothing to compare with.
func products(t *testing.T) []Product {
	t.Helper()
	ours, err := Carpool(t.Context(), []string{carpool, "serve"})
	if err != nil {
		t.Fatal(err)
	}
	rival, err := PgBouncer(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if ours.Name != "carpool" || rival.Name != "pgbouncer" || !strings.HasPrefix(rival.Version, "PgBouncer ") || !ours.KeepsPrepared() {
		t.Errorf("got %+v and %+v", ours, rival)
	}
	return []Product{ours, rival}
}

func server(t *testing.T, database string) target.Server {
	t.Helper()
	s, err := target.ParseServer(postgres.URL("reader", database))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func settings(t *testing.T) Settings {
	t.Helper()
	return Settings{Mode: Transaction, PoolSize: 2, MaxClients: 50, Server: server(t, "shop")}
}

// temporaryDir is where a launched pooler's directory goes, so that what is left behind can be seen. t.TempDir's may not be
// passed through by the user that poolers run as.
func temporaryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pooler-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func value(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	results, err := conn.Exec(t.Context(), sql).ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) == 0 {
		t.Fatalf("%s: %v, %v", sql, results, err)
	}
	return string(results[0].Rows[0][0])
}

func TestLaunch(t *testing.T) {
	variants := map[string]func(*Settings){
		"transaction": func(*Settings) {},
		"session":     func(s *Settings) { s.Mode = Session },
		"TLS":         func(s *Settings) { s.TLS = true },
		"Unix":        func(s *Settings) { s.Unix = true },
		"trust":       func(s *Settings) { s.Trust = true },
		"Unix server": func(s *Settings) {
			s.Server.Host, s.Server.SSLMode, s.Server.SSLRootCert = postgres.Dir(), config.SSLDisable, ""
		},
		"odd name": func(s *Settings) { s.Server.Database = "odd name" },
	}
	t.Setenv("CARPOOL_POOL_MODE", "statement") // the reader's own, which isn't meant for this
	t.Setenv("PGBOUNCER_POOL_MODE", "statement")
	for _, product := range products(t) {
		for name, change := range variants {
			t.Run(product.Name+", "+name, func(t *testing.T) {
				s := settings(t)
				change(&s)
				s.Dir = temporaryDir(t)
				testLaunch(t, product, s)
			})
		}
	}
}

func testLaunch(t *testing.T, product Product, s Settings) {
	r, err := Launch(t.Context(), product, s)
	if err != nil {
		t.Fatal(err)
	}
	defer r.End()
	const who = "SELECT session_user || ' ' || current_database() || ' ' || current_setting('application_name')"
	if got, want := value(t, r.URL("x"), who), "reader "+s.Server.Database+" carpool-bench/x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := strings.HasPrefix(r.Server().Host, s.Dir), s.Unix; got != want {
		t.Errorf("clients come by %s", r.Server().Host)
	}
	expectPoolMode(t, r)
	if !s.Trust {
		expectRefused(t, r)
	}
	if used, err := r.CPU(); runtime.GOOS == "linux" && err != nil {
		t.Errorf("CPU time: %s, %v", used, err)
	}
	if held, err := r.Memory(); runtime.GOOS == "linux" && (err != nil || held.Resident < 1<<20) {
		t.Errorf("memory: %+v, %v", held, err)
	}
	expectNoSecret(t, s.Dir, s.Server.Password)
	for range 2 {
		if err := r.End(); err != nil {
			t.Error(err)
		}
	}
	select {
	case <-r.Ended():
	default:
		t.Error("the process hasn't ended")
	}
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// expectPoolMode asks the console.
func expectPoolMode(t *testing.T, r *Running) {
	t.Helper()
	s := r.Server()
	s.Database = "pgbouncer"
	conn, err := pgconn.Connect(t.Context(), s.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	results, err := conn.Exec(t.Context(), "SHOW CONFIG").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	mode := "nothing"
	for _, row := range results[0].Rows {
		if string(row[0]) == "pool_mode" {
			mode = string(row[1])
		}
	}
	if mode != string(r.Settings.Mode) {
		t.Errorf("pool_mode is %s", mode)
	}
}

// expectRefused tries the password of the server, and another.
func expectRefused(t *testing.T, r *Running) {
	t.Helper()
	for _, password := range []string{secret, "guessed"} {
		s := r.Server()
		s.Password = password
		if conn, err := pgconn.Connect(t.Context(), s.URL("")); err == nil {
			t.Errorf("logged in with the password %q", password)
			_ = conn.Close(t.Context())
		}
	}
}

// expectNoSecret looks into every file below a directory.
func expectNoSecret(t *testing.T, dir, password string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || entry.Name() == "carpool" {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		for _, form := range []string{password, strings.ReplaceAll(password, "'", "''")} {
			if bytes.Contains(text, []byte(form)) {
				t.Errorf("%s holds the secret", path)
			}
		}
		return err
	})
	if err != nil || files < 2 {
		t.Errorf("%d files, %v", files, err)
	}
}

// TestNoSecretIsInAFileDuringLaunch has a server that says nothing: when the pooler comes to it, it has been told everything
// and Launch waits for its answer. Who is killed then leaves no password behind.
func TestNoSecretIsInAFileDuringLaunch(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // there the configuration is a file until the pooler has answered
	}
	for _, product := range products(t) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := settings(t)
		s.Dir = temporaryDir(t)
		if s.Server, err = s.Server.At(silent.Addr().String()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		launched := make(chan error, 1)
		go func() {
			_, err := Launch(ctx, product, s)
			launched <- err
		}()
		conn, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		expectNoSecret(t, s.Dir, secret)
		cancel(errors.New("interrupted"))
		if err := <-launched; err == nil || !strings.Contains(err.Error(), "interrupted") {
			t.Errorf("%s: got %v", product.Name, err)
		}
		_ = conn.Close()
		_ = silent.Close()
	}
}

// TestClientCertificate: the key is handed over like a password.
func TestClientCertificate(t *testing.T) {
	pair, err := postgres.Authority().Issue("certified")
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, product := range products(t) {
		s := settings(t)
		s.Dir = temporaryDir(t)
		s.Server.User, s.Server.Password, s.Server.SSLCert, s.Server.SSLKey = "certified", "", pair.Cert, pair.Key
		r, err := Launch(t.Context(), product, s)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := value(t, r.URL(""), "SELECT session_user"); got != "certified" {
			t.Errorf("%s: got %q", product.Name, got)
		}
		if runtime.GOOS == "linux" {
			expectNoSecret(t, s.Dir, string(key))
		}
		if err := r.End(); err != nil {
			t.Error(err)
		}
	}
}

func TestErrTellsOfACrash(t *testing.T) {
	for _, product := range products(t) {
		r, err := Launch(t.Context(), product, settings(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Err(); err != nil {
			t.Errorf("%s runs: %v", product.Name, err)
		}
		if err := syscall.Kill(r.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-r.Ended()
		want := product.Name + " ended during the round (signal: killed); its log ends: "
		for _, when := range []string{"before", "after"} {
			if err := r.Err(); err == nil || !strings.HasPrefix(err.Error(), want) || len(err.Error()) < len(want)+10 || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s End: got %v, want %s...", when, err, want)
			}
			if err := r.End(); err != nil {
				t.Error(err)
			}
		}
	}
	r, err := Launch(t.Context(), products(t)[0], settings(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.End(), r.Err()); err != nil {
		t.Errorf("an end that was asked for: %v", err)
	}
}

// TestLabelsReachTheServer: servers that a pooler keeps from one strategy aren't counted for another.
func TestLabelsReachTheServer(t *testing.T) {
	if err := postgres.Exec(t.Context(), "", "GRANT CREATE ON DATABASE shop TO reader"); err != nil {
		t.Fatal(err)
	}
	database, err := target.Own(t.Context(), postgres.URL("reader", "shop"), target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close(context.Background())
	for _, product := range products(t) {
		r, err := Launch(t.Context(), product, settings(t))
		if err != nil {
			t.Fatal(err)
		}
		value(t, r.URL("first"), "SELECT 1")
		count := func(label string) int {
			watch, err := database.Watch(t.Context(), label, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			samples, err := watch.Stop()
			if err != nil {
				t.Fatal(err)
			}
			return samples[len(samples)-1].Connections
		}
		if first, second := count("first"), count("second"); first != 1 || second != 0 {
			t.Errorf("%s: %d servers for the first, %d for the second", product.Name, first, second)
		}
		value(t, r.URL("second"), "SELECT 1")
		if first, second := count("first"), count("second"); first != 0 || second != 1 {
			t.Errorf("%s: then %d servers for the first, %d for the second", product.Name, first, second)
		}
		if err := r.End(); err != nil {
			t.Error(err)
		}
	}
}

// TestAPoolerIsKnownAsOne: a target behind a pooler says so, and works all the same.
func TestAPoolerIsKnownAsOne(t *testing.T) {
	if err := postgres.Exec(t.Context(), "", "GRANT CREATE ON DATABASE shop TO reader"); err != nil {
		t.Fatal(err)
	}
	for _, product := range products(t) {
		for _, mode := range []Mode{Transaction, Session} {
			s := settings(t)
			s.Mode, s.PoolSize = mode, 5
			r, err := Launch(t.Context(), product, s)
			if err != nil {
				t.Fatal(err)
			}
			d, err := target.Own(t.Context(), r.URL(""), target.Options{})
			if err != nil {
				t.Fatal(err)
			}
			// In session mode a pooler may pass on all that tells one from Postgres, and then it does no harm.
			if mode == Transaction && !d.Pooled() || d.Pooled() != (len(d.Warnings()) == 1) {
				t.Errorf("%s, %s: pooled %t, warnings %q", product.Name, mode, d.Pooled(), d.Warnings())
			}
			if _, err := d.Create(t.Context()); err != nil {
				t.Error(err)
			}
			if err := d.Setup(t.Context(), []string{"CREATE TABLE " + d.Schema() + ".t (a int)"}); err != nil {
				t.Error(err)
			}
			if err := d.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if left, err := postgres.Value(t.Context(), "shop", "SELECT count(*) FROM pg_namespace WHERE nspname = '"+d.Schema()+"'"); err != nil || left != "0" {
				t.Errorf("%s, %s: the schema is left: %s, %v", product.Name, mode, left, err)
			}
			if err := r.End(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestLaunchTellsWhatIsWrong(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fmt.Errorf("interrupted"))
	for _, product := range products(t) {
		for name, row := range map[string]struct {
			ctx   context.Context
			spoil func(*Settings)
			want  string
		}{
			"wrong password": {t.Context(), func(s *Settings) { s.Server.Password = "hunter2" }, "password authentication failed"},
			"no authority":   {t.Context(), func(s *Settings) { s.Server.SSLRootCert = "/absent/ca.crt" }, "/absent/ca.crt"},
			"stopped":        {ctx, func(*Settings) {}, "interrupted"},
		} {
			s := settings(t)
			s.Dir = temporaryDir(t)
			row.spoil(&s)
			r, err := Launch(row.ctx, product, s)
			if err == nil {
				t.Errorf("%s, %s: no error", product.Name, name)
				_ = r.End()
				continue
			}
			if !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s, %s: got %v", product.Name, name, err)
			}
			if left, err := os.ReadDir(s.Dir); err != nil || len(left) > 0 {
				t.Errorf("%s, %s: left behind: %v, %v", product.Name, name, left, err)
			}
		}
	}
	if _, err := Launch(t.Context(), Product{}, settings(t)); err == nil {
		t.Error("a product that is none was launched")
	}
	if _, err := Carpool(t.Context(), []string{"/absent/carpool"}); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("got %v", err)
	}
}
