package drivers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carpool/bench/pgserver"
)

const (
	// poolSize is how many servers carpool has for a database: fewer than any of the drivers' own pools would like.
	poolSize = 2
	// stopPatience is how long carpool may take to end when it is told to.
	stopPatience = 5 * time.Second
	// longestLog bounds what of carpool's log a failed test shows.
	longestLog = 4000
)

// configuration is all that carpool is told: a pool for every database of the server.
const configuration = `[databases]
* = host=%s port=%d
[carpool]
listen_addr = 127.0.0.1
listen_port = 0
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = transaction
default_pool_size = %d
admin_users = app
max_client_conn = 500
`

// startCarpool builds carpool, starts it before the server, and returns its address. It ends with the test.
func startCarpool(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "carpool")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "carpool/cmd/carpool")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building carpool: %v\n%s", err, out)
	}
	users, file := filepath.Join(dir, "users.txt"), filepath.Join(dir, "carpool.ini")
	write(t, users, fmt.Sprintf("%q %q\n", user, password))
	write(t, file, fmt.Sprintf(configuration, postgres.Host(), postgres.Port(), users, poolSize))
	log := &log{listening: make(chan string, 1)}
	command := exec.Command(binary, "serve", file)
	command.Env, command.Stderr = pgserver.Environment(dir), log
	var nobody *pgserver.Owner
	command.SysProcAttr = nobody.ProcAttr(syscall.SIGKILL)
	process, err := pgserver.Launch(command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-process.Done():
			t.Errorf("carpool has ended by itself: %v", process.Exit())
		default:
			process.End(stopPatience, syscall.SIGQUIT)
		}
		if t.Failed() {
			t.Logf("the end of carpool's log:\n%s", log.end())
		}
	})
	select {
	case address := <-log.listening:
		return address
	case <-process.Done():
		t.Fatalf("carpool ended: %v", process.Exit())
	case <-time.After(patience):
		t.Fatal("carpool doesn't listen")
	}
	return ""
}

// log is what carpool has written.
type log struct {
	listening chan string // gets the address, once

	mu   sync.Mutex // guards what follows
	text strings.Builder
	told bool
}

// Write notes what is written, and finds the address in it.
func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if !l.told {
		if _, after, found := strings.Cut(l.text.String(), `msg="listening on `); found {
			if address, _, whole := strings.Cut(after, `"`); whole {
				l.told = true
				l.listening <- address
			}
		}
	}
	return len(b), nil
}

// end is the last lines.
func (l *log) end() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	return text[max(0, len(text)-longestLog):]
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
