package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// setAll sets one setting after another, ending the test at an error.
func setAll(t *testing.T, c *Config, settings ...string) {
	t.Helper()
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		if err := c.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
}

// mustLoad reads a configuration from memory.
func mustLoad(t *testing.T, content string) *Config {
	t.Helper()
	c, err := load("m", tree(map[string]string{"m": content}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := Default()
	for i := range globalKeys {
		k := &globalKeys[i]
		if got := k.bind.text(c); got != k.Default {
			t.Errorf("%s: default %q is printed as %q", k.Name, k.Default, got)
		}
	}
	if c.DefaultPoolSize != 20 || c.QueryWaitTimeout != 2*time.Minute || c.AuthType != AuthMD5 || c.ServerTLS.Mode != SSLPrefer ||
		c.MaxPreparedStatements != 200 || c.UnixSocketMode != 0o777 || !c.TCPKeepalive || c.ServerCheckQuery != EmptyQuery ||
		c.AbandonedQueryTimeout != 5*time.Second || c.MaxParseSize != 16<<20 {
		t.Errorf("unexpected defaults:\n%s", c.Redacted())
	}
	if problems := c.Validate(); len(problems) != 0 {
		t.Error(problems)
	}
}

// Each row of a table must be bound to a field of its own, and its other
// names must lead to it.
func TestTablesAreConsistent(t *testing.T) {
	checkTable(t, globalKeys, Default())
	checkTable(t, databaseKeys, &Database{})
	checkTable(t, userKeys, &User{})
	checkTable(t, peerKeys, &Peer{})
}

func checkTable[T any](t *testing.T, keys []key[T], target *T) {
	t.Helper()
	names := keyNames(keys)
	slices.Sort(names)
	if len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("a name occurs twice in %v", names)
	}
	// Some of these is valid for each kind of setting and differs from what is there.
	candidates := []string{"600", "8192", "1", "0", "x", "0123", "statement", "trust", "verify-full", "epoll", "json", "stdout", "warn", "tlsv1.3", "disable", "primary", "reject", "always"}
	for i := range keys {
		k := &keys[i]
		if k.Doc == "" || !strings.HasSuffix(k.Doc, ".") || strings.Contains(k.Doc, "|") {
			t.Errorf("%s: doc %q", k.Name, k.Doc)
		}
		before := make([]string, len(keys))
		for j := range keys {
			before[j] = keys[j].bind.text(target)
		}
		changed := slices.ContainsFunc(candidates, func(value string) bool {
			return k.bind.set(target, value) == nil && k.bind.text(target) != before[i]
		})
		if !changed {
			t.Errorf("%s can't be changed", k.Name)
		}
		for j := range keys {
			if j != i && keys[j].bind.text(target) != before[j] {
				t.Errorf("setting %s changes %s", k.Name, keys[j].Name)
			}
		}
		for _, alias := range k.Aliases {
			if found, ok := findKey(keys, alias); !ok || found != k {
				t.Errorf("%s isn't found as %s", k.Name, alias)
			}
		}
	}
}

// Every setting of PgBouncer must be known, so that its files can be read.
func TestPgBouncerSettingsAreKnown(t *testing.T) {
	all := strings.Fields(`admin_users application_name_add_host auth_dbname auth_file auth_hba_file auth_ident_file auth_ldap_options
		auth_query auth_type auth_user autodb_idle_timeout cancel_wait_timeout client_idle_timeout client_login_timeout client_tls13_ciphers
		client_tls_ca_file client_tls_cert_file client_tls_ciphers client_tls_dheparams client_tls_ecdhcurve client_tls_key_file
		client_tls_protocols client_tls_sslmode conffile default_pool_size disable_pqexec dns_max_ttl dns_nxdomain_ttl
		dns_zone_check_period idle_transaction_timeout ignore_startup_parameters job_name listen_addr listen_backlog listen_port
		log_connections log_disconnections log_pooler_errors log_stats logfile login_notify_message max_client_conn
		max_db_client_connections max_db_connections max_packet_size max_prepared_statements max_user_client_connections
		max_user_connections min_pool_size peer_id pidfile pkt_buf pool_idle_timeout pool_mode query_timeout query_wait_notify
		query_wait_timeout reserve_pool_size reserve_pool_timeout resolv_conf sbuf_loopcnt scram_iterations server_check_delay
		server_check_query server_connect_timeout server_fast_close server_idle_timeout server_lifetime server_login_retry
		server_reset_query server_reset_query_always server_round_robin server_tls13_ciphers server_tls_ca_file server_tls_cert_file
		server_tls_ciphers server_tls_key_file server_tls_protocols server_tls_sslmode service_name so_reuseport stats_period
		stats_users suspend_timeout syslog syslog_facility syslog_ident tcp_defer_accept tcp_keepalive tcp_keepcnt tcp_keepidle
		tcp_keepintvl tcp_socket_buffer tcp_user_timeout track_extra_parameters transaction_timeout unix_socket_dir
		unix_socket_group unix_socket_mode user verbose`)
	known := make(map[string]bool)
	for _, name := range all {
		k, ok := findKey(globalKeys, name)
		if !ok {
			t.Errorf("%s isn't known", name)
			continue
		}
		if k.Own {
			t.Errorf("%s is marked as carpool's own", name)
		}
		known[k.Name] = true
	}
	for _, s := range Settings() {
		if s.Own == known[s.Name] {
			t.Errorf("%s: Own is %v", s.Name, s.Own)
		}
	}
}

func TestSet(t *testing.T) {
	c := Default()
	setAll(t, c, "max_client_conn= 5 ", "query_timeout=1500ms", "service_name=x", "listen_addr=")
	if c.MaxClientConn != 5 || c.QueryTimeout != 1500*time.Millisecond || c.ServiceName != "x" || c.ListenAddr != nil {
		t.Errorf("got %s", c.Redacted())
	}
	if v, ok := c.Value("query_timeout"); v != "1.5" || !ok {
		t.Errorf("Value: %q, %v", v, ok)
	}
	if _, ok := c.Value("nonsense"); ok {
		t.Error("Value knows nonsense")
	}
	for name, value := range map[string]string{
		"max_client_con": "5", "max_client_conn": "many", "server_reset_query": "a\nb", "auth_file": "a\x00b",
	} {
		err := c.Set(name, value)
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%q: %v", name, value, err)
		}
	}
	if c.MaxClientConn != 5 || c.ServerResetQuery != "DISCARD ALL" {
		t.Error("a refused value was kept")
	}
}

func TestApplyEnv(t *testing.T) {
	c := Default()
	err := c.ApplyEnv([]string{
		"PATH=/bin", "CARPOOL_DEFAULT_POOL_SIZE=3", "CARPOOL_DEFAULT_POOL_SIZE=5", "CARPOOL_AUTH_TYPE=trust",
		"CARPOOL_CONFIG=x", "CARPOOL_URLS=A,B", "CARPOOL_SERVER_CHECK_QUERY=", "CARPOOL_SERVER_RESET_QUERY=SET a=b",
		"CARPOOL_SERVICE_HOST=10.0.0.1", "CARPOOL_SERVICE_PORT_PG=1", "CARPOOL_PORT=tcp://10.0.0.1:6432", "CARPOOL_PORT_6432_TCP_ADDR=10.0.0.1",
		"CARPOOL_SERVICE_NAME=win", "=", "CARPOOLING=1", "NOEQUALS",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.DefaultPoolSize != 5 || c.AuthType != AuthTrust || c.ServerCheckQuery != "" || c.ServerResetQuery != "SET a=b" || c.ServiceName != "win" {
		t.Errorf("got %s", c.Redacted())
	}
	err = c.ApplyEnv([]string{"CARPOOL_DEFAULT_POOLSIZE=3", "CARPOOL_default_pool_size=3", "CARPOOL_LISTEN_PORT=x", "CARPOOL_=1", "CARPOOL_XYZZY=1", "CARPOOL_MIN_POOL_SIZE=2"})
	want := `CARPOOL_DEFAULT_POOLSIZE: unknown environment variable "CARPOOL_DEFAULT_POOLSIZE", did you mean CARPOOL_DEFAULT_POOL_SIZE?
CARPOOL_default_pool_size: unknown environment variable "CARPOOL_default_pool_size", did you mean CARPOOL_DEFAULT_POOL_SIZE?
CARPOOL_LISTEN_PORT: listen_port: expected a whole number from 0 to 65535, not "x"
CARPOOL_: unknown environment variable "CARPOOL_"
CARPOOL_XYZZY: unknown environment variable "CARPOOL_XYZZY"`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v", err)
	}
	if c.MinPoolSize != 2 {
		t.Error("what was right next to the problems wasn't set")
	}
}

func TestDatabaseLookup(t *testing.T) {
	c := mustLoad(t, "[databases]\na = host=x\n* = host=y pool_size=3\nlone = dbname=z\n")
	for _, test := range []struct {
		ask, host, dbname string
		found, auto       bool
	}{
		{"a", "x", "a", true, false},
		{"lone", "", "z", true, false},
		{"other", "y", "other", true, true},
		{"*", "", "", false, false},
		{"", "", "", false, false},
		{"pgbouncer", "", "", false, false},
		{"carpool", "", "", false, false},
	} {
		d, found := c.Database(test.ask)
		if found != test.found {
			t.Errorf("%q: found %v", test.ask, found)
			continue
		}
		if !found {
			continue
		}
		if strings.Join(d.Hosts, ",") != test.host || d.ServerDBName() != test.dbname || d.Auto != test.auto || d.Name != test.ask {
			t.Errorf("%q: got %+v", test.ask, d)
		}
	}
	if d, _ := c.Database("other"); d.PoolSize.Or(0) != 3 {
		t.Error("the copy of * lost its pool_size")
	}
	if star, _ := c.find("*"); star.Name != "*" || star.DBName != "" {
		t.Error("the lookup changed the fallback")
	}
	byHand := &Config{Databases: []*Database{{Name: "a"}, {Name: "b"}}}
	if d, ok := byHand.Database("b"); !ok || d.Name != "b" {
		t.Error("not found in a configuration built by hand")
	}
	byHand.AddDatabase(&Database{Name: "b", DBName: "new"})
	if d, _ := byHand.Database("b"); len(byHand.Databases) != 2 || d.DBName != "new" {
		t.Errorf("got %d databases", len(byHand.Databases))
	}
}

func TestAddresses(t *testing.T) {
	for _, test := range []struct{ entry, want string }{
		{"", "unix /run/s/.s.PGSQL.5432"},
		{"port=1", "unix /run/s/.s.PGSQL.1"},
		{"host=db", "tcp db:5432"},
		{"host=::1 port=1", "tcp [::1]:1"},
		{"host=a,b port=1", "tcp a:1 tcp b:1"},
		{"host=a,b port=1,2", "tcp a:1 tcp b:2"},
		{"host=/x/,@y", "unix /x/.s.PGSQL.5432 unix @y/.s.PGSQL.5432"},
	} {
		c := mustLoad(t, "[pgbouncer]\nunix_socket_dir=/run/s\n[databases]\na="+test.entry)
		var got []string
		for _, a := range c.Addresses(c.Databases[0]) {
			got = append(got, a.Network(), a.String())
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %v", test.entry, got)
		}
	}
}

func TestResolvePrecedence(t *testing.T) {
	c := mustLoad(t, `[pgbouncer]
pool_mode = session
default_pool_size = 1
reserve_pool_size = 1
query_wait_timeout = 1
query_timeout = 1
max_user_connections = 1
server_tls_ca_file = global
server_tls_cert_file = global
server_tls_key_file = global
[databases]
plain =
narrow = pool_mode=transaction pool_size=2 reserve_pool_size=2 query_wait_timeout=2 sslmode=require sslcert=own
[users]
u = pool_mode=statement pool_size=0 reserve_pool_size=3 query_wait_timeout=3 query_timeout=0 max_user_connections=3
`)
	type row struct {
		mode                       PoolMode
		pool, reserve, connections int
		wait, query                time.Duration
		tls                        SSLMode
		cert, key, ca              string
	}
	for _, test := range []struct {
		database, user string
		want           row
	}{
		{"plain", "x", row{PoolSession, 1, 1, 1, time.Second, time.Second, SSLPrefer, "global", "global", "global"}},
		{"narrow", "x", row{PoolTransaction, 2, 2, 1, 2 * time.Second, time.Second, SSLRequire, "own", "", "global"}},
		{"narrow", "u", row{PoolStatement, 0, 3, 3, 3 * time.Second, 0, SSLRequire, "own", "", "global"}},
		{"plain", "u", row{PoolStatement, 0, 3, 3, 3 * time.Second, 0, SSLPrefer, "global", "global", "global"}},
	} {
		d, _ := c.Database(test.database)
		r := c.Resolve(d, test.user)
		tls := r.ServerTLS
		got := row{r.PoolMode, r.PoolSize, r.ReservePoolSize, r.MaxUserConnections, r.QueryWaitTimeout, r.QueryTimeout, tls.Mode, tls.CertFile, tls.KeyFile, tls.CAFile}
		if got != test.want {
			t.Errorf("%s, %s: got %+v", test.database, test.user, got)
		}
	}
}

func TestStartupParameters(t *testing.T) {
	c := mustLoad(t, "[databases]\na = timezone=UTC client_encoding=UTF8 parameter.Work_Mem=1MB parameter.TimeZone=GMT application_name='x y'\n")
	var got []string
	for _, p := range c.Databases[0].StartupParameters() {
		got = append(got, p.Name+"="+p.Value)
	}
	if want := "application_name=x y client_encoding=UTF8 timezone=GMT work_mem=1MB"; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
}

func TestRedactedShowsNoSecret(t *testing.T) {
	c, err := DefaultForURL("postgres://u:hunter2%0Ax@h/d?sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	c.AddDatabase(&Database{Name: "a", User: "u", Password: "hunter2"})
	text := c.Redacted()
	if strings.Contains(text, "hunter2") || !strings.Contains(text, "password=*****") || !strings.Contains(text, `user "u", secret *****`) {
		t.Errorf("got %s", text)
	}
	for _, want := range []string{"pool_mode = transaction\n", ";max_client_conn = 100\n", "unix_socket_dir =\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestWriteRedactedReportsErrors(t *testing.T) {
	if err := Default().WriteRedacted(broken{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

var errBroken = errors.New("broken")

// A process takes on everything but what needs a restart.
func TestMerge(t *testing.T) {
	old := mustLoad(t, "[pgbouncer]\nlisten_port=1\nlisten_addr=a, b\npool_mode=session\n[databases]\na = host=x\n")
	next := mustLoad(t, "[pgbouncer]\nlisten_port=2\npool_mode=transaction\n[databases]\nb = host=y\n")
	merged := Merge(old, next)
	for _, change := range Diff(old, merged) {
		if change.NeedsRestart {
			t.Errorf("%s changes from %s to %s", change.Name, change.Old, change.New)
		}
	}
	for _, change := range Diff(merged, next) {
		if !change.NeedsRestart {
			t.Errorf("%s stays %s, and isn't %s", change.Name, change.Old, change.New)
		}
	}
	if _, ok := merged.Database("b"); !ok || merged.PoolMode != PoolTransaction || merged.ListenPort != 1 {
		t.Errorf("merged is\n%s", merged.Redacted())
	}
	if next.ListenPort != 2 || len(old.ListenAddr) != 2 {
		t.Error("an argument has changed")
	}
}

func TestWhere(t *testing.T) {
	c := mustLoad(t, "[pgbouncer]\nlisten_port=1\n[databases]\na = host=x\n")
	if got := c.Where("listen_port"); !strings.HasSuffix(got, ":2") {
		t.Errorf("a setting: %q", got)
	}
	if got := c.Where("pool_mode"); got != "" {
		t.Errorf("a default: %q", got)
	}
	if d, _ := c.Database("a"); !strings.HasSuffix(d.Where(), ":4") {
		t.Errorf("a database: %q", d.Where())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestDiff(t *testing.T) {
	old := mustLoad(t, "[pgbouncer]\nlisten_port=1\n[databases]\na = host=x password=one\ngone = host=x password=hunter2\nsame = host=x\n"+
		"[users]\nu = pool_size=1\nv = pool_size=1\n[peers]\n1 = host=x\n")
	next := mustLoad(t, "[pgbouncer]\nlisten_port=2\npool_mode=transaction\nserver_tls_sslmode=require\n[databases]\nsame = host=x\nnew = host=y password=hunter2\n"+
		"a = host=y password=two pool_size=3 parameter.work_mem=1MB\n[users]\nu = pool_size=2\nw = pool_size=1\n[peers]\n1 = host=y\n")
	old.StaticUsers = map[string]string{"u": "hunter2", "v": "same"}
	next.StaticUsers = map[string]string{"u": "hunter3", "v": "same", "w": "x"}
	want := []Change{
		{Name: "listen_port", Old: "1", New: "2", NeedsRestart: true},
		{Name: "pool_mode", Old: "session", New: "transaction", Reconnect: true},
		{Name: "server_tls_sslmode", Old: "prefer", New: "require", Reconnect: true},
		{Name: "databases.new", New: "new = host=y password=*****"},
		{Name: "databases.a.host", Old: "x", New: "y", Reconnect: true},
		{Name: "databases.a.password", Old: "*****", New: "*****", Reconnect: true},
		{Name: "databases.a.pool_size", New: "3"},
		{Name: "databases.a.parameter.work_mem", New: "1MB", Reconnect: true},
		{Name: "databases.gone", Old: "gone = host=x password=*****"},
		{Name: "users.u.pool_size", Old: "1", New: "2"},
		{Name: "users.w", New: "w = pool_size=1"},
		{Name: "users.v", Old: "v = pool_size=1"},
		{Name: "peers.1.host", Old: "x", New: "y"},
		{Name: "static_users.u", Old: "*****", New: "*****"},
		{Name: "static_users.w", New: "*****"},
	}
	got := Diff(old, next)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("change %d: got\n%+v\nwant\n%+v", i, got, want)
		}
	}
	if changes := Diff(old, old); changes != nil {
		t.Errorf("against itself: %v", changes)
	}
}
