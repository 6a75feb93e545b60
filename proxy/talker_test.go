package proxy

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// talker is a client that speaks the protocol message by message, to compare
// what comes back byte by byte, or to say what no driver would.
type talker struct {
	t      testing.TB
	conn   net.Conn
	in     *bufio.Reader
	pid    uint32
	params map[string]string // as reported so far
	// chunk cuts what is sent into writes of so many bytes; 0: one write.
	chunk int
	doing string  // for messages of failure
	heard []heard // NotificationResponses, as far as nobody has asked for them
	// notices are what NoticeResponses have said.
	notices []string
}

// answer is one message from the server.
type answer struct {
	typ  byte
	body []byte
}

// talkerPatience is how long a talker waits for a message.
const talkerPatience = 15 * time.Second

// talk logs a client in at a TCP address, or at a path; it has to be trusted.
func talk(t testing.TB, address string, params ...wire.Param) *talker {
	t.Helper()
	k := dialTalker(t, address)
	if r, ok := k.logIn(params...); !ok {
		t.Fatalf("login: %+v", r)
	}
	return k
}

// dialTalker connects without logging in.
func dialTalker(t testing.TB, address string) *talker {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return newTalker(t, conn)
}

func newTalker(t testing.TB, conn net.Conn) *talker {
	t.Cleanup(func() { _ = conn.Close() })
	return &talker{t: t, conn: conn, in: bufio.NewReaderSize(conn, 64<<10), params: make(map[string]string)}
}

// logIn sends the start-up packet and reads up to the first ReadyForQuery, or
// the error that comes instead. The user is postgres and the database app,
// unless given.
func (k *talker) logIn(params ...wire.Param) (wire.Report, bool) {
	k.t.Helper()
	list := []wire.Param{{Name: "user", Value: "postgres"}, {Name: "database", Value: "app"}}
	k.send(wire.AppendStartup(nil, wire.Protocol30, append(list, params...)))
	for {
		a := k.next()
		switch a.typ {
		case wire.ErrorResponse:
			return wire.ParseReport(a.body), false
		case wire.BackendKeyData:
			k.pid = binary.BigEndian.Uint32(a.body)
		case wire.ReadyForQuery:
			return wire.Report{}, true
		}
	}
}

func (k *talker) send(b []byte) {
	k.t.Helper()
	_ = k.conn.SetWriteDeadline(time.Now().Add(talkerPatience))
	n := len(b)
	if k.chunk > 0 {
		n = k.chunk
	}
	for len(b) > 0 {
		n = min(n, len(b))
		if _, err := k.conn.Write(b[:n]); err != nil {
			k.t.Fatalf("sending: %v %s", err, k.doing)
		}
		b = b[n:]
	}
}

// say sends messages.
func (k *talker) say(messages ...pgproto3.FrontendMessage) {
	k.t.Helper()
	k.send(encode(k.t, messages...))
}

func encode(t testing.TB, messages ...pgproto3.FrontendMessage) []byte {
	t.Helper()
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = m.Encode(b); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// next reads one message.
func (k *talker) next() answer {
	k.t.Helper()
	a, err := k.tryNext()
	if err != nil {
		k.t.Fatalf("reading: %v %s", err, k.doing)
	}
	return a
}

func (k *talker) tryNext() (answer, error) {
	_ = k.conn.SetReadDeadline(time.Now().Add(talkerPatience))
	var head [wire.HeaderLen]byte
	if _, err := io.ReadFull(k.in, head[:]); err != nil {
		return answer{}, err
	}
	h, _, valid := wire.ParseHeader(head[:])
	if !valid {
		return answer{}, fmt.Errorf("invalid header %x", head)
	}
	body := make([]byte, h.Body)
	if _, err := io.ReadFull(k.in, body); err != nil {
		return answer{}, err
	}
	if h.Type == wire.ParameterStatus {
		if name, value, ok := wire.ParseParameterStatus(body); ok {
			k.params[string(name)] = string(value)
		}
	}
	if h.Type == wire.NoticeResponse {
		k.notices = append(k.notices, wire.ParseReport(body).Message)
	}
	if h.Type == wire.NotificationResponse {
		k.heard = append(k.heard, hearNote(k.t, body))
	}
	return answer{h.Type, body}, nil
}

// until reads up to and with the first message of one of these types.
func (k *talker) until(ends string) []answer {
	k.t.Helper()
	var list []answer
	for {
		a, err := k.tryNext()
		if err != nil {
			k.t.Fatalf("waiting for %s, got %s: %v %s", ends, types(list), err, k.doing)
		}
		list = append(list, a)
		if strings.IndexByte(ends, a.typ) >= 0 {
			return list
		}
	}
}

// ask sends messages and reads up to ReadyForQuery.
func (k *talker) ask(messages ...pgproto3.FrontendMessage) []answer {
	k.t.Helper()
	k.say(messages...)
	return k.until("Z")
}

// query is ask with a simple query. It returns the first value of the first row.
func (k *talker) query(sql string) string {
	k.t.Helper()
	value := ""
	list := k.ask(&pgproto3.Query{String: sql})
	for _, a := range list {
		if a.typ == wire.DataRow && value == "" {
			value = firstValue(a.body)
		}
		if a.typ == wire.ErrorResponse {
			k.t.Fatalf("%s: %+v", sql, wire.ParseReport(a.body))
		}
	}
	return value
}

// ended reads to the end of the connection and returns what came before.
func (k *talker) ended() []answer {
	k.t.Helper()
	var list []answer
	for {
		a, err := k.tryNext()
		if err == io.EOF {
			return list
		}
		if err != nil {
			k.t.Fatalf("waiting for the end of the connection after %s: %v", types(list), err)
		}
		list = append(list, a)
	}
}

// firstValue is the first column of a DataRow, "" for NULL.
func firstValue(row []byte) string {
	if n := int32(binary.BigEndian.Uint32(row[2:])); n > 0 {
		return string(row[6 : 6+n])
	}
	return ""
}

// types is the conversation in shorthand: the type of each message, with the
// SQLSTATE of errors and the status of ReadyForQuery.
func types(list []answer) string {
	words := make([]string, len(list))
	for i, a := range list {
		switch words[i] = string(a.typ); a.typ {
		case wire.ErrorResponse, wire.NoticeResponse:
			words[i] += ":" + wire.ParseReport(a.body).Code
		case wire.ReadyForQuery:
			words[i] += ":" + string(a.body)
		}
	}
	return strings.Join(words, " ")
}

// address is where the proxy listens on TCP.
func (p *pooler) address() string { return "127.0.0.1:" + p.port }

// param makes start-up parameters of name, value, name, value ...
func param(pairs ...string) []wire.Param {
	var list []wire.Param
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, wire.Param{Name: pairs[i], Value: pairs[i+1]})
	}
	return list
}

// Messages of the extended protocol, for scripts.
func parse(name, sql string) *pgproto3.Parse { return &pgproto3.Parse{Name: name, Query: sql} }

func bind(portal, name string, values ...string) *pgproto3.Bind {
	b := &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: name}
	for _, v := range values {
		b.Parameters = append(b.Parameters, []byte(v))
	}
	return b
}

func describe(kind byte, name string) *pgproto3.Describe {
	return &pgproto3.Describe{ObjectType: kind, Name: name}
}

func execute(portal string, rows uint32) *pgproto3.Execute {
	return &pgproto3.Execute{Portal: portal, MaxRows: rows}
}

func closeOf(kind byte, name string) *pgproto3.Close {
	return &pgproto3.Close{ObjectType: kind, Name: name}
}

func simple(text string) *pgproto3.Query { return &pgproto3.Query{String: text} }

var (
	syncNow  = &pgproto3.Sync{}
	flushNow = &pgproto3.Flush{}
)
