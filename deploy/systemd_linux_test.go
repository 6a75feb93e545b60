package deploy_test

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const unitFile = "systemd/carpool.service"

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
		"Service.Type":                    "exec", // notify has no sender yet
		"Service.ExecReload":              "/bin/kill -HUP $MAINPID",
		"Service.KillSignal":              "SIGINT",
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
	d := start(t, dir, "service", command)
	d.await("msg=up ", 1)
	if got := userThrough(t, local(port), "unit"); got != role {
		t.Errorf("through the service we are %q", got)
	}
	reload := strings.Fields(strings.TrimSuffix(values["Service.ExecReload"][0], " $MAINPID"))
	if status, output := run(t, []string{"PATH=" + path}, reload[0], append(reload[1:], fmt.Sprint(d.Group()))...); status != 0 {
		t.Errorf("the reload command: status %d, %s", status, output)
	}
	if got := userThrough(t, local(port), "unit"); got != role {
		t.Errorf("after a reload we are %q", got)
	}
	d.broadcast(syscall.SIGINT)
	if status := d.allEnded(patience); status != 0 {
		t.Errorf("stopped, it ends with status %d", status)
	}
	noConnections(t)
}
