package nullserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"
)

// childVariable in the environment makes this test program the null server's own process.
const childVariable = "CARPOOL_TEST_NULL_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := Child(context.Background(), os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func start(t testing.TB) *Server {
	t.Helper()
	server, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// launch starts a server in a process of its own.
func launch(t testing.TB) *Server {
	t.Helper()
	server, err := Launch(t.Context(), []string{os.Args[0]}, append(os.Environ(), childVariable+"=yes"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func connect(t testing.TB, url string) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// checkOne wants one row with the value 1.
func checkOne(t *testing.T, what string, result *pgconn.Result) {
	t.Helper()
	if result.Err != nil || len(result.Rows) != 1 || string(result.Rows[0][0]) != answer || result.CommandTag.String() != "SELECT 1" {
		t.Errorf("%s: %v, %q, %s", what, result.Err, result.Rows, result.CommandTag)
	}
}

func TestDriverMayAskInEveryWay(t *testing.T) {
	server := start(t)
	for _, url := range []string{server.URL(), strings.Replace(server.URL(), "disable", "prefer", 1)} {
		conn := connect(t, url)
		if _, err := conn.Prepare(t.Context(), "named", question, nil); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			results, err := conn.Exec(t.Context(), question).ReadAll()
			if err != nil || len(results) != 1 {
				t.Fatalf("simple: %v, %d results", err, len(results))
			}
			checkOne(t, "simple", results[0])
			checkOne(t, "extended", conn.ExecParams(t.Context(), question, [][]byte{[]byte("x")}, nil, nil, nil).Read())
			checkOne(t, "prepared", conn.ExecPrepared(t.Context(), "named", nil, nil, nil).Read())
		}
		if err := conn.Deallocate(t.Context(), "named"); err != nil {
			t.Error(err)
		}
		if status := conn.TxStatus(); status != 'I' {
			t.Errorf("status %c", status)
		}
		// Far more than one read takes.
		checkOne(t, "long", conn.ExecParams(t.Context(), question, [][]byte{make([]byte, 20*inputSize)}, nil, nil, nil).Read())
	}
}

func TestWhatIsntSpokenIsRefused(t *testing.T) {
	server := start(t)
	raw, err := net.Dial("tcp", server.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Write(append(login(), message('F', "")...)); err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(raw)
	if err != nil || !bytes.Contains(reply, []byte("08P01")) {
		t.Errorf("a function call: %q, %v", reply, err)
	}
	if _, err := pgconn.Connect(t.Context(), server.URL()+"&sslmode=require"); err == nil {
		t.Error("TLS was promised")
	}
}

func TestMoreClientsThanThreadsAreServed(t *testing.T) {
	server := start(t)
	var all sync.WaitGroup
	conns := make([]*pgconn.PgConn, 2*threads)
	for i := range conns {
		conns[i] = connect(t, server.URL())
	}
	for _, conn := range conns {
		all.Go(func() {
			for range 20 {
				if _, err := conn.Exec(context.Background(), question).ReadAll(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestStopEndsConnections(t *testing.T) {
	for name, begin := range map[string]func(context.Context) (*Server, error){
		"in this process": Start,
		"in its own": func(ctx context.Context) (*Server, error) {
			return Launch(ctx, []string{os.Args[0]}, append(os.Environ(), childVariable+"=yes"))
		},
	} {
		server, err := begin(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		conn := connect(t, server.URL())
		if err := server.Stop(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := conn.Exec(t.Context(), question).ReadAll(); err == nil {
			t.Errorf("%s: a stopped server answers", name)
		}
		if again, err := net.Dial("tcp", server.Address()); err == nil {
			_ = again.Close()
			t.Errorf("%s: a stopped server listens", name)
		}
	}
}

func TestEndOfContextStopsServer(t *testing.T) {
	for name, begin := range map[string]func(context.Context) (*Server, error){
		"in this process": Start,
		"in its own": func(ctx context.Context) (*Server, error) {
			return Launch(ctx, []string{os.Args[0]}, append(os.Environ(), childVariable+"=yes"))
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		server, err := begin(ctx)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		conn := connect(t, server.URL())
		cancel()
		if err := server.Stop(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := conn.Exec(t.Context(), question).ReadAll(); err == nil {
			t.Errorf("%s: it serves on", name)
		}
	}
}

func TestLaunchTellsWhatWentWrong(t *testing.T) {
	for _, row := range []struct {
		command []string
		want    string
	}{
		{nil, "no command"},
		{[]string{"/nowhere/carpool"}, "no such file"},
		{[]string{"true"}, "it told no address"},
		{[]string{"echo", "hello"}, "it told no address"},
		{[]string{"sh", "-c", "yes | tr -d '\\n'"}, "it told no address"},
	} {
		_, err := Launch(t.Context(), row.command, nil)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: %v", row.command, err)
		}
	}
}

func TestBareMeasures(t *testing.T) {
	server := launch(t)
	median, err := Bare(t.Context(), server.Address(), 200)
	if err != nil || median <= 0 || median > time.Second {
		t.Errorf("%v, %v", median, err)
	}
	if _, err := Bare(t.Context(), server.Address(), 0); err == nil {
		t.Error("no calls have a median")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Bare(ctx, server.Address(), 1e8); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("interrupted: %v", err)
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
}
