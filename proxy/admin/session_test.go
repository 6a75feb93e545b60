package admin

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"carpool/proxy/wire"
)

// message is one of a client's, in shorthand:
//
//	P name sql   B portal statement formats...   D S|P name   E portal rows   C S|P name   S H   Q sql
//
// with - for the empty name. formats are those of the columns.
func message(t testing.TB, text string) (typ byte, body []byte) {
	t.Helper()
	f := strings.Fields(text)
	name := func(i int) string { return strings.TrimPrefix(f[i], "-") + "\x00" }
	switch typ = f[0][0]; typ {
	case wire.Query:
		body = []byte(strings.Join(f[1:], " ") + "\x00")
	case wire.Parse:
		body = append([]byte(name(1)+strings.Join(f[2:], " ")), 0, 0, 0)
	case wire.Bind:
		body = append([]byte(name(1)+name(2)), 0, 0, 0, 0)
		body = binary.BigEndian.AppendUint16(body, uint16(len(f)-3))
		for _, format := range f[3:] {
			body = append(body, 0, format[0]-'0')
		}
	case wire.Describe, wire.Close:
		body = []byte(f[1] + name(2))
	case wire.Execute:
		body = binary.BigEndian.AppendUint32([]byte(name(1)), uint32(f[2][0]-'0'))
	}
	return typ, body
}

// answers is what the console says, in shorthand: a type byte for each message,
// with the SQLSTATE behind an E, the tag behind a C, and the first value behind
// a D.
func answers(t testing.TB, b []byte) string {
	t.Helper()
	var parts []string
	for len(b) > 0 {
		h, ok, valid := wire.ParseHeader(b)
		if !ok || !valid || len(b) < h.Size() {
			t.Fatalf("not a whole message: %q", b)
		}
		body, part := b[wire.HeaderLen:h.Size()], string(h.Type)
		c := wire.Cursor{Rest: body}
		switch h.Type {
		case wire.ErrorResponse:
			part += wire.ParseReport(body).Code
		case wire.CommandComplete:
			tag, _ := c.String()
			part += string(tag)
		case wire.DataRow:
			c.Rest = c.Rest[2:]
			n, _ := c.Uint32()
			value, _ := c.Bytes(int(n))
			part += fmt.Sprintf("%q", value)
		case wire.ReadyForQuery:
			part += string(body)
		}
		parts = append(parts, part)
		b = b[h.Size():]
	}
	return strings.Join(parts, " ")
}

func TestExtendedProtocol(t *testing.T) {
	for _, row := range []struct{ messages, want string }{
		{"P - SHOW VERSION; B - -; D P -; E - 0; S", `1 2 T D"carpool 1.2" CSHOW ZI`},
		{"P s SHOW VERSION; D S s; S; B p s; E p 0; S; C S s; S", `1 t T ZI 2 D"carpool 1.2" CSHOW ZI 3 ZI`},
		{"P - RELOAD; D S -; B - -; D P -; S", `1 t n 2 n ZI`},
		{"P - ; B - -; E - 0; S", `1 2 I ZI`},
		{"P - SHOW PEERS; B - -; E - 0; S", `1 2 CSHOW ZI`},
		// The rows come in portions.
		{"P - SHOW DATABASES; B - -; E - 1; E - 1; E - 1; S", `1 2 D"pgbouncer" s D"db" CSHOW CSHOW ZI`},
		// Errors, and what is skipped behind them.
		{"P - NONSENSE; B - -; E - 0; S; Q SHOW VERSION", `E42601 ZI T D"carpool 1.2" CSHOW ZI`},
		{"P - SHOW FDS; B - -; E - 0; E - 0; S", `1 2 E0A000 ZI`},
		{"B - x; S", `E26000 ZI`},
		{"B - -; S", `E26000 ZI`},
		{"E p 0; S", `E34000 ZI`},
		{"D S x; S; D P x; S", `E26000 ZI E34000 ZI`},
		{"C S x; C P x; S", `3 3 ZI`},
		{"P s SHOW STATE; P s SHOW STATE; S", `1 E42P05 ZI`},
		{"P - SHOW STATE; B p -; B p -; S", `1 2 E42P03 ZI`},
		{"P - SHOW STATE; P - SHOW VERSION; B - -; E - 0; S", `1 1 2 D"carpool 1.2" CSHOW ZI`},
		// A Query ends the unnamed statement, Sync ends portals.
		{"P - SHOW VERSION; Q SHOW PEERS; B - -; S", `1 T CSHOW ZI E26000 ZI`},
		{"P - SHOW VERSION; B p -; S; E p 0; S", `1 2 ZI E34000 ZI`},
		// Formats.
		{"P - SHOW TOTALS; B - - 1 1; D P -; S", `1 2 T ZI`},
		{"P - SHOW TOTALS; B - - 0 1 0; S", `1 E08P01 ZI`},
		{"P - SHOW TOTALS; B - - 2; S", `1 E08P01 ZI`},
		{"P - SHUTDOWN; B - - 1; E - 0; S", `1 2 E42501 ZI`},
		{"H; S; F; Q SHOW PEERS", `ZI E0A000 ZI T CSHOW ZI`},
	} {
		s := New(newProxy(t, map[string]string{"admin_users": "root"}, dbEntry()), "carpool 1.2").Open("stats", false, slog.New(slog.DiscardHandler))
		var got []byte
		for m := range strings.SplitSeq(row.messages, ";") {
			typ, body := message(t, m)
			got = append(got, s.Message(context.Background(), typ, body)...)
		}
		if got := answers(t, got); got != row.want {
			t.Errorf("%s\ngot  %s\nwant %s", row.messages, got, row.want)
		}
	}
}

// What a client keeps is bounded.
func TestPreparedStatementsAreBounded(t *testing.T) {
	s := New(newProxy(t, nil), "carpool 1.2").Open("stats", false, slog.New(slog.DiscardHandler))
	say := func(text string) string {
		typ, body := message(t, text)
		return answers(t, s.Message(context.Background(), typ, body))
	}
	for i := range maxPrepared {
		if got := say(fmt.Sprintf("P s%d SHOW STATE", i)); got != "1" {
			t.Fatal(got)
		}
		if got := say(fmt.Sprintf("B p%d s0", i)); got != "2" {
			t.Fatal(got)
		}
	}
	if got := say("B more s0"); got != "E53400" {
		t.Error(got)
	}
	say("S")
	if got := say("P more SHOW STATE"); got != "E53400" {
		t.Error(got)
	}
	say("S")
	say("C S s0")
	if got := say("P more SHOW STATE"); got != "1" {
		t.Error(got)
	}
}

func TestBinaryNumbers(t *testing.T) {
	for _, row := range []struct {
		kind columnType
		text string
		want []byte
	}{
		{typeInt4, "7", []byte{0, 0, 0, 7}},
		{typeInt4, "-1", []byte{255, 255, 255, 255}},
		{typeInt8, "258", []byte{0, 0, 0, 0, 0, 0, 1, 2}},
		{typeText, "7", []byte("7")},
		{typeNumeric, "0", []byte{0, 0, 0, 0, 0, 0, 0, 0}},
		{typeNumeric, "7", []byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 7}},
		{typeNumeric, "20001", []byte{0, 2, 0, 1, 0, 0, 0, 0, 0, 2, 0, 1}},
		{typeNumeric, "-9999", []byte{0, 1, 0, 0, 0x40, 0, 0, 0, 0x27, 0x0f}},
	} {
		if got := appendBinary(nil, row.kind, row.text); string(got) != string(row.want) {
			t.Errorf("%s as %d: %v, want %v", row.text, row.kind, got, row.want)
		}
	}
}

// Messages of any content are answered with whole messages, and after Sync the
// console answers again.
func FuzzMessages(f *testing.F) {
	for _, seed := range []string{
		"P - SHOW VERSION; B - -; D P -; E - 0; S", "Q SHOW POOLS; C S x; C P -", "B - - 1; E - 9; H; F", "P s SET x = 'y'; B p s; E p 1",
	} {
		var b []byte
		for m := range strings.SplitSeq(seed, ";") {
			typ, body := message(f, m)
			b = append(append(wire.AppendHeader(b, typ, len(body)), body...), []byte{}...)
		}
		f.Add(b)
	}
	c := New(newProxy(f, nil), "carpool 1.2")
	f.Fuzz(func(t *testing.T, b []byte) {
		s := c.Open("stats", false, slog.New(slog.DiscardHandler))
		defer s.Close()
		for len(b) > 0 {
			h, ok, valid := wire.ParseHeader(b)
			if !ok || !valid || len(b) < h.Size() || h.Type == wire.Terminate {
				break
			}
			got := answers(t, s.Message(context.Background(), h.Type, b[wire.HeaderLen:h.Size()]))
			if h.Type == wire.Sync && got != "ZI" {
				t.Errorf("Sync is answered by %s", got)
			}
			b = b[h.Size():]
		}
		s.Message(context.Background(), wire.Sync, nil)
		if got := answers(t, s.Message(context.Background(), wire.Query, []byte("SHOW VERSION\x00"))); got != `T D"carpool 1.2" CSHOW ZI` {
			t.Errorf("afterwards the console says %s", got)
		}
	})
}
