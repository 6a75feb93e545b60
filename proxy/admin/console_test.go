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

// newProxy runs a proxy that no test connects to, until the test ends.
func newProxy(t testing.TB, set map[string]string, databases ...*config.Database) *proxy.Proxy {
	t.Helper()
	p := makeProxy(t, set, databases...)
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	t.Cleanup(func() {
		p.Shutdown(proxy.Immediate)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p
}

func makeProxy(t testing.TB, set map[string]string, databases ...*config.Database) *proxy.Proxy {
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

// reply is an answer of the console, read back.
type reply struct {
	columns []string // name:type
	rows    [][]string
	tag     string
	code    string // of the error
	message string // of the error or notice
	hint    string // of the error
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
			r.code, r.message, r.hint = report.Code, report.Message, report.Hint
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
	return read(t, s.Message(context.Background(), wire.Query, append([]byte(sql), 0)))
}

func TestWhatIsSaid(t *testing.T) {
	p := newProxy(t, map[string]string{"default_pool_size": "7", "admin_users": "root"})
	c := New(p, "carpool 1.2")
	s := c.Open("stats", false, slog.New(slog.DiscardHandler))
	if got := ask(t, s, "DROP TABLE x; --").message; got != "invalid command 'DROP TABLE x; --', use SHOW HELP;" {
		t.Error(got)
	}
	long := ask(t, s, "\x1b[31m"+strings.Repeat("ä", 5000)).message
	if len(long) > 200 || strings.Contains(long, "\x1b") {
		t.Errorf("a long command with an escape code is answered %q", long)
	}
	root := c.Open("root", true, slog.New(slog.DiscardHandler))
	for sql, hint := range map[string]string{
		"SET Defualt_pool_size = 3": "Did you mean default_pool_size?", "SET something_else = 3": "SHOW CONFIG has them all.",
	} {
		if got := ask(t, root, sql); got.code != codeNoObject || got.hint != hint {
			t.Errorf("%s: %s %s, %q", sql, got.code, got.message, got.hint)
		}
	}
	if got := ask(t, s, "SHOW HELP").message; !strings.Contains(got, "|POOLS|") || !strings.Contains(got, "\tPAUSE [db]") {
		t.Error("help doesn't list what there is:", got)
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
	s := New(p, "carpool 1.2").Open("admin", true, slog.New(slog.DiscardHandler))
	for i := range shows {
		answer := s.Message(context.Background(), wire.Query, []byte("SHOW "+shows[i].name+"\x00"))
		if strings.Contains(string(answer), secret) {
			t.Errorf("SHOW %s shows a password", shows[i].name)
		}
	}
}

func TestSessionsAreCounted(t *testing.T) {
	p := newProxy(t, nil)
	c := New(p, "carpool 1.2")
	first, second := c.Open("a", true, slog.New(slog.DiscardHandler)), c.Open("b", false, slog.New(slog.DiscardHandler))
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
	s := New(p, "carpool 1.2").Open("stats", false, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, sql string) {
		if r := ask(t, s, sql); r.tag == "" && r.code == "" {
			t.Errorf("%q is answered by nothing", sql)
		}
	})
}
