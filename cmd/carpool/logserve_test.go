package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"carpool/config"

	"github.com/jackc/pgx/v5/pgconn"
)

// Each line is an object, whatever clients send, and to the end.
func TestEveryLineIsJSON(t *testing.T) {
	dir := t.TempDir()
	text := func(rest string) string {
		return fmt.Sprintf("[databases]\n* = host=%s port=%d user=app password=secret\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir =\n"+
			"auth_type = any\nlog_format = json\nverbose = 2\nlog_slow = 1\nmax_startup_packet_size = 100000\npool_mode = transaction\n%s", postgres.Host(), postgres.Port(), rest)
	}
	file := write(t, dir, "carpool.ini", text(""))
	p := start(t, nil, "serve", file)
	address, _, _ := strings.Cut(p.await(`"msg":"listening on `), `"`)
	for _, name := range []string{
		"app", "line\nlevel=INFO msg=forged", "\x1b[31mred\x07\r\t", "\xff\xfe\x80", `quote" \ back`, "\u2028\u0085\u202e", strings.Repeat("long ", 5000), "}{",
	} {
		c, err := pgconn.ParseConfig("postgres://" + address + "/app?sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		c.User, c.Database = name, name
		c.RuntimeParams["application_name"] = name
		if conn, err := pgconn.ConnectConfig(t.Context(), c); err == nil {
			_ = conn.Close(context.Background())
		}
		c.Database = "app"
		conn, err := pgconn.ConnectConfig(t.Context(), c)
		if err != nil {
			continue
		}
		_, _ = query(conn, "SELECT pg_sleep(0.01), '"+strings.ToValidUTF8(name, "?")+"' AS \""+strings.ToValidUTF8(name, "?")+"\"")
		_, _ = query(conn, "nonsense")
		_, _ = query(conn, "CREATE TEMP TABLE t (a int)")
		_ = conn.Close(context.Background())
	}
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = raw.Write([]byte("GET / HTTP/1.1\r\n\x00\x01\x1b[2J"))
	_ = raw.Close()
	write(t, dir, "carpool.ini", text("nonsense \x01 = \x1b[31m\n"))
	p.signal(syscall.SIGHUP)
	p.await("the configuration stays as it was")
	write(t, dir, "carpool.ini", text("listen_backlog = 7\nstats_period = 0.1\n"))
	p.signal(syscall.SIGHUP)
	p.await(`"msg":"reloaded"`)
	p.await(`"msg":"stats: `)
	busy := mustConnect(t, address)
	mustQuery(t, busy, "BEGIN; SELECT 1")
	p.signal(syscall.SIGQUIT)
	if status := p.wait(); status != exitFailure {
		t.Errorf("status %d", status)
	}
	lines := 0
	for line := range strings.Lines(p.stderr.String()) {
		lines++
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil || object["msg"] == nil || object["level"] == nil || object["time"] == nil {
			t.Errorf("%v: %q", err, line)
		}
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("control characters in %q", line)
		}
	}
	if lines < 50 || !strings.Contains(p.stderr.String(), "transactions were cut off by the end: 1") {
		t.Errorf("%d lines", lines)
	}
}

// Whatever happens, no password is in the log.
func TestLogHoldsNoSecret(t *testing.T) {
	dir := t.TempDir()
	logfile := filepath.Join(dir, "carpool.log")
	settings := func(rest string) string {
		return fmt.Sprintf(`[databases]
app = host=%[1]s port=%[2]d dbname=app user=app password=secret
other = host=%[1]s port=%[2]d dbname=app user=app password=hushini
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 0
unix_socket_dir =
auth_type = plain
auth_file = %[3]s
admin_users = app
verbose = 3
log_slow = 0.001
pool_mode = transaction
server_login_retry = 0.1
logfile = %[4]s
%[5]s`, postgres.Host(), postgres.Port(), filepath.Join(dir, "users.txt"), logfile, rest)
	}
	place(t, filepath.Join(dir, "users.txt"), "\"app\" \"hushfile\"\n")
	file := write(t, dir, "carpool.ini", settings(""))
	p := start(t, []string{"CARPOOL_USERLIST=\"listed\" \"hushlist\"\n", "OTHER_URL=postgres://app:hushurl@127.0.0.1:1/elsewhere?sslmode=disable"},
		"serve", "-v", "--url=OTHER_URL", file)
	address, _, _ := strings.Cut(p.await(`msg="listening on `), `"`)
	enter := func(database, password string) (*pgconn.PgConn, error) {
		return dial("postgres://app:" + password + "@" + address + "/" + database + "?sslmode=disable")
	}
	if _, err := enter("app", "hushwrong"); err == nil {
		t.Error("a wrong password")
	}
	conn, err := enter("app", "hushfile")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, statement := range []string{
		"CREATE ROLE hushed PASSWORD 'hushrole'", "ALTER ROLE hushed PASSWORD 'hushalter'", "ALTER ROLE nobody WITH ENCRYPTED PASSWORD 'hushnobody'",
		"SET my.password = 'hushset'", "SET SESSION my.password TO $$hushdollar$$", "SELECT set_config('my.password', 'hushconfig', false)",
		"PREPARE p AS SELECT 'hushprepare'", "CREATE TEMP TABLE t AS SELECT 'hushtemp' /* hushcomment */ -- hushrest", "ALTER ROLE hushed PASSWORD 'hushbroken",
		"SELECT U&'hushunicode', E'hush\\'escape', B'1'", "DROP ROLE hushed",
	} {
		_, _ = query(conn, "SELECT pg_sleep(0.002); "+statement) // some are errors, as they are meant to be
		_ = conn.ExecParams(t.Context(), statement, nil, nil, nil, nil).Read()
	}
	_ = conn.ExecParams(t.Context(), "SELECT $1::text, pg_sleep(0.002)", [][]byte{[]byte("hushparameter")}, nil, nil, nil).Read()
	for _, database := range []string{"other", "elsewhere"} { // servers that refuse, or aren't there
		if c, err := enter(database, "hushfile"); err == nil {
			_, _ = query(c, "SELECT 1")
			_ = c.Close(context.Background())
		}
	}
	reload := func(text, told string) {
		t.Helper()
		place(t, file+".new", text)
		move(t, file+".new", file)
		p.signal(syscall.SIGHUP)
		p.await(told)
	}
	reload(settings("nonsense = 1\n[databases]\nx = host=y password=hushbroken2 nonsense=1\n"), `unknown setting \"nonsense\"`)
	reload(settings("; one line more\n[databases]\nx = host=y password='hushopen\n"), "carpool.ini:18: ")
	reload(settings("[databases]\nx password=hushline\n"), "carpool.ini:17: expected name = value")
	place(t, file+".new", settings("[databases]\nadded = host=127.0.0.1 user=x password=hushadded\n"))
	move(t, file+".new", file)
	place(t, filepath.Join(dir, "users.txt"), "\"app\" \"hushfile\"\n\"broken\" \"hushthree\n")
	p.await("users.txt:2: ")
	place(t, filepath.Join(dir, "users.txt"), "\"app\" \"hushfour\"\n")
	p.signal(syscall.SIGHUP)
	p.await("setting=databases.added")
	p.signal(syscall.SIGQUIT)
	p.wait()
	found := regexp.MustCompile(`hush(?:[a-z0-9]+)|secret`)
	for name, text := range map[string]string{"stderr": p.stderr.String(), "stdout": p.stdout.String(), "logfile": string(mustReadFile(t, logfile))} {
		for line := range strings.Lines(text) {
			for _, secret := range found.FindAllString(line, -1) {
				if secret != "hushed" { // the role
					t.Errorf("%s has %s: %s", name, secret, line)
				}
			}
		}
		if name == "logfile" && !strings.Contains(text, "slow transaction") {
			t.Error("nothing was slow: this proves little")
		}
	}
}

// The log is in the file as well; one that is moved away is followed by another
// under the name, without a signal, and at once with one.
func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "carpool.log")
	settings := "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir =\nauth_type = any\nlogfile = "
	file := write(t, dir, "carpool.ini", settings+name+"\n")
	holds := func(name, text string) bool {
		content, _ := os.ReadFile(name) // it may not be there yet
		return bytes.Contains(content, []byte(text))
	}
	p := start(t, nil, "serve", file)
	address, _, _ := strings.Cut(p.await(`msg="listening on `), `"`)
	eventually(t, "the file has what stderr has", func() bool { return holds(name, "listening on "+address) })
	move(t, name, name+".1")
	eventually(t, "the new file has lines", func() bool {
		if conn, err := net.Dial("tcp", address); err == nil {
			_, _ = conn.Write([]byte("nonsense, which is logged"))
			_ = conn.Close()
		}
		return holds(name, "closing because")
	})
	move(t, name, name+".2")
	p.signal(syscall.SIGHUP)
	eventually(t, "another new file has lines", func() bool { return holds(name, "msg=reloaded") })

	// With a configuration that isn't good, too.
	move(t, name, name+".3")
	write(t, dir, "carpool.ini", "nonsense")
	p.signal(syscall.SIGHUP)
	eventually(t, "the file is there", func() bool { _, err := os.Stat(name); return err == nil })
	p.await("the configuration stays as it was")

	// A file that can't be opened leaves the one from before.
	write(t, dir, "carpool.ini", settings+"/nowhere/carpool.log\n")
	p.signal(syscall.SIGHUP)
	eventually(t, "the old file has lines", func() bool {
		return holds(name, "/nowhere/carpool.log") && holds(name, "the log goes on where it went")
	})
	write(t, dir, "carpool.ini", settings+name+".other\nlog_format = json\n")
	p.signal(syscall.SIGHUP)
	write(t, dir, "carpool.ini", settings+name+".other\nlog_format = json\nlog_to = stdout\n")
	p.signal(syscall.SIGHUP)
	eventually(t, "the shape and the stream are others", func() bool {
		p.signal(syscall.SIGHUP) // signals that come together may be one
		return strings.Contains(p.stdout.String(), `{"time":`) && holds(name+".other", `{"time":`)
	})
	p.signal(syscall.SIGTERM)
	if status := p.wait(); status != exitOK || !holds(name+".other", `"msg":"stopped"`) {
		t.Errorf("status %d", status)
	}

	// Quiet is for the streams alone.
	write(t, dir, "carpool.ini", settings+name+".quiet\n")
	p = start(t, nil, "serve", "-q", file)
	eventually(t, "the file has lines", func() bool { return holds(name+".quiet", "listening on") })
	p.signal(syscall.SIGTERM)
	if status := p.wait(); status != exitOK || p.stderr.String() != "" {
		t.Errorf("status %d, and on stderr %s", status, p.stderr)
	}
	if status, _, stderr := runHere(nil, "serve", "--set=logfile=/nowhere/carpool.log", "/dev/null"); status != exitFailure || !strings.Contains(stderr, "logfile: ") {
		t.Errorf("a file that can't be opened: status %d, %s", status, stderr)
	}
}

// syslog gets a datagram for each line, with severity, facility and name.
func TestSyslog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	daemon := func() *net.UnixConn {
		t.Helper()
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	receive := func(conn *net.UnixConn) string {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(patience)) // it can't fail on an open socket
		datagram := make([]byte, 64<<10)
		n, err := conn.Read(datagram)
		if err != nil {
			t.Fatal(err)
		}
		return string(datagram[:n])
	}
	conn := daemon()
	c := config.Default()
	l, err := newServeLog(c, &program{stdout: newTranscript(), stderr: newTranscript()}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.paths = []string{"/nowhere/log", path}
	set := func(values ...string) {
		t.Helper()
		for _, v := range values {
			name, value, _ := strings.Cut(v, "=")
			if err := c.Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
		if problems := c.Validate(); len(problems) > 0 && !strings.Contains(problems[0].Message, "listen") {
			t.Fatal(problems)
		}
		if err := l.configure(c); err != nil {
			t.Fatal(err)
		}
	}
	set("syslog=1")
	stamp := `[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d `
	expect := func(pattern string) {
		t.Helper()
		if got := receive(conn); !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
			t.Errorf("got %q, want %s", got, pattern)
		}
	}
	l.log.Info("hello", "user", "a\nb\x1b")
	expect(`<30>` + stamp + fmt.Sprintf(`pgbouncer\[%d\]: msg=hello user="a\\nb\\x1b"`, os.Getpid()))
	l.log.Warn("careful")
	expect(`<28>.*: msg=careful`)
	set("syslog_ident=pool", "syslog_facility=local3", "log_level=debug")
	l.log.Debug("small")
	expect(`<159>` + stamp + `pool\[\d+\]: msg=small`)
	set("log_format=json")
	l.log.Error("large", "text", strings.Repeat("x", 2*maxSyslogLine))
	expect(`<155>.*pool\[\d+\]: {"msg":"large","text":"x+`)
	// A daemon that is started anew is found again.
	_ = conn.Close()
	_ = os.Remove(path)
	conn = daemon()
	l.log.Error("again")
	expect(`<155>.*{"msg":"again"}`)
	set("syslog=0")
	l.log.Error("nobody hears")
	set("syslog=1")
	l.log.Error("somebody hears")
	expect(`<155>.*somebody hears.*`)

	c = config.Default()
	_ = c.Set("syslog_facility", "cron") // any text is accepted until it is looked at as a whole
	if problems := c.Validate(); len(problems) == 0 || !strings.Contains(problems[0].Message, "local0") && !strings.Contains(problems[len(problems)-1].Message, "local0") {
		t.Errorf("an unknown facility: %v", problems)
	}
}
