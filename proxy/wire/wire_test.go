package wire

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

func TestParseHeader(t *testing.T) {
	tests := []struct {
		name  string
		in    []byte
		want  Header
		ok    bool
		valid bool
	}{
		{"nothing", nil, Header{}, false, true},
		{"cut", []byte{'Q', 0, 0, 0}, Header{}, false, true},
		{"empty body", []byte{'S', 0, 0, 0, 4}, Header{'S', 0}, true, true},
		{"body of one", []byte{'Z', 0, 0, 0, 5, 'I'}, Header{'Z', 1}, true, true},
		{"length 0", []byte{'Q', 0, 0, 0, 0}, Header{Type: 'Q'}, true, false},
		{"length 3", []byte{'Q', 0, 0, 0, 3}, Header{Type: 'Q'}, true, false},
		{"length -1", []byte{'Q', 0xff, 0xff, 0xff, 0xff}, Header{Type: 'Q'}, true, false},
		{"length 2^31", []byte{'Q', 0x80, 0, 0, 0}, Header{Type: 'Q'}, true, false},
		{"length 2^31-1", []byte{'Q', 0x7f, 0xff, 0xff, 0xff}, Header{'Q', MaxBody}, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, ok, valid := ParseHeader(tt.in)
			if h != tt.want || ok != tt.ok || valid != tt.valid {
				t.Errorf("ParseHeader(%x) = %v, %v, %v; want %v, %v, %v", tt.in, h, ok, valid, tt.want, tt.ok, tt.valid)
			}
		})
	}
}

// What this package writes has to mean the same to pgproto3, which the rest
// of the Go world reads Postgres with.
func TestMessagesAgreeWithPgproto3(t *testing.T) {
	encode := func(m interface {
		Encode([]byte) ([]byte, error)
	},
	) []byte {
		t.Helper()
		b, err := m.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tests := []struct {
		name string
		got  []byte
		want []byte
	}{
		{"Query", AppendQuery(nil, "select 1"), encode(&pgproto3.Query{String: "select 1"})},
		{"Sync", AppendEmpty(nil, Sync), encode(&pgproto3.Sync{})},
		{"ReadyForQuery", AppendReadyForQuery(nil, TxOpen), encode(&pgproto3.ReadyForQuery{TxStatus: 'T'})},
		{"ParameterStatus", AppendParameterStatus(nil, "TimeZone", "UTC"), encode(&pgproto3.ParameterStatus{Name: "TimeZone", Value: "UTC"})},
		{"BackendKeyData", AppendBackendKeyData(nil, 7, []byte{1, 2, 3, 4}), encode(&pgproto3.BackendKeyData{ProcessID: 7, SecretKey: []byte{1, 2, 3, 4}})},
		{"AuthenticationOk", AppendAuthentication(nil, AuthOK, nil), encode(&pgproto3.AuthenticationOk{})},
		{"MD5", AppendAuthentication(nil, AuthMD5Password, []byte{9, 8, 7, 6}), encode(&pgproto3.AuthenticationMD5Password{Salt: [4]byte{9, 8, 7, 6}})},
		{"CancelRequest", AppendCancelRequest(nil, 7, []byte{1, 2, 3, 4}), encode(&pgproto3.CancelRequest{ProcessID: 7, SecretKey: []byte{1, 2, 3, 4}})},
		{"SSLRequest", AppendSSLRequest(nil), encode(&pgproto3.SSLRequest{})},
		{"Startup", AppendStartup(nil, Protocol30, []Param{{"user", "u"}}), encode(&pgproto3.StartupMessage{ProtocolVersion: Protocol30, Parameters: map[string]string{"user": "u"}})},
		{"Error", AppendError(nil, Report{Severity: "ERROR", Code: "57014", Message: "m", Detail: "d", Hint: "h"}), encode(&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "57014", Message: "m", Detail: "d", Hint: "h"})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !bytes.Equal(tt.got, tt.want) {
				t.Errorf("got  %q\nwant %q", tt.got, tt.want)
			}
		})
	}
}

func TestReportSurvivesWhatServersLeaveOut(t *testing.T) {
	tests := []struct {
		name string
		body []byte
		want Report
	}{
		{"no fields", []byte{0}, Report{}},
		{"nothing at all", nil, Report{}},
		{"no SQLSTATE", []byte("SERROR\x00Mm\x00\x00"), Report{Severity: "ERROR", Message: "m"}},
		{"no terminator", []byte("SERROR\x00C42601\x00Mabc"), Report{Severity: "ERROR", Code: "42601"}},
		{"unknown field", []byte("Qzzz\x00Mm\x00\x00"), Report{Message: "m"}},
		{"localized", []byte("SFEHLER\x00VERROR\x00\x00"), Report{Severity: "ERROR"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ParseReport(tt.body); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestParseStatementNeedsItsWholeBody(t *testing.T) {
	whole := []byte("s1\x00select $1\x00\x00\x01\x00\x00\x00\x17")
	name, rest, ok := ParseStatement(whole)
	if !ok || string(name) != "s1" || !bytes.Equal(rest, whole[3:]) {
		t.Fatalf("ParseStatement = %q, %q, %v", name, rest, ok)
	}
	for n := range len(whole) {
		if _, _, ok := ParseStatement(whole[:n]); ok {
			t.Errorf("cut to %d bytes it was still accepted", n)
		}
	}
	if _, _, ok := ParseStatement(append(whole, 0)); ok {
		t.Error("a byte too many was accepted")
	}
}

func FuzzDecoders(f *testing.F) {
	f.Add([]byte("s1\x00select $1\x00\x00\x01\x00\x00\x00\x17"))
	f.Add([]byte("SERROR\x00C42601\x00Mabc\x00\x00"))
	f.Add([]byte{'Q', 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		ParseReport(b)
		ParseParameterStatus(b)
		ParseReadyForQuery(b)
		ParseBackendKeyData(b)
		ParseTarget(b)
		if name, rest, ok := ParseStatement(b); ok && len(name)+1+len(rest) != len(b) {
			t.Errorf("name %q and rest %q don't make up %q", name, rest, b)
		}
		if portal, statement, size, ok := ParseBindNames(b); ok && len(portal)+len(statement)+2 != size {
			t.Errorf("names %q and %q don't take %d bytes", portal, statement, size)
		}
		if h, ok, valid := ParseHeader(b); ok && valid && (h.Body < 0 || h.Body > MaxBody) {
			t.Errorf("body of %d bytes", h.Body)
		}
	})
}
