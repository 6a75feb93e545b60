package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"carpool/proxy/wire"

	"golang.org/x/sys/unix"
)

// leaveDescriptors lets this process have so many descriptors more than it has.
func leaveDescriptors(t *testing.T, more int) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = uint64(openDescriptors(t) + more)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

// starvedEnv tells the test below that it is the process without descriptors.
const starvedEnv = "CARPOOL_TEST_STARVED"

// serveStarved runs a proxy with room for a few clients only, until its
// standard input ends.
func serveStarved(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\ntcp_defer_accept = 0")
	p.checkServing()
	leaveDescriptors(t, 10)
	fmt.Printf("\nport %s\n", p.port)
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Printf("\nwarnings %d\n", strings.Count(p.log.String(), "out of file descriptors"))
}

// cpuTime is what a process has used.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var user, system int
	fields := strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+1:])
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// starve runs the test once more in a process of its own, with one more variable
// in the environment, until the test ends. in is its standard input, and read is
// what it says of a word, once it does.
func starve(t *testing.T, test, variable string) (pid int, in io.WriteCloser, read func(word string) (value string)) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.timeout=120s")
	child.Env = append(os.Environ(), variable)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = child.Process.Kill(); _ = child.Wait() })
	out := bufio.NewScanner(pipe)
	return child.Process.Pid, in, func(word string) (value string) {
		t.Helper()
		for out.Scan() {
			if v, ok := strings.CutPrefix(out.Text(), word+" "); ok {
				return v
			}
		}
		t.Fatalf("the process never said %q", word)
		return ""
	}
}

// Out of descriptors, the proxy neither spins nor dies, those who are in are
// served, and who waits outside gets in when there is room.
func TestOutOfDescriptors(t *testing.T) {
	if os.Getenv(starvedEnv) != "" {
		serveStarved(t)
		return
	}
	pid, in, read := starve(t, "TestOutOfDescriptors", starvedEnv+"=1")
	port := read("port")

	const clients = 40
	var list []*wireClient
	let := make([]bool, clients)
	for range clients {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		c := newWireClient(t, conn)
		c.send(startupPacket("app", "app"))
		list = append(list, c)
	}
	list[0].until(wire.ReadyForQuery)
	let[0] = true
	before := cpuTime(t, pid)
	starved := time.Now().Add(time.Second)
	for time.Now().Before(starved) {
		<-time.After(50 * time.Millisecond)
		if got := list[0].answer("select 'in'"); got != "in" {
			t.Errorf("a client that is in got %q", got)
		}
	}
	if used := cpuTime(t, pid) - before; used > 500*time.Millisecond {
		t.Errorf("%s of CPU time in a second without anything to do", used)
	}
	// One after the other they leave, and make room for the rest.
	for i, c := range list {
		if !let[i] {
			c.until(wire.ReadyForQuery)
		}
		if got := c.answer("select 'late'"); got != "late" {
			t.Errorf("client %d got %q", i, got)
		}
		_ = c.Close()
	}
	_ = in.Close()
	if warnings := read("warnings"); warnings == "0" || len(warnings) > 1 {
		t.Errorf("the log has %s warnings, want one or a few", warnings)
	}
}

// spareEnv tells the test below that it is the process without descriptors, and
// where its socket is to be.
const spareEnv = "CARPOOL_TEST_SPARE"

// serveSpare runs a proxy with a console and with room for a few clients only,
// until its standard input ends. Asked by a line there, it says how many
// descriptors are kept back.
func serveSpare(t *testing.T, dir string) {
	c, err := loadConfig(dir, "pool_mode = transaction\ndefault_pool_size = 1\ntcp_defer_accept = 0\nunix_socket_dir = "+dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p.SetConsole(quiet{})
	done := make(chan error, 1)
	go func() { done <- p.Run() }()
	before := &pooler{Proxy: p, t: t, port: p.Addresses()[0][len("127.0.0.1:"):]}
	before.checkServing()
	leaveDescriptors(t, 10)
	fmt.Printf("\nport %s\n", before.port)
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		spares := make(chan int, 1)
		p.workers[0].Post(taskOf(func() { spares <- len(p.spares.fds) }))
		fmt.Printf("\nspares %d\n", <-spares)
	}
	p.Shutdown(Immediate)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// When clients have taken every descriptor, the console is still reached by the
// Unix socket, as often as one likes, and nobody else by that way.
func TestConsoleWithoutDescriptors(t *testing.T) {
	if dir := os.Getenv(spareEnv); dir != "" {
		serveSpare(t, dir)
		return
	}
	dir := t.TempDir()
	_, in, read := starve(t, "TestConsoleWithoutDescriptors", spareEnv+"="+dir)
	port := read("port")
	dial := func(network, address string) *wireClient {
		conn, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		return newWireClient(t, conn)
	}
	var clients []*wireClient
	for range 40 {
		c := dial("tcp", "127.0.0.1:"+port)
		c.send(startupPacket("app", "app"))
		clients = append(clients, c)
	}
	clients[0].until(wire.ReadyForQuery)
	door := dir + "/.s.PGSQL.0"
	eventually(t, "there to be no descriptor left", func() bool {
		c := dial("unix", door)
		defer c.Close()
		c.send(startupPacket("app", "app"))
		for {
			typ, body, err := c.next()
			if err != nil || typ == wire.ReadyForQuery {
				return false
			}
			if typ == wire.ErrorResponse {
				return strings.Contains(wire.ParseReport(body).Message, "out of file descriptors")
			}
		}
	})
	for round := range 8 {
		var visits []*wireClient
		for range spareDescriptors {
			c := dial("unix", door)
			c.send(startupPacket("postgres", "pgbouncer"))
			c.until(wire.ReadyForQuery)
			visits = append(visits, c)
		}
		if got := clients[0].answer("select 'in'"); got != "in" {
			t.Errorf("round %d: a client that is in got %q", round, got)
		}
		for _, c := range visits {
			_ = c.Close()
		}
		// What becomes free is kept back again, whoever waits outside.
		eventually(t, "the descriptors to be kept back again", func() bool {
			_, _ = io.WriteString(in, "spares?\n")
			return read("spares") == fmt.Sprint(spareDescriptors)
		})
	}
	for i, c := range clients { // who waits gets in when others leave
		if i > 0 {
			c.until(wire.ReadyForQuery)
		}
		_ = c.Close()
	}
}
