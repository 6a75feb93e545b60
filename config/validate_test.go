package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What Validate finds in whole files is in testdata/bad; here are the finer
// distinctions, each against the smallest configuration that is valid.
func TestValidate(t *testing.T) {
	for _, test := range []struct{ settings, entry, want string }{
		{"listen_addr=*", "host=127.0.0.1 port=6432", "its server at 127.0.0.1:6432 is carpool itself"},
		{"listen_addr=0.0.0.0", "host=localhost port=6432", "its server at localhost:6432 is carpool itself"},
		{"listen_addr=::1", "host=localhost port=6432", "its server at localhost:6432 is carpool itself"},
		{"listen_addr=10.0.0.1", "host=a,10.0.0.1 port=5432,6432", "its server at 10.0.0.1:6432 is carpool itself"},
		{"listen_addr=10.0.0.1", "host=127.0.0.1 port=6432", ""},
		{"listen_addr=*\nlisten_port=0", "host=127.0.0.1 port=6432", ""},
		{"listen_addr=*", "host=127.0.0.1 port=6432 dbname=pgbouncer", ""},
		{"unix_socket_dir=/run/s/", "host=/run/s port=6432", "its server at /run/s/.s.PGSQL.6432 is carpool itself"},
		{"unix_socket_dir=@s", "host=@s", ""},
		{"unix_socket_dir=/" + strings.Repeat("x", 100), "host=h", "the path of a socket in it is longer than 107 bytes"},
		{"listen_addr=*\nmetrics_listen=:6432", "host=h", "metrics_listen: the same address and port"},
		{"listen_addr=10.0.0.1\nmetrics_listen=127.0.0.1:6432", "host=h", ""},
		{"listen_addr=::\nmetrics_listen=[::1]:6432", "host=h", "metrics_listen: the same address and port"},
		{"listen_addr=h\nmetrics_listen=[::1]:6433", "host=h", ""},
		{"metrics_listen=:65536", "host=h", "expected an address and a port"},
		{"server_tls_sslmode=verify-full", "host=h", ""},
		{"server_tls_ca_file=system", "host=h", "only used by verify-full"},
		{"server_tls_ca_file=ca.pem\nserver_tls_sslmode=verify-ca", "host=h", ""},
		{"server_tls_ca_file=ca.pem", "host=h sslmode=verify-ca", ""},
		{"auth_type=any", "user=u", ""},
	} {
		c := mustLoad(t, "[pgbouncer]\nauth_file=f\n"+test.settings+"\n[databases]\na = "+test.entry)
		got := c.Validate().Error()
		if test.want == "" && got != "" || !strings.Contains(got, test.want) || strings.Count(got, "\n") > 0 {
			t.Errorf("%q, %q:\ngot  %s\nwant %s", test.settings, test.entry, got, test.want)
		}
	}
}

func TestIncludeByAbsolutePath(t *testing.T) {
	folder := t.TempDir()
	part := filepath.Join(folder, "part.ini")
	main := filepath.Join(folder, "main.ini")
	for name, content := range map[string]string{part: "default_pool_size = 7", main: "[pgbouncer]\n%include " + part} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := LoadFile(main)
	if err != nil || c.DefaultPoolSize != 7 {
		t.Errorf("got %d, %v", c.DefaultPoolSize, err)
	}
}

func TestWarnings(t *testing.T) {
	for _, test := range []struct{ content, want string }{
		{"[pgbouncer]\nauth_file=f\n", "no database is configured: clients reach nothing but the console"},
		{"[pgbouncer]\n[databases]\na=\n", "auth_type: without auth_file and auth_user there are no users, so no client can log in"},
		{"[pgbouncer]\nauth_file=f\n[databases]\na=password=x\n", `m:4: database "a": the password has no effect without a user`},
		{
			"[pgbouncer]\nauth_file=f\nmin_pool_size=9\n[databases]\na=pool_size=3 max_db_connections=4\n",
			"m:5: database \"a\": min_pool_size 9 is more than its pool_size 3\nm:5: database \"a\": min_pool_size 9 is more than its max_db_connections 4",
		},
		{"[pgbouncer]\nauth_file=f\nserver_tls_protocols=all\n[databases]\na=\n", "m:3: server_tls_protocols: versions before tlsv1.2 are not safe"},
		{
			"[pgbouncer]\nauth_file=f\nauth_type=trust\nlisten_addr=127.0.0.1,10.0.0.1\n[databases]\na=\n",
			`m:3: auth_type: with trust clients need no password, and "10.0.0.1" may be reached from other machines`,
		},
		{"[pgbouncer]\nauth_file=f\npool_mode=session\n\npool_mode=statement\n[databases]\na=\n", "m:5: pool_mode: replaces what line 3 says"},
		{
			"[pgbouncer]\nauth_file=f\nadmin_users=ann,bob ; who is on call\n[databases]\na=\n",
			`m:3: admin_users: "bob ; who is on call" is taken for one name: commas separate names, and a comment needs a line of its own`,
		},
		{"[pgbouncer]\nauth_file=f\npkt_buf=8192\n[databases]\na=\n", "m:3: pkt_buf: carpool does not act on this setting yet"},
	} {
		if got := mustLoad(t, test.content).Warnings().Error(); got != test.want {
			t.Errorf("%q:\ngot  %s\nwant %s", test.content, got, test.want)
		}
	}
}
