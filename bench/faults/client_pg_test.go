package faults

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/procfs"

	"github.com/jackc/pgx/v5/pgconn"
)

// The client side of the table, and carpool itself: its memory, its descriptors, its certificate, its death.

// resident is the memory that carpool holds, in bytes; 0 where only Linux would say.
func resident(t *testing.T, p *pooler) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	m, err := procfs.ReadMemory(p.PID())
	if err != nil {
		t.Fatal(err)
	}
	return m.Resident
}

// A client asks for far more than any buffer holds, and reads nothing of it; others come and go.
func TestSlowReader(t *testing.T) {
	const most = 8 << 20
	megabytes := either(64, 1024)
	p := startCarpool(t, postgres.Address(), "default_pool_size = 4")
	l := startLoad(t, postgres, p.url(), 6)
	l.more(100)
	l.p99()
	l.more(either(300, 3000))
	alone, before := l.p99(), resident(t, p)
	slow := connect(t, p.url())
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	reader := slow.Exec(ctx, fmt.Sprintf("select repeat('x', 1000) from generate_series(1, %d)", megabytes*1000))
	l.more(either(300, 3000))
	beside, grown := l.p99(), resident(t, p)-before
	if grown > most {
		t.Errorf("carpool's memory has grown by %d KiB for a client that doesn't read", grown>>10)
	}
	bytes := 0
	for reader.NextResult() {
		for reader.ResultReader().NextRow() {
			bytes += len(reader.ResultReader().Values()[0])
		}
	}
	if err := reader.Close(); err != nil || bytes != megabytes*1000*1000 {
		t.Errorf("%d bytes have come: %v", bytes, err)
	}
	grown = max(grown, resident(t, p)-before)
	if grown > most {
		t.Errorf("carpool's memory has grown by %d KiB for a result of %d MB", grown>>10, megabytes)
	}
	l.end(postgres)
	failed, how := l.failed()
	if failed > 0 {
		t.Errorf("%d errors to bystanders: %s", failed, how)
	}
	figure(t, "slow reader", "%d MB asked for and left unread, then read: memory grows by %d KiB; others' p99 %s, without it %s; %d errors",
		megabytes, grown>>10, beside.Round(100*time.Microsecond), alone.Round(100*time.Microsecond), failed)
	_ = slow.Close(ctx)
	p.booksAgree(postgres)
}

// A client that is stopped says nothing more, and its system keeps the connection up.
func TestStoppedClient(t *testing.T) {
	const limit = time.Second
	p := startCarpool(t, postgres.Address(), "default_pool_size = 1\nidle_transaction_timeout = 1")
	var longest time.Duration
	rounds := either(2, 10)
	for range rounds {
		stopped, other := connect(t, p.url()), connect(t, p.url())
		must(t, stopped, "begin")
		must(t, stopped, "create temp table stayed (a int)")
		began := time.Now()
		if got := must(t, other, "select coalesce(to_regclass('stayed')::text, 'nothing')"); got != "nothing" {
			t.Errorf("the other found %s", got)
		}
		longest = max(longest, time.Since(began))
		if _, err := ask(stopped, "select 1"); err == nil || code(err) != "25P03" && code(err) != "none" {
			t.Errorf("the stopped client hears %v", err)
		}
	}
	if longest < limit/2 || longest > 3*limit {
		t.Errorf("the server was free after %s", longest)
	}
	figure(t, "client stopped in a transaction", "idle_transaction_timeout %s: the next in the queue has the server after %s; 0 servers held", limit, longest.Round(time.Millisecond))
	p.booksAgree(postgres)
}

// There are fewer descriptors than clients that want in.
func TestDescriptorsExhausted(t *testing.T) {
	const descriptors, hogs = 64, 120
	p := startCarpool(t, postgres.Address(), "default_pool_size = 2\nmax_client_conn = 1000", "sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, descriptors))
	there := connect(t, p.url())
	must(t, there, "select 1")
	var open []net.Conn
	for range hogs {
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.Write([]byte{0, 0}); err != nil { // of a start-up packet that never ends
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	p.said("out of file descriptors")
	used := processorTime(t, p)
	began := time.Now()
	for until := began.Add(time.Duration(either(1, 10)) * time.Second); time.Now().Before(until); {
		must(t, there, "select 1")
		<-time.After(100 * time.Millisecond) // so that what carpool does by itself is seen
	}
	share := float64(processorTime(t, p)-used) / float64(time.Since(began)) * 100
	if share > 20 {
		t.Errorf("carpool uses %.0f %% of a processor while it is out of descriptors", share)
	}
	freed := time.Now()
	for _, conn := range open {
		_ = conn.Close()
	}
	must(t, connect(t, p.url()), "select 1")
	back := time.Since(freed)
	figure(t, "file descriptors exhausted", "%d descriptors, %d connections: the client that was there had 0 errors; carpool used %.1f %% of a processor; a new client was served %s after the others left",
		descriptors, hogs, share, back.Round(time.Millisecond))
	_ = there.Close(context.Background())
	p.booksAgree(postgres)
}

func processorTime(t *testing.T, p *pooler) time.Duration {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	used, err := procfs.CPU(p.PID())
	if err != nil {
		t.Fatal(err)
	}
	return used
}

func TestCertificateRotated(t *testing.T) {
	dir := t.TempDir()
	authority, err := pgserver.NewAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(dir, "shown.crt"), filepath.Join(dir, "shown.key")
	install := func(name string) {
		pair, err := authority.Issue(name, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		for from, to := range map[string]string{pair.Cert: cert, pair.Key: key} {
			text, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(to, text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	install("first")
	p := startCarpool(t, postgres.Address(), fmt.Sprintf("client_tls_sslmode = require\nclient_tls_cert_file = %s\nclient_tls_key_file = %s", cert, key))
	url := fmt.Sprintf("postgres://someone@%s/%s?sslmode=verify-full&sslrootcert=%s", p.address, role, authority.File)
	l := startLoad(t, postgres, url, 6)
	l.more(50)
	logins := l.logins.Load()
	rotations := either(2, 20)
	for i := range rotations {
		name := fmt.Sprintf("next %d", i)
		install(name)
		reload(t, p, "msg=reloaded")
		if got := shownName(t, url); got != name {
			t.Errorf("after rotation %d a new client is shown the certificate of %q", i, got)
		}
		l.more(20)
	}
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	reload(t, p, "client_tls_cert_file|certificate")
	if got, want := shownName(t, url), fmt.Sprintf("next %d", rotations-1); got != want {
		t.Errorf("with a broken certificate a new client is shown the one of %q", got)
	}
	l.more(20)
	dropped := l.logins.Load() - logins
	l.end(postgres)
	if failed, how := l.failed(); failed > 0 || dropped > 0 || len(l.refuse) > 0 {
		t.Errorf("%d transactions failed: %s; %d connections were dropped", failed, how, dropped)
	}
	figure(t, "certificate rotated", "%d rotations and a broken certificate, under load: %d connections dropped, 0 errors in %d transactions", rotations, dropped, l.acked.Load())
	p.booksAgree(postgres)
}

// reload has carpool read its files anew, and waits for what it says then.
func reload(t *testing.T, p *pooler, pattern string) {
	t.Helper()
	p.log.forget()
	if err := p.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.said("(" + pattern + ")")
}

func (o *transcript) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Reset()
}

// shownName is whose certificate a new client is shown.
func shownName(t *testing.T, url string) string {
	t.Helper()
	c, err := pgconn.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	encrypted, ok := conn.Conn().(interface {
		ConnectionState() tls.ConnectionState
	})
	if !ok {
		t.Fatal("the connection isn't encrypted")
	}
	return encrypted.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestCarpoolKilled(t *testing.T) {
	p := startCarpool(t, postgres.Address(), "default_pool_size = 5")
	l := startLoad(t, postgres, p.url(), 12)
	var longest time.Duration
	rounds := either(2, 20)
	for range rounds {
		l.more(100)
		if err := p.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		began := time.Now()
		p.start()
		l.more(1)
		longest = max(longest, time.Since(began))
	}
	l.more(100)
	l.end(postgres)
	l.onlyFailed("none") // nobody is left to say anything
	failed, how := l.failed()
	figure(t, "carpool killed (SIGKILL), under load", "%d times: first success at most %s after it is started again, on the same port; %d of %d transactions failed (%s: the connection is gone), 0 acknowledged lost",
		rounds, longest.Round(time.Millisecond), failed, failed+int(l.acked.Load()), how)
	p.booksAgree(postgres) // no session of the dead one is left
}
