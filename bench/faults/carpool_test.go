package faults

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
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

	"github.com/jackc/pgx/v5/pgconn"
)

// pooler is a running carpool.
type pooler struct {
	*pgserver.Process
	t       *testing.T
	command []string
	file    string // its configuration
	listens string // where that has it listen
	log     *transcript
	address string // host:port
	metrics string // URL
}

type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *transcript) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startCarpool runs carpool in front of the server at an address, with these settings besides. wrap is a command that runs it,
// with its command line behind.
func startCarpool(t *testing.T, address, settings string, wrap ...string) *pooler {
	t.Helper()
	p := configured(t, address, settings, wrap...)
	p.start()
	return p
}

// startUnheard is startCarpool for one whose log nobody gets.
func startUnheard(t *testing.T, address, settings string, wrap ...string) *pooler {
	t.Helper()
	port, err := pgserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := configured(t, address, fmt.Sprintf("%s\nmetrics_listen = 127.0.0.1:%d", settings, port), wrap...)
	p.launch()
	p.metrics = fmt.Sprintf("http://127.0.0.1:%d/metrics", port)
	p.address = p.listens
	eventually(t, "carpool to listen", func() bool {
		select {
		case <-p.Done():
			t.Fatalf("carpool has ended: %v", p.Exit())
		default:
		}
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return p
}

// configured is a carpool that isn't started yet.
func configured(t *testing.T, address, settings string, wrap ...string) *pooler {
	t.Helper()
	host, port, _ := strings.Cut(address, ":")
	own, err := pgserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "carpool.ini")
	text := fmt.Sprintf("[databases]\n%s = host=%s port=%s user=%s sslmode=disable\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"+
		"auth_type = any\npool_mode = transaction\nmetrics_listen = 127.0.0.1:0\n%s\n", role, host, port, role, own, settings)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &pooler{t: t, file: file, listens: fmt.Sprintf("127.0.0.1:%d", own), command: append(wrap, binary, "serve", file)}
	t.Cleanup(func() {
		if p.Process == nil {
			return
		}
		p.End(patience, syscall.SIGQUIT)
		if t.Failed() {
			log := p.log.String()
			t.Logf("the end of carpool's log:\n%s", log[max(0, len(log)-6000):])
		}
	})
	return p
}

// start runs it, also again after its end.
func (p *pooler) start() {
	p.t.Helper()
	p.launch()
	p.address = p.said(`listening on ([^"]+)`)
	p.metrics = p.said(`metrics on ([^"]+)`)
}

func (p *pooler) launch() {
	p.t.Helper()
	p.log = &transcript{}
	command := exec.Command(p.command[0], p.command[1:]...)
	command.Stderr = p.log
	command.SysProcAttr = (*pgserver.Owner)(nil).ProcAttr(syscall.SIGKILL)
	var err error
	if p.Process, err = pgserver.Launch(command); err != nil {
		p.t.Fatal(err)
	}
}

// configure changes the configuration's text, which carpool reads at its next start or reload.
func (p *pooler) configure(change func(string) string) {
	p.t.Helper()
	text, err := os.ReadFile(p.file)
	if err == nil {
		err = os.WriteFile(p.file, []byte(change(string(text))), 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// order gives the console a command and waits until it is done. admin_users has to have boss.
func (p *pooler) order(t *testing.T, command string) {
	t.Helper()
	must(t, connect(t, "postgres://boss@"+p.address+"/pgbouncer?sslmode=disable"), command)
}

// said waits for a line of the log, and returns what the pattern's group matches.
func (p *pooler) said(pattern string) (found string) {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	eventually(p.t, "carpool to log "+pattern, func() bool {
		m := re.FindStringSubmatch(p.log.String())
		if m != nil {
			found = m[len(m)-1]
		}
		return m != nil
	})
	return found
}

// url is how clients get in, under a name of their own.
func (p *pooler) url() string { return clientURL(p.address) }

func clientURL(address string) string {
	return fmt.Sprintf("postgres://someone@%s/%s?sslmode=disable", address, role)
}

// connect opens a client connection that the test closes at its end.
func connect(t *testing.T, url string) *pgconn.PgConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// ask runs one statement and returns its first value.
func ask(conn *pgconn.PgConn, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	if last := results[len(results)-1]; len(last.Rows) > 0 {
		return string(last.Rows[0][0]), nil
	}
	return "", nil
}

// must is ask that has to succeed.
func must(t *testing.T, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	value, err := ask(conn, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// metric is the sum of the samples of a metric whose labels contain a text.
func (p *pooler) metric(name, labels string) (sum float64) {
	p.t.Helper()
	client := http.Client{Timeout: patience}
	response, err := client.Get(p.metrics)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' || !strings.Contains(rest, labels) {
			continue
		}
		n, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			p.t.Fatalf("%s: %v", line, err)
		}
		sum += n
	}
	return sum
}

// dials is how many server connections carpool has begun to open.
func (p *pooler) dials() int { return int(p.metric("carpool_pool_dials_total", "")) }

// dialsFailed is how many of them have come to nothing.
func (p *pooler) dialsFailed() int { return int(p.metric("carpool_pool_dial_failures_total", "")) }

// booksAgree waits until carpool has as many servers as Postgres has sessions of its role, but for the one that hears
// notifications, none of which is busy, and nobody waits. Clients have to be gone or idle.
func (p *pooler) booksAgree(s *pgserver.Server) {
	p.t.Helper()
	var ours, theirs, waiting, busy int
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	deadline := time.Now().Add(patience / 2)
	for time.Now().Before(deadline) {
		ours, busy = int(p.metric("carpool_pool_servers", "")), int(p.metric("carpool_pool_servers", `state="active"`))
		waiting = int(p.metric("carpool_pool_clients", `state="waiting"`))
		text, err := s.Value(ctx, "", "select count(*)::text from pg_stat_activity where usename = '"+role+"' and application_name <> 'carpool listen'")
		if err != nil {
			p.t.Fatal(err)
		}
		theirs, _ = strconv.Atoi(text)
		if ours == theirs && busy == 0 && waiting == 0 {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	p.t.Errorf("carpool has %d servers, %d of them busy, and %d clients waiting; Postgres has %d sessions", ours, busy, waiting, theirs)
}
