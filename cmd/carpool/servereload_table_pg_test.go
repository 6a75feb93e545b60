package main

import (
	"fmt"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/config"
)

// another is a value for a setting that differs from the default, and goes with
// the others here.
func another(t *testing.T, s config.Setting, special map[string]string) string {
	t.Helper()
	if value, ok := special[s.Name]; ok {
		return value
	}
	if strings.HasPrefix(s.Name, "state_") || s.Name == "session_state" {
		return "reject"
	}
	switch {
	case s.Default == "0" || s.Default == "1":
		return strconv.Itoa(1 - int(s.Default[0]-'0'))
	case s.Default != "":
		if n, err := strconv.Atoi(s.Default); err == nil {
			return strconv.Itoa(n - 1)
		}
	}
	t.Fatalf("no other value for %s, whose default is %q", s.Name, s.Default)
	return ""
}

// Every setting is taken on by a reload, and SHOW CONFIG has its new value, or
// it is named as one that needs a restart, to the console and in the log, and
// keeps its value. One that carpool doesn't act on is named as such.
func TestReloadOfEverySetting(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	place(t, path("users.txt"), "\"app\" \"secret\"\n")
	special := map[string]string{
		"pidfile": path("other.pid"), "user": "other-" + me.Username, "logfile": path("other.log"), "syslog_ident": "other", "syslog_facility": "local1",
		"job_name": "other", "conffile": path("other.ini"), "listen_addr": "127.0.0.2", "unix_socket_dir": dir, "unix_socket_mode": "0700", "unix_socket_group": "other",
		"pool_mode": "transaction", "track_extra_parameters": "search_path", "ignore_startup_parameters": "options", "auth_type": "md5", "auth_file": path("users.txt"),
		"auth_hba_file": path("hba.conf"), "auth_ident_file": path("ident.conf"), "auth_user": "app", "auth_dbname": "app", "auth_query": "SELECT $1, 'x'",
		"auth_ldap_options": "other", "admin_users": "app, other", "stats_users": "other", "verbose": "1", "log_format": "json", "log_level": "debug", "log_to": "stdout",
		"login_notify_message": "other", "metrics_listen": "127.0.0.1:9", "server_reset_query": "RESET ALL", "server_check_query": "SELECT 1", "resolv_conf": "/other",
		"poller": "epoll", "event_loops": "2", "session_audit": "always", "client_tls_sslmode": "allow", "server_tls_sslmode": "disable", "listen_port": "7001",
		"client_tls_protocols": "tlsv1.3", "client_tls_ciphers": "other", "client_tls13_ciphers": "other", "client_tls_dheparams": "other", "client_tls_ecdhcurve": "other",
		"server_tls_protocols": "tlsv1.3", "server_tls_ciphers": "other", "server_tls13_ciphers": "other", "peer_id": "3",
	}
	authority, err := pgserver.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue("pooler", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	for side, files := range map[string]map[string]string{
		"client": {"key": pair.Key, "cert": pair.Cert, "ca": pair.Cert}, "server": {"key": pair.Key, "cert": pair.Cert, "ca": pair.Cert},
	} {
		for kind, name := range files {
			special[side+"_tls_"+kind+"_file"] = name
		}
	}
	var before, after strings.Builder
	head := fmt.Sprintf("[databases]\napp = host=%s port=%d user=app password=secret\n[pgbouncer]\n", postgres.Host(), postgres.Port())
	fmt.Fprint(&before, head, "listen_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir =\nauth_type = any\nadmin_users = app\n")
	fmt.Fprint(&after, head)
	for _, s := range config.Settings() {
		fmt.Fprintf(&after, "%s = %s\n", s.Name, another(t, s, special))
	}
	file := write(t, dir, "carpool.ini", before.String())
	p := start(t, nil, "serve", file)
	var notices []string
	console := p.console(&notices)
	inForce := func() map[string]string {
		t.Helper()
		results, err := console.Exec(t.Context(), "SHOW CONFIG").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		values := make(map[string]string)
		for _, row := range results[0].Rows {
			values[string(row[0])] = string(row[1])
		}
		return values
	}
	old := inForce()
	place(t, path("next.ini"), after.String())
	move(t, path("next.ini"), file)
	if _, err := console.Exec(t.Context(), "RELOAD").ReadAll(); err != nil {
		t.Fatalf("%v: %s", err, p.stderr)
	}
	p.await("msg=reloaded")
	now, log := inForce(), p.stderr.String()
	effective := 0
	for _, s := range config.Settings() {
		want := special[s.Name]
		if want == "" {
			want = another(t, s, special)
		}
		changed := strings.Contains(log, `msg="reload: changed" setting=`+s.Name+" ")
		named := strings.Contains(log, `the old value stays" setting=`+s.Name+" ")
		noticed := slices.ContainsFunc(notices, func(n string) bool { return strings.HasPrefix(n, s.Name+" needs a restart") })
		ignored := strings.Contains(log, s.Name+": carpool does not act on this setting yet")
		switch {
		case old[s.Name] == want:
			t.Errorf("%s was %s already", s.Name, want)
		case s.Reloadable && (!changed || named || noticed || now[s.Name] != want):
			t.Errorf("%s: changed %t, named %t, noticed %t; it is %q, want %q", s.Name, changed, named, noticed, now[s.Name], want)
		case !s.Reloadable && (changed || !named || !noticed || now[s.Name] != old[s.Name]):
			t.Errorf("%s needs a restart: changed %t, named %t, noticed %t; it is %q, was %q", s.Name, changed, named, noticed, now[s.Name], old[s.Name])
		case s.Effective == ignored:
			t.Errorf("%s has an effect: %t, and is said to have none: %t", s.Name, s.Effective, ignored)
		}
		if s.Effective && s.Reloadable {
			effective++
		}
	}
	t.Logf("%d settings, %d of which a reload changes with effect", len(config.Settings()), effective)
}
