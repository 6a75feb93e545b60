package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestMain lets this program play the pooler: it is launched with a configuration file like one.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "--version":
		fmt.Println("relay 1.0")
	case len(os.Args) > 2 && os.Args[1] == "relay":
		fmt.Fprintln(os.Stderr, relay(os.Args[2]))
		os.Exit(1)
	default:
		os.Exit(m.Run())
	}
}

// relay gives every client a connection to Postgres, as the configuration file says. It returns only with an error.
func relay(configuration string) error {
	text, err := os.ReadFile(configuration)
	if err != nil {
		return err
	}
	found := regexp.MustCompile(`(?s)host=(\S+) port=(\d+).*listen_port = (\d+)`).FindSubmatch(text)
	if found == nil {
		return errors.New("no addresses")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+string(found[3]))
	if err != nil {
		return err
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer client.Close()
			server, err := net.Dial("tcp", net.JoinHostPort(string(found[1]), string(found[2])))
			if err != nil {
				return
			}
			defer server.Close()
			go func() {
				_, _ = io.Copy(server, client)
				server.Close()
			}()
			_, _ = io.Copy(client, server)
		}()
	}
}

// temporaryDir makes the servers of a test go to a directory that shows what they leave behind. t.TempDir's may not be
// passed through by the user that they run as.
func temporaryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "compare-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	return dir
}

func expectEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := filepath.Glob(dir + "/carpool-pg-*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestRunMeasuresEveryScenario(t *testing.T) {
	dir := temporaryDir(t)
	var out bytes.Buffer
	command := []string{os.Args[0], "relay"}
	err := Run(t.Context(), Options{
		Carpool: command, PgBouncer: command, Quick: true, RunTime: time.Second, Clients: []int{2}, IdleClients: 10, BulkSize: 4,
		Settle: time.Millisecond, Out: &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	const number = `\s+\d+(\.\d+)?`
	for _, line := range []string{
		`relay 1.0 beside relay 1.0, before Postgres \d+`,
		`simple, 2 clients` + number + number + number,
		`extended, 2 clients` + number,
		`prepared, 2 clients` + number,
		`connect, simple, 2 clients` + number,
		`each client, kB\ncarpool` + number + number,
		`pgbouncer` + number + number,
		`COPY, rows of 1 kB\s+carpool` + number + number + number,
		`COPY, rows of 1 MB\s+pgbouncer` + number + number + number,
		`extended, 2 clients: looking at session state costs -?\d+\.\d % of the processor time, with`,
	} {
		if !regexp.MustCompile(line).Match(out.Bytes()) {
			t.Errorf("no line %s in\n%s", line, &out)
		}
	}
	expectEmpty(t, dir)
}

// interrupter ends a context at the first line of progress that contains a text.
type interrupter struct {
	text   string
	cancel context.CancelCauseFunc
}

var errInterrupted = errors.New("interrupted")

func (i interrupter) Write(line []byte) (int, error) {
	if strings.Contains(string(line), i.text) {
		i.cancel(errInterrupted)
	}
	return len(line), nil
}

func TestRunStopsEverythingWhenInterrupted(t *testing.T) {
	dir := temporaryDir(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	command := []string{os.Args[0], "relay"}
	err := Run(ctx, Options{
		Carpool: command, PgBouncer: command, Scenarios: []string{"bulk"}, Quick: true, BulkSize: 1, Out: io.Discard,
		Progress: interrupter{"COPY", cancel},
	})
	if !errors.Is(err, errInterrupted) {
		t.Errorf("got error %v", err)
	}
	expectEmpty(t, dir)
}

func TestRunTellsWhyAPoolerDoesNotStart(t *testing.T) {
	dir := temporaryDir(t)
	err := Run(t.Context(), Options{
		Carpool: []string{os.Args[0], "relay", "/absent"}, PgBouncer: []string{os.Args[0], "relay"}, Scenarios: []string{"idle"}, Quick: true, Out: io.Discard,
	})
	if err == nil || !strings.Contains(err.Error(), "/absent: no such file") {
		t.Errorf("got error %v", err)
	}
	expectEmpty(t, dir)
}

func TestRunRefusesUnknownScenarios(t *testing.T) {
	err := Run(t.Context(), Options{Carpool: []string{"x"}, Out: io.Discard, Scenarios: []string{"idel"}})
	if err == nil || !strings.Contains(err.Error(), `"idel"`) {
		t.Errorf("got error %v", err)
	}
}
