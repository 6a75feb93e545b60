package worker

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// messages turns shorthand into what a server sends: T1 is a description of one column, D1 a row of one, C:SELECT the end of
// a command, E an error, N a warning, Z:I ready.
func messages(t testing.TB, shorthand string) []pgproto3.BackendMessage {
	t.Helper()
	var all []pgproto3.BackendMessage
	for word := range strings.FieldsSeq(shorthand) {
		rest := word[1:]
		switch word[0] {
		case 'T':
			all = append(all, &pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, rest[0]-'0')})
		case 'D':
			all = append(all, &pgproto3.DataRow{Values: make([][]byte, rest[0]-'0')})
		case 'C':
			all = append(all, &pgproto3.CommandComplete{CommandTag: []byte(rest[1:])})
		case 'E':
			all = append(all, &pgproto3.ErrorResponse{Code: "22012", Message: "division by zero"})
		case 'N':
			all = append(all, &pgproto3.NoticeResponse{SeverityUnlocalized: "WARNING", Code: "25001"})
		case 'Z':
			all = append(all, &pgproto3.ReadyForQuery{TxStatus: rest[1]})
		case 'I':
			all = append(all, &pgproto3.EmptyQueryResponse{})
		case '2':
			all = append(all, &pgproto3.BindComplete{})
		case 'H':
			all = append(all, &pgproto3.CopyOutResponse{})
		default:
			t.Fatalf("no message is written %s", word)
		}
	}
	return all
}

func TestReadingFindsWhatCannotBeOneReply(t *testing.T) {
	for _, test := range []struct{ sql, server, want string }{
		{"SELECT 1", "T1 D1 C:SELECT Z:I", ""},
		{"SELECT 1", "2 T1 C:SELECT Z:I", ""},
		{" (select 1)", "T1 C:SELECT Z:T", ""},
		{"WITH x AS (SELECT 1) DELETE FROM y", "C:DELETE Z:T", ""},
		{"BEGIN", "N C:BEGIN Z:T", ""},
		{"COMMIT", "C:ROLLBACK Z:I", ""},
		{"end", "C:COMMIT Z:I", ""},
		{"", "I Z:I", ""},
		{"SELECT 1", "E Z:I", "division by zero"},
		{"SELECT 1", "T1 D1 E Z:I", "division by zero"},
		{"SELECT 1", "Z:I", "complete when it hadn't come"},
		{"SELECT 1", "T1 D1 Z:I", "complete when it hadn't come"},
		{"SELECT 1", "D1 C:SELECT Z:I", "whose beginning another thread had taken"},
		{"SELECT 1", "T1 T1 D1 C:SELECT Z:I", "two answers at once"},
		{"SELECT 1", "T2 D1 C:SELECT Z:I", "rows of 2 columns and given one of 1"},
		{"SELECT 1", "T1 C:SELECT T1 Z:I", "after the end of its own"},
		{"SELECT 1", "T1 C:SELECT D1 Z:I", "after the end of its own"},
		{"SELECT 1", "T1 C:SELECT C:SELECT Z:I", "the ends of two answers"},
		{"SELECT 1", "C:COMMIT Z:I", "sent SELECT and was told that COMMIT was done"},
		{"UPDATE x", "C:BEGIN Z:I", "sent UPDATE and was told that BEGIN was done"},
		{"BEGIN", "C:SELECT Z:T", "sent BEGIN and was told that SELECT was done"},
		{"EXPLAIN SELECT 1", "C:COMMIT Z:T", "COMMIT was done"},
		{"SELECT 1", "H T1 C:SELECT Z:I", "COPY"},
		{"BEGIN", "C:SELECT D1 Z:T", "sent BEGIN and was told that SELECT was done"}, // the first oddity
	} {
		var r reading
		r.reset(test.sql)
		all := messages(t, test.server)
		for i, message := range all {
			if ended := r.take(message); ended != (i == len(all)-1) {
				t.Errorf("%s: %s: message %d ends the reply: %t", test.sql, test.server, i, ended)
			}
		}
		reply, err := r.reply()
		if test.want == "" && (err != nil || reply.Status != test.server[len(test.server)-1]) ||
			test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %s: got %+v, %v, want %q", test.sql, test.server, reply, err, test.want)
		}
	}
}

// However the messages of a server fall to somebody, reading them neither panics nor keeps more than was sent.
func FuzzReading(f *testing.F) {
	f.Add("SELECT 1", []byte("TDCZ"))
	f.Add("BEGIN", []byte("CZZDDTHENI"))
	f.Fuzz(func(t *testing.T, sql string, order []byte) {
		var r reading
		r.reset(sql)
		for i, b := range order {
			var m pgproto3.BackendMessage
			switch columns := i % 3; b {
			case 'T':
				m = &pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, columns)}
			case 'D':
				m = &pgproto3.DataRow{Values: make([][]byte, columns)}
			case 'C':
				m = &pgproto3.CommandComplete{CommandTag: order[i:]}
			case 'E':
				m = &pgproto3.ErrorResponse{}
			case 'Z':
				m = &pgproto3.ReadyForQuery{TxStatus: 'I'}
			default:
				m = &pgproto3.NoticeResponse{SeverityUnlocalized: "WARNING"}
			}
			r.take(m)
		}
		if reply, err := r.reply(); err == nil && len(reply.Rows) > len(order) || len(reply.Warnings) > mostWarnings {
			t.Fatalf("%d rows and %d warnings of %d messages", len(reply.Rows), len(reply.Warnings), len(order))
		}
	})
}
