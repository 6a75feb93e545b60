package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carpool/bench/pgserver"
)

// execChild builds the command that runs behind carpool in these tests, once for all of them.
var execChild = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "execchild")
	out, err := exec.Command("go", "build", "-o", path, "./testdata/execchild").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return path, err
})

func child(t *testing.T) string {
	t.Helper()
	path, err := execChild()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// remote starts a server as one in another place is: it wants TLS and SCRAM.
func remote(t *testing.T) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), pgserver.Options{
		TLS: true, HBA: []string{"hostssl all +app all scram-sha-256", "host all +app all reject"},
		Roles: []pgserver.Role{{Name: "app", Password: "hunter2"}}, Databases: []string{"app"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// remoteURL is how an application is told of that server.
func remoteURL(s *pgserver.Server, password, options string) string {
	return remoteURLAs(s, "app", password, options)
}

func remoteURLAs(s *pgserver.Server, user, password, options string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: s.Host() + ":" + strconv.Itoa(s.Port()), Path: "/app", RawQuery: options}
	return u.String()
}

// connections counts those of the role app, and of others made from it, to a server.
func connections(t *testing.T, s *pgserver.Server) int {
	t.Helper()
	text, err := s.Value(context.Background(), "", "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'app%'")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// startInGroup is start in a process group of its own, with a way to write to stdin.
func startInGroup(t *testing.T, environ []string, args ...string) (p *process, stdin io.Writer) {
	t.Helper()
	p = &process{t: t, cmd: exec.Command(binary, args...), stdout: newTranscript(), stderr: newTranscript(), ended: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environ...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the status is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // they may have ended already
		<-p.ended
		if t.Failed() {
			t.Logf("stdout of %v:\n%s\nstderr:\n%s", args, p.stdout, p.stderr)
		}
	})
	return p, in
}

// A command that insists on TLS, by whatever means, gets it from carpool, as does one that refuses it.
func TestExecChildrenAndTLS(t *testing.T) {
	server := remote(t)
	for _, row := range []struct{ environ, options string }{
		{"", "sslmode=require"},
		{"", "sslmode=verify-full&sslrootcert=" + url.QueryEscape(server.Authority().File)},
		{"PGSSLMODE=require", ""},
		{"PGSSLMODE=verify-full,PGSSLROOTCERT=" + server.Authority().File, ""},
		{"PGSSLMODE=verify-ca,PGSSLROOTCERT=" + server.Authority().File + ",PGHOST=" + server.Host() + ",PGUSER=app", ""},
		{"PGSSLMODE=verify-full,PGSSLROOTCERT=" + server.Authority().File + ",PGHOST=elsewhere.example", ""},
		{"PGSSLMODE=disable", "sslmode=require"},
	} {
		environ := append(strings.Split(row.environ, ","), "DATABASE_URL="+remoteURL(server, "hunter2", row.options))
		p := start(t, environ, "exec", "--", child(t), "query", "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
		if status := p.wait(); status != 0 || p.stdout.String() != "value true\n" {
			t.Errorf("%v: status %d, %s%s", row, status, p.stdout, p.stderr)
		}
	}
	if n := connections(t, server); n > 0 {
		eventually(t, "no connection is left", func() bool { return connections(t, server) == 0 })
	}
}

// A wrong password is the application's to hear of: the pooler doesn't wait for the database.
func TestExecWithAWrongPassword(t *testing.T) {
	server := remote(t)
	p := start(t, []string{"DATABASE_URL=" + remoteURL(server, "wrong", "sslmode=require")}, "exec", "--", child(t), "query", "SELECT 'x'")
	if status := p.wait(); status != 3 || !strings.Contains(p.stdout.String(), "password authentication failed") {
		t.Errorf("status %d, %s", status, p.stdout)
	}
}

func TestExecOverAUnixSocket(t *testing.T) {
	dir := t.TempDir()
	p := start(t, []string{"DATABASE_URL=" + postgres.URL("app", "app")}, "exec", "--unix", dir, "--", child(t), "query", "SELECT 'x'")
	if status := p.wait(); status != 0 || p.stdout.String() != "value x\n" {
		t.Errorf("status %d, %s%s", status, p.stdout, p.stderr)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// Each URL leads to its own database, also when they have the same name.
func TestExecSeveralURLs(t *testing.T) {
	server := remote(t)
	if err := server.Exec(t.Context(), "", "ALTER DATABASE app SET application_name = 'the second'"); err != nil {
		t.Fatal(err)
	}
	script := `DATABASE_URL="$A" $0 query "$1" && DATABASE_URL="$B" $0 query "$1" && echo "$B"`
	const sql = "SELECT current_database() || coalesce(nullif(current_setting('application_name'), ''), '-')"
	p := start(t, []string{"A=" + postgres.URL("app", "app"), "B=" + remoteURL(server, "hunter2", "sslmode=require"), "PGBOUNCER_URLS=A B"},
		"exec", "--", "sh", "-c", script, child(t), sql)
	if status := p.wait(); status != 0 || !regexp.MustCompile(`^value app-\nvalue appthe second\npostgres://app:\w+@127.0.0.1:\d+/app_2\n$`).MatchString(p.stdout.String()) {
		t.Errorf("status %d, %s", status, p.stdout)
	}
}

// A command that asks for more than one connection at once waits for the only one there is.
func TestExecSharesOneConnection(t *testing.T) {
	server := remote(t)
	p, _ := startInGroup(t, []string{"DATABASE_URL=" + remoteURL(server, "hunter2", "sslmode=require")}, "exec", "--", child(t), "hold", "40")
	p.await("holding")
	if n := connections(t, server); n != 1 {
		t.Errorf("%d connections to the server for 40 clients", n)
	}
}

func TestExecMetrics(t *testing.T) {
	p, _ := startInGroup(t, []string{nowhere}, "exec", "--metrics", "127.0.0.1:0", "--", "sleep", "1000")
	base := strings.TrimSuffix(strings.TrimSuffix(p.await("metrics on "), `"`), "/metrics")
	answer, err := http.Get(base + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("status %s", answer.Status)
	}
	p.signal(syscall.SIGTERM)
	if status := p.wait(); status != 128+15 {
		t.Errorf("status %d", status)
	}
}

// The size of the pool is a share of what the server allows, as it says itself.
func TestExecShare(t *testing.T) {
	server := remote(t)
	if err := server.Exec(t.Context(), "", "ALTER ROLE app CONNECTION LIMIT 24"); err != nil {
		t.Fatal(err)
	}
	environ := []string{"DATABASE_URL=" + remoteURL(server, "hunter2", "sslmode=require")}
	p := start(t, environ, "exec", "--share", "1/8", "--", "true")
	if status := p.wait(); status != 0 || !strings.Contains(p.stderr.String(), "server_connections=3 ") ||
		!strings.Contains(p.stderr.String(), "DATABASE_URL: max_connections 100 less 3 reserved, the role's limit 24: 24 usable; 1/8 of them is 3") {
		t.Errorf("status %d, %s", status, p.stderr)
	}
	status, stdout, stderr := runHere(environ, "exec", "--explain", "--share", "1/8")
	if status != 0 || !strings.Contains(stdout, "Server connections: 3, in transaction mode.\n  DATABASE_URL: max_connections 100 ") {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
	p = start(t, []string{"DATABASE_URL=" + remoteURL(server, "wrong", "sslmode=require")}, "exec", "--share", "1/8", "--", "true")
	if status := p.wait(); status != 0 || !strings.Contains(p.stderr.String(), `server_connections="1 and 1 in reserve" `) || !strings.Contains(p.stderr.String(), `level=WARN msg="DATABASE_URL: the share isn't known`) ||
		!strings.Contains(p.stderr.String(), "password authentication failed") {
		t.Errorf("status %d, %s", status, p.stderr)
	}
}

// Asking for a share takes the pool's own way to the server: nothing in the environment leads it astray, and a server that isn't
// there yet is asked again.
func TestExecShareOfAServerThatIsSlowToCome(t *testing.T) {
	server := remote(t)
	front := refuseFirst(t, 3, server.Address())
	u, err := url.Parse(remoteURL(server, "hunter2", "sslmode=require"))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = front
	for _, environ := range []string{"PGSERVICE=nosuch", "PGSSLMODE=disable\nPGSSLROOTCERT=/nonexist\nPGTARGETSESSIONATTRS=standby\nPGPASSFILE=/nonexist"} {
		p := start(t, append(strings.Split(environ, "\n"), "DATABASE_URL="+u.String()), "exec", "--share", "10%", "--", "true")
		if status := p.wait(); status != 0 || !strings.Contains(p.stderr.String(), "server_connections=9 ") || strings.Contains(p.stderr.String(), "level=WARN") {
			t.Errorf("%s: status %d, %s", environ, status, p.stderr)
		}
	}
}

// refuseFirst listens in front of a server, and closes the first connections without a word.
func refuseFirst(t *testing.T, refused int, server string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var relays sync.WaitGroup
	relays.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if n < refused {
				_ = c.Close()
				continue
			}
			relays.Go(func() { relay(c, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		relays.Wait()
	})
	return l.Addr().String()
}

// relay copies both ways until either end is closed.
func relay(client net.Conn, server string) {
	defer client.Close()
	c, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer c.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(c, client)
		_ = c.Close()
	}()
	_, _ = io.Copy(client, c)
	_ = client.Close()
	<-done
}

// A login that is tied to its connection, as hosting services ask for it.
func TestExecChannelBinding(t *testing.T) {
	server := remote(t)
	for _, row := range []struct{ environ, options string }{
		{"", "sslmode=require&channel_binding=require"}, {"PGCHANNELBINDING=require", "sslmode=require"},
	} {
		p := start(t, []string{row.environ, "DATABASE_URL=" + remoteURL(server, "hunter2", row.options)}, "exec", "--", child(t), "query", "SELECT 'x'")
		if status := p.wait(); status != 0 || p.stdout.String() != "value x\n" {
			t.Errorf("%v: status %d, %s%s", row, status, p.stdout, p.stderr)
		}
	}
	p := start(t, []string{"DATABASE_URL=" + postgres.URL("app", "app") + "&channel_binding=require"}, "exec", "--", child(t), "query", "SELECT 'x'")
	if status := p.wait(); status != 3 || !strings.Contains(p.stdout.String()+p.stderr.String(), "channel binding is required, and there is none without TLS") {
		t.Errorf("status %d, %s%s", status, p.stdout, p.stderr)
	}
}

// The platform's end of a dyno: TERM to every process, three times, while the command works. Nothing that it has begun fails, and
// nothing is left.
func TestExecTermUnderLoad(t *testing.T) {
	server := remote(t)
	p, _ := startInGroup(t, []string{"DATABASE_URL=" + remoteURL(server, "hunter2", "sslmode=require")}, "exec", "--pool-size", "2", "--", child(t), "load", "8")
	p.await("loading")
	began := time.Now()
	for range 3 {
		if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	ended := p.await("ended queries=")
	if !strings.Contains(ended, " failed=0 ") {
		t.Errorf("ended with %s", ended)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	eventually(t, "no connection of ours is left", func() bool { return connections(t, server) == 0 })
	if err := syscall.Kill(-p.cmd.Process.Pid, 0); err != syscall.ESRCH {
		t.Errorf("processes of the group are left: %v", err)
	}
}

// When the command is killed, what it has left behind goes on being served, until it ends or --drain is over.
func TestExecServesWhatIsLeftBehind(t *testing.T) {
	script := child(t) + ` load 2 & echo leader $$; wait`
	p, _ := startInGroup(t, []string{"DATABASE_URL=" + postgres.URL("app", "app")}, "exec", "--drain", "2s", "--", "sh", "-c", script)
	pid, err := strconv.Atoi(strings.TrimSpace(p.await("leader ")))
	if err != nil {
		t.Fatal(err)
	}
	p.await("loading")
	began := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(); status != 128+9 {
		t.Errorf("status %d", status)
	}
	if ended := p.await("ended queries="); !strings.Contains(ended, " failed=0 ") || !strings.Contains(ended, "terms=1") {
		t.Errorf("what was left behind ended with %s", ended)
	}
	if took := time.Since(began); took < 2*time.Second || took > 10*time.Second {
		t.Errorf("it took %s, and --drain was 2s", took)
	}
}

// A pooler that ends by itself takes the command with it, and the status says so whatever the command's is.
func TestExecWhenThePoolerEnds(t *testing.T) {
	p, _ := startInGroup(t, []string{"DATABASE_URL=" + postgres.URL("app", "app")}, "exec", "--set", "admin_users=app", "--",
		"sh", "-c", "trap 'echo told; exit 0' TERM; echo url $DATABASE_URL; while :; do sleep 0.05; done")
	u, err := url.Parse(strings.TrimSpace(p.await("url ")))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/pgbouncer"
	console, err := dial(u.String() + "?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = console.Exec(t.Context(), "SHUTDOWN").ReadAll() // it may be gone before it has answered
	if status := p.wait(); status != 1 {
		t.Errorf("status %d", status)
	}
	if !strings.Contains(p.stdout.String(), "told") || !strings.Contains(p.stderr.String(), "the pooler has ended: telling the command to end too") {
		t.Errorf("the command wasn't told: %s%s", p.stdout, p.stderr)
	}
}

// Somebody who kills carpool itself ends the command as well: without its database it had better be restarted.
func TestExecKilled(t *testing.T) {
	server := remote(t)
	p, _ := startInGroup(t, []string{"DATABASE_URL=" + remoteURL(server, "hunter2", "sslmode=require")}, "exec", "--", child(t), "load", "2")
	p.await("loading")
	p.signal(syscall.SIGKILL)
	p.wait()
	eventually(t, "the whole group has ended", func() bool { return syscall.Kill(-p.cmd.Process.Pid, 0) == syscall.ESRCH })
	eventually(t, "no connection of ours is left", func() bool { return connections(t, server) == 0 })
}

// A database that goes away and comes back is there again for the command without a restart.
func TestExecWhenTheDatabaseRestarts(t *testing.T) {
	server := remote(t)
	p, stdin := startInGroup(t, []string{"DATABASE_URL=" + remoteURL(server, "hunter2", "sslmode=require")}, "exec", "--", child(t), "stay", "SELECT pg_postmaster_start_time()::text")
	p.await("staying")
	fmt.Fprintln(stdin)
	first := p.await("value ")
	if err := server.Restart(t.Context(), pgserver.Crash); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(stdin)
	eventually(t, "another server answers", func() bool {
		values := regexp.MustCompile(`value (.*)\n`).FindAllStringSubmatch(p.stdout.String(), -1)
		return len(values) == 2 && values[1][1] != first
	})
	if err := stdin.(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
}

// What carpool adds to the time until a command's first query is answered. The least of several tries is what it takes; the rest is
// whatever else the machine has to do.
func TestExecStartsQuickly(t *testing.T) {
	const (
		limit = 50 * time.Millisecond
		most  = 60 // tries
	)
	command := []string{child(t), "query", "SELECT 'x'"}
	run := func(name string, args ...string) time.Duration {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = []string{"DATABASE_URL=" + postgres.URL("app", "app")}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		took := time.Since(began)
		if waitErr := cmd.Wait(); err != nil || waitErr != nil || line != "value x\n" {
			t.Fatalf("%q %v %v", line, err, waitErr)
		}
		return took
	}
	direct, through := time.Hour, time.Hour
	for tries := 0; tries < 10 || tries < most && through-direct > limit; tries++ {
		direct = min(direct, run(command[0], command[1:]...))
		through = min(through, run(binary, append([]string{"exec", "--"}, command...)...))
	}
	t.Logf("first answer after %s directly, %s behind carpool", direct, through)
	if through-direct > limit {
		t.Errorf("carpool adds %s, more than %s", through-direct, limit)
	}
}

// Under nohup the command ignores HUP, as it would without us.
func TestExecUnderNohup(t *testing.T) {
	p := startCommand(t, []string{"DATABASE_URL=" + postgres.URL("app", "app")}, "/bin/sh", "-c",
		`trap "" HUP; exec "$0" exec -- sh -c 'kill -HUP $$; echo survived'`, binary)
	if status := p.wait(); status != 0 || !strings.Contains(p.stdout.String(), "survived") {
		t.Errorf("status %d: %s %s", status, p.stdout, p.stderr)
	}
}
