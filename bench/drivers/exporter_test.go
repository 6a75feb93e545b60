package drivers

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"carpool/bench/pgserver"

	"github.com/jackc/pgx/v5"
)

// Debian's exporter for Prometheus was made for a PgBouncer of years ago. With the columns of that time it scrapes carpool.
func TestExporterScrapesTheConsole(t *testing.T) {
	address := startCarpool(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for database, sql := range map[string]string{"postgres": "select 1", "pgbouncer": "SET console_old_columns = 1"} {
		conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", user, password, address, database))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Error(err)
		}
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	listen := unusedAddress(t)
	_, listenPort, _ := net.SplitHostPort(listen)
	command := exec.Command("prometheus-pgbouncer-exporter", "--host", "127.0.0.1", "--port", listenPort,
		"--pgbouncer-host", host, "--pgbouncer-port", port, "--pgbouncer-user", user)
	command.Env = append(pgserver.Environment(t.TempDir()), "PGPASSWORD="+password)
	var nobody *pgserver.Owner
	command.SysProcAttr = nobody.ProcAttr(syscall.SIGKILL)
	said := &log{}
	command.Stderr = said
	process, err := pgserver.Launch(command)
	if err != nil {
		t.Fatal(err)
	}
	defer process.End(stopPatience, syscall.SIGINT)
	metrics := scrape(ctx, t, "http://"+listen+"/metrics")
	for _, want := range []string{
		`pgbouncer_requests_total{database="postgres"} 1.0`, `pgbouncer_active_clients{database="postgres",user="app"} 0.0`,
		`pgbouncer_reserve_pool{database="postgres"} 0.0`, `pgbouncer_pool_size{database="postgres"} 2.0`, "pgbouncer_pools ", "pgbouncer_dns_pending 0.0",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("there is no %s in what it exports:\n%s\nIt said:\n%s", want, metrics, said.end())
		}
	}
}

// scrape asks until somebody answers.
func scrape(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			return string(body)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("nobody answers at %s: %v", url, err)
		case <-retry.C:
		}
	}
}

// unusedAddress is one of the loopback's that nobody listens on.
func unusedAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
