package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// rollingLoad is what goes on while one carpool takes over from another.
type rollingLoad struct {
	url  string
	stop chan struct{}

	queries atomic.Int64 // answered

	mu     sync.Mutex
	failed []error
}

func (l *rollingLoad) ended() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func (l *rollingLoad) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, err)
}

// hasty connects for each query.
func (l *rollingLoad) hasty() {
	for !l.ended() {
		conn, err := dial(l.url)
		if err != nil {
			l.fail(err)
			continue
		}
		if _, err := query(conn, "SELECT 1"); err != nil {
			l.fail(err)
		}
		l.queries.Add(1)
		_ = conn.Close(context.Background())
	}
}

// loyal are clients of libpq that keep their connections: see the program.
type loyal struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

func newLoyal(t *testing.T, url string, clients int) *loyal {
	t.Helper()
	// The system's Python has psycopg2.
	l := &loyal{t: t, cmd: exec.Command("/usr/bin/python3", "testdata/loyal.py", url, strconv.Itoa(clients))}
	l.cmd.Stderr = t.Output()
	stdin, err := l.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.stdin, l.out = stdin, bufio.NewReader(stdout)
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.cmd.Process.Kill() // it may have ended
		_ = l.cmd.Wait()
	})
	if line, err := l.out.ReadString('\n'); line != "all at work\n" {
		t.Fatalf("the loyal clients: %q, %v", line, err)
	}
	return l
}

// loyalty is what came of it.
type loyalty struct {
	Queries  int      `json:"queries"`
	Told     int      `json:"told"` // clients that were told to go, and came again
	Failures []string `json:"failures"`
}

func (l *loyal) end() (came loyalty) {
	l.t.Helper()
	_ = l.stdin.Close()
	line, err := l.out.ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &came)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return came
}

// getStatus asks once, on a connection of its own.
func getStatus(t *testing.T, url string) int {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Error(err)
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// A new carpool on the same port takes over from the old one: nobody who comes
// at that moment is turned away, nobody who is in loses an answer.
func TestRollingRestartLosesNothing(t *testing.T) {
	const hasty, loyal = 30, 20
	settings := []string{"serve", "--set=so_reuseport=1", "--set=shutdown_timeout=4s", "--pool-size=10", "--set=max_client_conn=500"}
	before, address := serve(t, ownURL(), append(settings, "--set=metrics_listen=127.0.0.1:0")...)
	metrics, _, _ := strings.Cut(before.await(`msg="metrics on http://`), "/")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	l := &rollingLoad{url: "postgres://app:secret@" + address + "/app?sslmode=disable", stop: make(chan struct{})}
	var clients sync.WaitGroup
	defer clients.Wait()
	stop := sync.OnceFunc(func() { close(l.stop) })
	defer stop()
	for range hasty {
		clients.Go(l.hasty)
	}
	faithful := newLoyal(t, l.url, loyal)
	eventually(t, "queries run", func() bool { return l.queries.Load() > 500 })

	after := start(t, ownURL(), append(settings, "--port", port, "--set=metrics_listen="+metrics)...)
	after.await(`msg="listening on `)
	before.signal(syscall.SIGTERM)
	before.await("shutting down")
	// The metrics' port is the new one's, too.
	for range 20 {
		if status := getStatus(t, "http://"+metrics+"/readyz"); status != 200 {
			t.Errorf("/readyz answers %d", status)
		}
	}
	if status := before.wait(); status != 0 {
		t.Errorf("the old one: status %d", status)
	}
	ran := l.queries.Load()
	eventually(t, "queries run on", func() bool { return l.queries.Load() > ran+500 })
	stop()
	clients.Wait()
	came := faithful.end()
	for _, failure := range came.Failures {
		t.Error(failure)
	}
	for i, err := range l.failed {
		if i == 10 {
			break
		}
		t.Error(err)
	}
	t.Logf("%d queries of the hasty, %d of the loyal, %d of those told to go", l.queries.Load(), came.Queries, came.Told)
	if came.Told != loyal {
		t.Errorf("%d of %d clients that hold on to the old one were told to go", came.Told, loyal)
	}
	if strings.Contains(before.stderr.String(), "shutdown_timeout is over: closing") {
		t.Error("the old one had to cut somebody off")
	}
}

// While a carpool hands over, whoever knocks gets in a little later, when there
// is another one, and is refused at once when there is none.
func TestHandOverTakesNobodyIn(t *testing.T) {
	p, address := serve(t, ownURL(), "serve", "--set=so_reuseport=1")
	conn := mustConnect(t, address)
	p.signal(syscall.SIGTERM)
	p.await("shutting down")
	eventually(t, "the socket is closed", func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second/10)
		if err == nil {
			_ = c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	mustQuery(t, conn, "SELECT 1")
	_ = conn.Close(context.Background())
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
}
