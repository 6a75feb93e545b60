package nullserver

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"carpool/proxy/wire"
)

func login() []byte {
	return wire.AppendStartup(nil, wire.Protocol30, []wire.Param{{Name: "user", Value: "u"}})
}

// message is a message with a body.
func message(typ byte, body string) []byte {
	return append(wire.AppendHeader(nil, typ, len(body)), body...)
}

// types are the type bytes of the messages in a server's output, after the answers N to what asked for encryption.
func types(t *testing.T, out []byte) string {
	t.Helper()
	var seen strings.Builder
	for len(out) > 0 && out[0] == 'N' && (len(out) == 1 || out[1] == 'N' || out[1] == wire.Authentication) {
		seen.WriteByte('N')
		out = out[1:]
	}
	for len(out) > 0 {
		header, ok, valid := wire.ParseHeader(out)
		if !ok || !valid || header.Size() > len(out) {
			t.Fatalf("not a message: %q", out)
		}
		seen.WriteByte(header.Type)
		out = out[header.Size():]
	}
	return seen.String()
}

func TestConversations(t *testing.T) {
	const welcomed = "RSSSSSSKZ"
	ssl := wire.AppendSSLRequest(nil)
	for _, row := range []struct {
		name string
		in   [][]byte
		want string // types of the server's messages
		end  string // part of the error; empty: none
	}{
		{"log in", [][]byte{login()}, welcomed, ""},
		{"ask for TLS", [][]byte{ssl, login()}, "N" + welcomed, ""},
		{"newer protocol", [][]byte{wire.AppendStartup(nil, wire.Protocol32, nil)}, "v" + welcomed, ""},
		{"old protocol", [][]byte{wire.AppendStartup(nil, 2<<16, nil)}, "E", "protocol 2.0"},
		{"cancel", [][]byte{wire.AppendCancelRequest(nil, 1, []byte{0, 0, 0, 1})}, "", "goodbye"},
		{"too long a start", [][]byte{{0, 0, 0x40, 0, 0, 3, 0, 0}}, "", "16384 bytes"},
		{"too short a start", [][]byte{{0, 0, 0, 7, 0, 3, 0, 0}}, "", "7 bytes"},
		{"simple", [][]byte{login(), wire.AppendQuery(nil, question)}, welcomed + "TDCZ", ""},
		{
			"extended",
			[][]byte{
				login(), message('P', "\x00SELECT 1\x00\x00\x00"), message('B', "\x00\x00\x00\x00\x00\x00\x00\x00"),
				message('D', "P\x00"), message('E', "\x00\x00\x00\x00\x00"), message('S', ""),
			},
			welcomed + "12TDCZ", "",
		},
		{"describe a statement", [][]byte{login(), message('D', "Sname\x00"), message('H', "")}, welcomed + "tT", ""},
		{"describe nothing", [][]byte{login(), message('D', "")}, welcomed + "T", ""},
		{"close", [][]byte{login(), message('C', "Sname\x00"), message('S', "")}, welcomed + "3Z", ""},
		{"end", [][]byte{login(), message('X', ""), wire.AppendQuery(nil, question)}, welcomed, "goodbye"},
		{"nonsense", [][]byte{login(), message('?', "")}, welcomed + "E", "isn't understood"},
		{"too short", [][]byte{login(), {'Q', 0, 0, 0, 3}}, welcomed + "E", "a length that is none"},
		{"too long", [][]byte{login(), {'Q', 0x7f, 0xff, 0xff, 0xff}}, welcomed + "E", "a length that is none"},
	} {
		in := bytes.Join(row.in, nil)
		for _, piece := range []int{len(in), 1, 3} {
			out, err := converseInPieces(in, piece)
			if got := types(t, out); got != row.want {
				t.Errorf("%s, %d bytes at a time: %s, want %s", row.name, piece, got, row.want)
			}
			if row.end == "" && err != nil || row.end != "" && (err == nil || !strings.Contains(err.Error(), row.end)) {
				t.Errorf("%s, %d bytes at a time: %v, want %q", row.name, piece, err, row.end)
			}
		}
	}
}

// converseInPieces feeds a new conversation so many bytes at a time, from a buffer that is used again as a connection's is.
func converseInPieces(in []byte, piece int) ([]byte, error) {
	c := conversation{replies: newReplies()}
	buffer := make([]byte, piece)
	var out []byte
	for len(in) > 0 {
		n := copy(buffer, in)
		in = in[n:]
		var err error
		if out, err = c.feed(out, buffer[:n]); err != nil {
			return out, err
		}
	}
	return out, nil
}

func FuzzConversation(f *testing.F) {
	f.Add(append(wire.AppendSSLRequest(nil), login()...), 1)
	f.Add(append(login(), message('P', "\x00SELECT 1\x00\x00\x00")...), 4)
	f.Add(append(login(), message('D', "Sname\x00")...), 7)
	f.Add(append(login(), 'Q', 0, 0, 0xff, 0xff, 'x'), 2)
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		if piece < 1 || piece > len(in) || len(in) > 1<<16 {
			return
		}
		whole, wholeErr := converseInPieces(in, len(in))
		pieces, piecesErr := converseInPieces(in, piece)
		if !bytes.Equal(whole, pieces) || (wholeErr == nil) != (piecesErr == nil) || errors.Is(wholeErr, errEnd) != errors.Is(piecesErr, errEnd) {
			t.Errorf("at once %q, %v; in pieces %q, %v", whole, wholeErr, pieces, piecesErr)
		}
		// A connection is never asked to hold more than its input and answers of a bounded size.
		if limit := 4<<10 + 16*len(in); len(whole) > limit {
			t.Errorf("%d bytes of answers to %d bytes", len(whole), len(in))
		}
	})
}
