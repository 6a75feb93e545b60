package deploy_test

import (
	"fmt"
	"maps"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	unitFile   = "systemd/carpool.service"
	socketFile = "systemd/carpool.socket"
)

// unit reads a unit file: the values by "Section.Key", in order.
func unit(t *testing.T, text string) map[string][]string {
	t.Helper()
	values := make(map[string][]string)
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		default:
			key, value, found := strings.Cut(line, "=")
			if !found || section == "" {
				t.Fatalf("not a setting: %s", line)
			}
			values[section+"."+key] = append(values[section+"."+key], value)
		}
	}
	return values
}

func TestUnit(t *testing.T) {
	values := unit(t, mustRead(t, unitFile))
	for key, want := range map[string]string{
		"Service.Type":                    "notify",
		"Service.NotifyAccess":            "main",
		"Service.ExecReload":              "/bin/kill -HUP $MAINPID",
		"Service.DynamicUser":             "yes",
		"Service.NoNewPrivileges":         "yes",
		"Service.ProtectSystem":           "strict",
		"Service.MemoryDenyWriteExecute":  "yes",
		"Service.RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
		"Install.WantedBy":                "multi-user.target",
	} {
		if got := values[key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q", key, got)
		}
	}
	if len(values["Service.KillSignal"]) > 0 {
		t.Error("it isn't stopped by SIGTERM, which alone waits for clients")
	}
	limit, err := strconv.Atoi(strings.Join(values["Service.TimeoutStopSec"], ""))
	if own := shutdownTimeout(t, append(values["Service.Environment"], "DATABASE_URL=postgres://u:p@db/d")); err != nil ||
		own <= 0 || own >= time.Duration(limit)*time.Second {
		t.Errorf("it may take %s to end, and is killed after %d s", own, limit)
	}
	if len(values["Service.LimitNOFILE"]) != 1 {
		t.Error("nothing says how many clients there may be")
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if strings.HasSuffix(key, ".User") && slices.Contains(values[key], "root") {
			t.Error("it runs as root")
		}
	}
}

// What systemd itself says of the unit, where it is installed.
func TestUnitVerified(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd isn't here: only TestUnit has looked at the unit")
		return
	}
	name := filepath.Join(t.TempDir(), "carpool.service")
	mustWrite(t, name, strings.ReplaceAll(mustRead(t, unitFile), "/usr/local/bin/carpool", binary))
	if output, err := exec.Command(analyze, "verify", name).CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, output)
	}
	// 2.0 of 10 at most, where 10 is a service with no restriction at all.
	if output, err := exec.Command(analyze, "security", "--offline=yes", "--threshold=20", name).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, output)
	}
	calls, err := exec.Command(analyze, "syscall-filter", "@aio").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []string{"io_uring_setup", "io_uring_enter", "io_uring_register"} {
		if !strings.Contains(string(calls), call) {
			t.Errorf("the filter keeps %s away: carpool falls back to epoll", call)
		}
	}
}

// The unit of the sockets, as systemd understands it, and carpool started by them: the tool does what systemd does when the
// first client comes.
func TestSocketUnit(t *testing.T) {
	values := unit(t, mustRead(t, socketFile))
	listen := values["Socket.ListenStream"]
	if len(listen) != 2 || !strings.HasSuffix(listen[1], "/.s.PGSQL.6432") || len(values["Socket.Accept"]) > 0 {
		t.Errorf("it listens on %q, Accept %q", listen, values["Socket.Accept"])
	}
	for _, directory := range unit(t, mustRead(t, unitFile))["Service.RuntimeDirectory"] {
		if strings.HasPrefix(listen[1], "/run/"+directory+"/") {
			t.Errorf("%s goes when the service stops", listen[1])
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	activate, activateErr := exec.LookPath("systemd-socket-activate")
	if err != nil || activateErr != nil {
		t.Log("systemd isn't here: only this test has looked at the unit")
		return
	}
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "carpool.service"), strings.ReplaceAll(mustRead(t, unitFile), "/usr/local/bin/carpool", binary))
	mustWrite(t, filepath.Join(dir, "carpool.socket"), mustRead(t, socketFile))
	if output, err := exec.Command(analyze, "verify", filepath.Join(dir, "carpool.socket")).CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, output)
	}
	database(t, "activated")
	mustWrite(t, filepath.Join(dir, "userlist.txt"), `"`+role+`" "`+password+`"`+"\n")
	file := filepath.Join(dir, "carpool.ini")
	mustWrite(t, file, `[databases]
activated = host=`+postgres.Host()+` port=`+fmt.Sprint(postgres.Port())+`
[pgbouncer]
auth_type = scram-sha-256
auth_file = `+dir+`/userlist.txt
server_tls_sslmode = require
`)
	port := freePort(t)
	command := activate + " --fdname=clients:clients -l " + local(port) + " -l " + dir + "/.s.PGSQL.6432 " + binary + " serve " + file
	d := start(t, dir, "service", command)
	d.await("Listening on "+local(port), 1)
	if got := userThrough(t, local(port), "activated"); got != role {
		t.Errorf("through the sockets we are %q", got)
	}
	d.await("listening on unix:"+dir, 1)
	d.broadcast(syscall.SIGTERM)
	if status := d.allEnded(patience); status != 0 {
		t.Errorf("stopped, it ends with status %d", status)
	}
	noConnections(t)
}

// The unit's commands, with a configuration as its comments want it.
func TestUnitCommands(t *testing.T) {
	values := unit(t, mustRead(t, unitFile))
	database(t, "unit")
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "userlist.txt"), `"`+role+`" "`+password+`"`+"\n")
	file := filepath.Join(dir, "carpool.ini")
	port := freePort(t)
	mustWrite(t, file, `[databases]
unit = host=`+postgres.Host()+` port=`+fmt.Sprint(postgres.Port())+`
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = `+port+`
unix_socket_dir = `+dir+`
auth_type = scram-sha-256
auth_file = `+dir+`/userlist.txt
server_tls_sslmode = require
`)
	if len(values["Service.ExecStart"]) != 1 {
		t.Fatalf("it starts %q", values["Service.ExecStart"])
	}
	command := strings.NewReplacer("/usr/local/bin/carpool", binary, "/etc/carpool/carpool.ini", file).Replace(values["Service.ExecStart"][0])
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	told := func(want string) {
		t.Helper()
		_ = manager.SetReadDeadline(time.Now().Add(patience)) // it can't fail on an open socket
		datagram := make([]byte, 1024)
		n, err := manager.Read(datagram)
		if got := string(datagram[:n]); err != nil || !strings.HasPrefix(got, want) {
			t.Fatalf("systemd is told %q, %v, want %s", got, err, want)
		}
	}
	d := start(t, dir, "service", command, append(values["Service.Environment"], "NOTIFY_SOCKET="+filepath.Join(dir, "notify"))...)
	told("READY=1\n")
	if got := userThrough(t, local(port), "unit"); got != role {
		t.Errorf("through the service we are %q", got)
	}
	reload := strings.Fields(strings.TrimSuffix(values["Service.ExecReload"][0], " $MAINPID"))
	if status, output := run(t, []string{"PATH=" + path}, reload[0], append(reload[1:], fmt.Sprint(d.Group()))...); status != 0 {
		t.Errorf("the reload command: status %d, %s", status, output)
	}
	told("RELOADING=1\nMONOTONIC_USEC=")
	told("READY=1\n")
	if got := userThrough(t, local(port), "unit"); got != role {
		t.Errorf("after a reload we are %q", got)
	}
	d.broadcast(syscall.SIGTERM)
	told("STOPPING=1\n")
	if status := d.allEnded(patience); status != 0 {
		t.Errorf("stopped, it ends with status %d", status)
	}
	noConnections(t)
}
