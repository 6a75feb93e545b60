package admin

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"carpool/config"
	"carpool/proxy"
	"carpool/proxy/wire"
)

// newProxy makes a proxy that no test connects to.
func newProxy(t testing.TB, set map[string]string, databases ...*config.Database) *proxy.Proxy {
	t.Helper()
	c := config.Default()
	for name, value := range map[string]string{
		"listen_addr": "127.0.0.1", "listen_port": "0", "unix_socket_dir": "", "auth_type": "trust",
	} {
		if _, ok := set[name]; ok {
			continue
		}
		if err := c.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range set {
		if err := c.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range databases {
		c.AddDatabase(d)
	}
	p, err := proxy.New(proxy.Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ended runs a proxy to the end that somebody has asked for.
func ended(t testing.TB, p *proxy.Proxy) {
	t.Helper()
	if err := p.Run(); err != nil {
		t.Error(err)
	}
}

// reply is an answer of the console, read back.
type reply struct {
	columns []string // name:type
	rows    [][]string
	tag     string
	code    string // of the error
	message string // of the error or notice
}

// read takes an answer apart; it must consist of whole messages and end with
// ReadyForQuery.
func read(t testing.TB, b []byte) reply {
	t.Helper()
	var r reply
	for len(b) > 0 {
		h, ok, valid := wire.ParseHeader(b)
		if !ok || !valid || len(b) < h.Size() {
			t.Fatalf("not a whole message: %q", b)
		}
		body := b[wire.HeaderLen:h.Size()]
		b = b[h.Size():]
		c := wire.Cursor{Rest: body}
		switch h.Type {
		case wire.RowDescription:
			r.columns = readColumns(t, body)
		case wire.DataRow:
			r.rows = append(r.rows, readRow(t, body))
		case wire.CommandComplete:
			tag, _ := c.String()
			r.tag = string(tag)
		case wire.EmptyQueryResponse:
			r.tag = "EMPTY"
		case wire.ErrorResponse:
			report := wire.ParseReport(body)
			r.code, r.message = report.Code, report.Message
		case wire.NoticeResponse:
			r.message = wire.ParseReport(body).Message
		case wire.ReadyForQuery:
			if len(b) > 0 {
				t.Fatalf("%d bytes after ReadyForQuery", len(b))
			}
			return r
		default:
			t.Fatalf("message of type %q", h.Type)
		}
	}
	t.Fatal("no ReadyForQuery")
	return r
}

func readColumns(t testing.TB, body []byte) []string {
	t.Helper()
	c := wire.Cursor{Rest: body}
	n, _ := c.Uint16()
	var list []string
	for range n {
		name, ok := c.String()
		rest, enough := c.Bytes(18)
		if !ok || !enough {
			t.Fatalf("row description %q", body)
		}
		oid := int(rest[6])<<24 | int(rest[7])<<16 | int(rest[8])<<8 | int(rest[9])
		list = append(list, fmt.Sprintf("%s:%d", name, oid))
	}
	if len(c.Rest) > 0 {
		t.Fatalf("row description %q", body)
	}
	return list
}

func readRow(t testing.TB, body []byte) []string {
	t.Helper()
	c := wire.Cursor{Rest: body}
	n, _ := c.Uint16()
	var row []string
	for range n {
		size, ok := c.Uint32()
		if !ok {
			t.Fatalf("row %q", body)
		}
		if size == 1<<32-1 {
			row = append(row, "NULL")
			continue
		}
		value, ok := c.Bytes(int(size))
		if !ok {
			t.Fatalf("row %q", body)
		}
		row = append(row, string(value))
	}
	if len(c.Rest) > 0 {
		t.Fatalf("row %q", body)
	}
	return row
}

func ask(t testing.TB, s proxy.ConsoleSession, sql string) reply {
	t.Helper()
	return read(t, s.Query(context.Background(), sql))
}

// Columns and types are what dashboards and exporters rely on.
func TestColumns(t *testing.T) {
	p := newProxy(t, nil)
	defer ended(t, p)
	defer p.Shutdown(proxy.Immediate)
	s := New(p, "carpool 1.2").Open("stats", false)
	const text, int4, int8, numeric = ":25 ", ":23 ", ":20 ", ":1700 "
	stats := ""
	for _, part := range []string{"total_", "avg_"} {
		for _, name := range []string{
			"server_assignment_count", "xact_count", "query_count", "received", "sent", "xact_time", "query_time", "wait_time",
			"client_parse_count", "server_parse_count", "bind_count", "client_login_count",
		} {
			if name == "received" && part == "avg_" {
				name = "recv"
			}
			stats += part + name + numeric
		}
	}
	for _, row := range []struct{ verb, want string }{
		{"POOLS", "database" + text + "user" + text +
			strings.Join(strings.Fields(`cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel
				sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us`), int4) + int4 +
			"pool_mode" + text + "load_balance_hosts" + text},
		{"DATABASES", "name" + text + "host" + text + "port" + int4 + "database" + text + "force_user" + text +
			"pool_size" + int4 + "min_pool_size" + int4 + "reserve_pool_size" + int4 + "server_lifetime" + int4 +
			"pool_mode" + text + "load_balance_hosts" + text + "max_connections" + int4 + "current_connections" + int4 +
			"max_client_connections" + int4 + "current_client_connections" + int4 + "paused" + int4 + "disabled" + int4},
		{"STATS", "database" + text + stats},
		{"CONFIG", "key" + text + "value" + text + "default" + text + "changeable" + text},
		{"STATE", "key" + text + "value" + text},
		{"VERSION", "version" + text},
		{"PINS", "client" + text + "database" + text + "user" + text + "application_name" + text +
			"remote_pid" + int4 + "seconds" + int4 + "kinds" + text + "statement" + text},
		{"HAZARDS", "kind" + text + "database" + text + "user" + text + "application_name" + text +
			"times" + int8 + "statement" + text + "advice" + text},
	} {
		r := ask(t, s, "SHOW "+row.verb)
		if got := strings.Join(r.columns, " "); got != strings.TrimSpace(row.want) {
			t.Errorf("SHOW %s:\ngot  %s\nwant %s", row.verb, got, row.want)
		}
		if needsClients := row.verb == "PINS" || row.verb == "HAZARDS"; r.tag != "SHOW" || (len(r.rows) == 0) != needsClients {
			t.Errorf("SHOW %s: tag %q, %d rows", row.verb, r.tag, len(r.rows))
		}
		for _, cells := range r.rows {
			if len(cells) != len(r.columns) {
				t.Errorf("SHOW %s: %d columns and a row of %d", row.verb, len(r.columns), len(cells))
			}
		}
	}
}

// CVE-2026-6667: a command that stats_users could use. Here is every command,
// as an admin and as a stats user sends it.
func TestWhoMayDoWhat(t *testing.T) {
	const shown, empty, invalid, refused, unbuilt = "SHOW", "EMPTY", codeSyntax, codePrivilege, codeNotSupported
	rows := []struct{ sql, admin, stats string }{
		{"SHOW HELP", shown, shown},
		{"show version;", shown, shown},
		{"SELECT version", shown, shown},
		{"SHOW client_encoding", shown, shown},
		{"SHOW TimeZone", shown, shown},
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
		{"SET default_pool_size = 100", unbuilt, refused},
		{"SET admin_users = 'stats'", unbuilt, refused},
		{"SHUTDOWN NOW", invalid, refused},
		{"SHUTDOWN WAIT_FOR_CLIENTS", "SHUTDOWN", refused},
		{"SHUTDOWN WAIT_FOR_SERVERS", "SHUTDOWN", refused},
		{"SHUTDOWN", "SHUTDOWN", refused},
	}
	for i := range shows {
		want := shown
		if shows[i].rows == nil {
			want = unbuilt
		}
		rows = append(rows, struct{ sql, admin, stats string }{"SHOW " + shows[i].name, want, want})
	}
	for i := range commands {
		if c := &commands[i]; c.run == nil {
			rows = append(rows,
				struct{ sql, admin, stats string }{c.name, unbuilt, refused},
				struct{ sql, admin, stats string }{c.name + " db", unbuilt, refused})
		}
	}
	for _, row := range rows {
		for _, admin := range []bool{true, false} {
			p := newProxy(t, nil)
			s := New(p, "carpool 1.2").Open("somebody", admin)
			r := ask(t, s, row.sql)
			s.Close()
			want := row.stats
			if admin {
				want = row.admin
			}
			if got := r.code + r.tag; got != want {
				t.Errorf("%s, admin %v: got %s (%s), want %s", row.sql, admin, got, r.message, want)
			}
			if stopping := p.State().Stopping; stopping != (want == "SHUTDOWN") {
				t.Errorf("%s, admin %v: stopping is %v", row.sql, admin, stopping)
			}
			p.Shutdown(proxy.Immediate)
			ended(t, p)
		}
	}
}

func TestWhatIsSaid(t *testing.T) {
	p := newProxy(t, map[string]string{"default_pool_size": "7", "admin_users": "root"})
	defer ended(t, p)
	defer p.Shutdown(proxy.Immediate)
	c := New(p, "carpool 1.2")
	s := c.Open("stats", false)
	if got := ask(t, s, "DROP TABLE x; --").message; got != "invalid command 'DROP TABLE x; --', use SHOW HELP;" {
		t.Error(got)
	}
	long := ask(t, s, "\x1b[31m"+strings.Repeat("ä", 5000)).message
	if len(long) > 200 || strings.Contains(long, "\x1b") {
		t.Errorf("a long command with an escape code is answered %q", long)
	}
	if got := ask(t, s, "SHOW HELP").message; !strings.Contains(got, "POOLS") || strings.Contains(got, "RELOAD") {
		t.Error("help lists what isn't built, or doesn't list what is:", got)
	}
	if got := ask(t, s, "SHOW VERSION").rows[0][0]; got != "carpool 1.2" {
		t.Error(got)
	}
	if !slices.Contains(c.Parameters(), wire.Param{Name: "server_version", Value: "1.2/bouncer"}) {
		t.Error(c.Parameters())
	}
	want := []string{"default_pool_size", "7", "20", "yes"}
	if !slices.ContainsFunc(ask(t, s, "SHOW CONFIG").rows, func(row []string) bool { return slices.Equal(row, want) }) {
		t.Error("SHOW CONFIG has no row ", want)
	}
	if got := ask(t, s, "SHOW client_encoding"); !slices.Equal(got.columns, []string{"client_encoding:25"}) || got.rows[0][0] != "UTF8" {
		t.Error(got)
	}
	state := fmt.Sprint(ask(t, s, "SHOW STATE").rows)
	for _, want := range []string{"[active yes]", "[paused no]", "[suspended no]", "[stopping no]", "[event_loops 1]", "[poller "} {
		if !strings.Contains(state, want) {
			t.Errorf("SHOW STATE has no row %s: %s", want, state)
		}
	}
}

// No secret comes out of the console, wherever it came in.
func TestSecretsStayHidden(t *testing.T) {
	const secret = "hunter2"
	d, err := config.ParseURL("postgres://app:" + secret + "@localhost/app")
	if err != nil {
		t.Fatal(err)
	}
	d.Name = "app"
	p := newProxy(t, nil, d)
	defer ended(t, p)
	defer p.Shutdown(proxy.Immediate)
	s := New(p, "carpool 1.2").Open("admin", true)
	for i := range shows {
		answer := s.Query(context.Background(), "SHOW "+shows[i].name)
		if strings.Contains(string(answer), secret) {
			t.Errorf("SHOW %s shows a password", shows[i].name)
		}
	}
}

func TestSessionsAreCounted(t *testing.T) {
	p := newProxy(t, nil)
	defer ended(t, p)
	defer p.Shutdown(proxy.Immediate)
	c := New(p, "carpool 1.2")
	first, second := c.Open("a", true), c.Open("b", false)
	if got := ask(t, first, "SHOW POOLS").rows[0]; got[0] != "pgbouncer" || got[2] != "2" {
		t.Error("two sessions are shown as", got)
	}
	second.Close()
	second.Close() // counted once
	if got := ask(t, first, "SHOW POOLS").rows[0]; got[2] != "1" {
		t.Error("one session is shown as", got)
	}
}

// A query of any content is answered with whole messages.
func FuzzQuery(f *testing.F) {
	for i := range shows {
		f.Add("SHOW " + shows[i].name)
	}
	f.Add("SET x = y")
	f.Add("SHOW \xff\x00")
	p := newProxy(f, nil)
	f.Cleanup(func() {
		p.Shutdown(proxy.Immediate)
		ended(f, p)
	})
	s := New(p, "carpool 1.2").Open("stats", false)
	f.Fuzz(func(t *testing.T, sql string) {
		if r := ask(t, s, sql); r.tag == "" && r.code == "" {
			t.Errorf("%q is answered by nothing", sql)
		}
	})
}
