package admin

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"strings"
	"testing"

	"carpool/config"
	"carpool/proxy"
)

// Here is every command, as an admin and as a stats user sends it: a command
// that forgets to ask who sends it is a way in.
func TestWhoMayDoWhat(t *testing.T) {
	const shown, empty, invalid, refused = "SHOW", "EMPTY", codeSyntax, codePrivilege
	type row struct{ sql, admin, stats string }
	rows := []row{
		{"SHOW HELP", shown, shown},
		{"show version;", shown, shown},
		{"SELECT version", shown, shown},
		{"SHOW client_encoding", shown, shown},
		{"SHOW TimeZone", shown, shown},
		{"SHOW FDS", codeNotSupported, codeNotSupported},
		{"SHOW", invalid, invalid},
		{"SHOW NONSENSE", invalid, invalid},
		{`SHOW "pools"`, invalid, invalid},
		{"NONSENSE", invalid, invalid},
		{"NONSENSE db", invalid, invalid},
		{"SHOW POOLS; SHUTDOWN", invalid, invalid},
		{"", empty, empty},
		{"SET client_encoding = 'UTF8'", "SET", "SET"},
		{"SET application_name TO psql", "SET", "SET"},
		{"SET extra_float_digits = 3", "SET", "SET"},
		{"SET default_pool_size = 100", "SET", refused},
		{"SET default_pool_size = many", codeValue, refused},
		{"SET admin_users = 'boss'", "SET", refused},
		{"SET admin_users = 'bos'", codeState, refused}, // nobody
		{"SET admin_users = ''", codeState, refused},
		{"SET auth_file = /dev/null", codeState, refused},
		{"SET listen_port = 7", codeState, refused},
		{"SET nonsense = 7", codeNoObject, refused},
		{"RELOAD", "RELOAD", refused},
		{"RELOAD db", invalid, refused},
		{"PAUSE", "PAUSE", refused},
		{"PAUSE db", "PAUSE", refused},
		{"PAUSE nowhere", codeNoDatabase, refused},
		{"PAUSE pgbouncer", codeState, refused},
		{"RESUME", codeState, refused},
		{"RESUME db", codeState, refused},
		{"RESUME nowhere", codeNoDatabase, refused},
		{"DISABLE", invalid, refused},
		{"DISABLE db", "DISABLE", refused},
		{"DISABLE carpool", codeState, refused},
		{"DISABLE nowhere", codeNoDatabase, refused},
		{"ENABLE", invalid, refused},
		{"ENABLE db", "ENABLE", refused},
		{"RECONNECT", "RECONNECT", refused},
		{`RECONNECT "db"`, "RECONNECT", refused},
		{"RECONNECT nowhere", codeNoDatabase, refused},
		{"KILL", "KILL", refused},
		{"KILL db", "KILL", refused},
		{"KILL nowhere", codeNoDatabase, refused},
		{"KILL_CLIENT", invalid, refused},
		{"KILL_CLIENT 77", codeNoObject, refused},
		{"KILL_CLIENT -1", invalid, refused},
		{"KILL_CLIENT db", invalid, refused},
		{"SUSPEND", codeNotSupported, refused},
		{"WAIT_CLOSE", "WAIT_CLOSE", refused},
		{"WAIT_CLOSE db", "WAIT_CLOSE", refused},
		{"WAIT_CLOSE nowhere", codeNoDatabase, refused},
		{"SHUTDOWN NOW", invalid, refused},
		{"SHUTDOWN WAIT_FOR_CLIENTS", "SHUTDOWN", refused},
		{"SHUTDOWN WAIT_FOR_SERVERS", "SHUTDOWN", refused},
		{"SHUTDOWN", "SHUTDOWN", refused},
	}
	for i := range shows {
		rows = append(rows, row{"SHOW " + shows[i].name, shown, shown})
	}
	for i := range commands {
		name := strings.ToUpper(commands[i].name)
		found := false
		for _, r := range rows {
			verb, _, _ := strings.Cut(r.sql, " ")
			found = found || verb == name && r.stats == refused
		}
		if !found {
			t.Errorf("%s isn't tried", name)
		}
	}
	users := usersFile(t)
	for _, r := range rows {
		for _, admin := range []bool{true, false} {
			checkRight(t, users, r.sql, admin, map[bool]string{true: r.admin, false: r.stats}[admin])
		}
	}
}

// usersFile is a list of the users boss, deputy and looker.
func usersFile(t *testing.T) string {
	t.Helper()
	name := t.TempDir() + "/users.txt"
	if err := os.WriteFile(name, []byte("\"boss\" \"\"\n\"deputy\" \"\"\n\"looker\" \"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Who takes the right to give orders from himself is told; nobody can take it
// from all, as long as it is known who there is.
func TestAdminsWhoGoTooFar(t *testing.T) {
	for _, tt := range []struct {
		settings  map[string]string
		sql, code string // "": it is done
		notice    bool
	}{
		{nil, "SET admin_users = 'deputy'", "", true},
		{nil, "SET admin_users = 'deputy, boss'", "", false},
		{nil, "SET admin_users = 'nobody'", codeState, false},
		{nil, "SET auth_file = ''", codeState, false},
		{map[string]string{"auth_type": "any"}, "SET admin_users = 'nobody'", "", true},
		{map[string]string{"auth_type": "any"}, "SET admin_users = ''", codeState, false},
		{map[string]string{"auth_user": "boss", "auth_dbname": "db"}, "SET admin_users = 'whoever'", "", true},
		{map[string]string{"auth_user": "boss", "auth_dbname": "db"}, "SET auth_dbname = ''", "", false},
		{map[string]string{"admin_users": ""}, "SET admin_users = 'nobody'", "", false}, // there was none before
	} {
		settings := map[string]string{"admin_users": "boss", "auth_file": usersFile(t)}
		maps.Copy(settings, tt.settings)
		d := dbEntry()
		d.User = "app"
		p := newProxy(t, settings, d)
		s := New(p, "carpool 1.2").Open("boss", true, slog.New(slog.DiscardHandler))
		before := p.Config()
		r := ask(t, s, tt.sql)
		if r.code != tt.code || tt.code == "" && strings.Contains(r.message, "admin_users any more") != tt.notice {
			t.Errorf("%v, %s: %s %s", tt.settings, tt.sql, r.code, r.message)
		}
		if refused := p.Config() == before; refused != (tt.code != "") {
			t.Errorf("%v, %s: nothing has changed: %v", tt.settings, tt.sql, refused)
		}
		if r := ask(t, s, "SET default_pool_size = 3"); r.code != "" {
			t.Errorf("%v, %s: and then %s", tt.settings, tt.sql, r.message)
		}
		s.Close()
	}
}

func checkRight(t *testing.T, users, sql string, admin bool, want string) {
	t.Helper()
	p := newProxy(t, map[string]string{"auth_file": users, "admin_users": "boss"}, dbEntry())
	c := New(p, "carpool 1.2")
	c.SetOrders(Orders{Reload: func(context.Context) (proxy.Reloaded, error) { return proxy.Reloaded{}, nil }})
	s := c.Open("somebody", admin, slog.New(slog.DiscardHandler))
	defer s.Close()
	r := ask(t, s, sql)
	if got := r.code + r.tag; got != want {
		t.Errorf("%s, admin %v: got %s (%s), want %s", sql, admin, got, r.message, want)
	}
	if stopping := p.State().Stopping; stopping != (want == "SHUTDOWN") {
		t.Errorf("%s, admin %v: stopping is %v", sql, admin, stopping)
	}
	paused, _ := p.Halted("")
	one, disabled := p.Halted("db")
	verb, database, _ := strings.Cut(sql, " ")
	pauses := admin && want == verb && (verb == "PAUSE" || verb == "KILL")
	if paused != (pauses && database == "") || one != (pauses && database == "db") || disabled != (want == "DISABLE") {
		t.Errorf("%s, admin %v: all paused %v, one paused %v, disabled %v", sql, admin, paused, one, disabled)
	}
}

// dbEntry is a database that nobody connects to.
func dbEntry() *config.Database {
	return &config.Database{Name: "db", Hosts: []string{"127.0.0.1"}, Ports: []int{1}}
}
