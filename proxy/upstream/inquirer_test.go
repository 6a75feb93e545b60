package upstream

import (
	"bytes"
	"strings"
	"testing"

	"carpool/proxy/wire"
)

// converseWith has an Inquirer ask a server that says what it says.
func converseWith(said []byte) (*Inquirer, [][]Value, error) {
	q := &Inquirer{reached: reached{session: session{link: &script{Reader: bytes.NewReader(said)}, target: &Target{}}}}
	rows, err := q.converse("select $1", "u")
	return q, rows, err
}

func dataRow(values ...string) []byte {
	dst, mark := wire.Begin(nil, wire.DataRow)
	dst = append(dst, 0, byte(len(values)))
	for _, v := range values {
		dst = append(dst, 0, 0, 0, byte(len(v)))
		dst = append(dst, v...)
	}
	return wire.Finish(dst, mark)
}

func TestAnswersToQuestions(t *testing.T) {
	parsed, bound := message(wire.ParseComplete, ""), message(wire.BindComplete, "")
	complete := message(wire.CommandComplete, "SELECT 1\x00")
	failed := message(wire.ErrorResponse, "SERROR\x00C42P01\x00Mno\x00\x00")
	row := dataRow("u", "secret")
	tests := []struct {
		name string
		said []byte
		rows int
		fit  bool
		want string // part of the error; "" for none
	}{
		{"a row", say(parsed, bound, row, complete, ready()), 1, true, ""},
		{"no row", say(parsed, bound, complete, ready()), 0, true, ""},
		{"two", say(parsed, bound, row, row, message(wire.PortalSuspended, ""), ready()), 2, true, ""},
		{"three", say(parsed, bound, row, row, row, complete, ready()), 0, false, "unasked row"},
		{"with remarks", say(status("a", "b"), parsed, message(wire.NoticeResponse, "\x00"), bound, row, complete, ready()), 1, true, ""},
		{"an error", say(failed, ready()), 0, true, "42P01"},
		{"an error behind a row", say(parsed, bound, row, failed, ready()), 1, true, "42P01"},
		{"the last error", failed, 0, false, "42P01"},
		{"an answer before the question", say(row, complete, ready()), 0, false, "unexpected message"},
		{"no Parse", say(bound, row, complete, ready()), 0, false, "unexpected message"},
		{"ready too early", say(parsed, bound, row, ready()), 0, false, "unexpected message"},
		{"complete too early", say(parsed, complete, ready()), 0, false, "unexpected message"},
		{"complete twice", say(parsed, bound, complete, complete, ready()), 0, false, "unexpected message"},
		{"a row behind the end", say(parsed, bound, complete, row, ready()), 0, false, "unexpected message"},
		{"more than the answer", say(parsed, bound, row, complete, ready(), parsed), 1, false, ""},
		{"in a transaction", say(parsed, bound, row, complete, message(wire.ReadyForQuery, "T")), 1, false, ""},
		{"half a row", say(parsed, bound, message(wire.DataRow, "\x00\x02\x00\x00\x00\x01u"), ready()), 0, false, "malformed"},
		{"a long row", say(parsed, bound, message(wire.DataRow, "\x00\x01\x7f\xff\xff\xffu"), ready()), 0, false, "malformed"},
		{"copy", say(parsed, bound, message(wire.CopyInResponse, "\x00\x00\x00")), 0, false, "unexpected message"},
		{"another login", say(authOK(), ready()), 0, false, "unexpected message"},
		{"nothing", nil, 0, false, "EOF"},
	}
	for _, tt := range tests {
		q, rows, err := converseWith(tt.said)
		if q.Fit() != tt.fit || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || err == nil && len(rows) != tt.rows {
			t.Errorf("%s: %v, %v, fit: %t", tt.name, rows, err, q.Fit())
		}
	}
}

func FuzzInquirer(f *testing.F) {
	f.Add(say(message(wire.ParseComplete, ""), message(wire.BindComplete, ""), dataRow("u", "secret"), message(wire.CommandComplete, "SELECT 1\x00"), ready()))
	f.Add(say(message(wire.ErrorResponse, "C42P01\x00\x00"), ready()))
	f.Fuzz(func(t *testing.T, said []byte) {
		q, rows, err := converseWith(said)
		switch {
		case len(rows) > maxAnswerRows:
			t.Fatalf("%d rows", len(rows))
		case q.Fit() && len(q.in) > 0:
			t.Fatal("fit, with the beginning of another answer")
		case err == nil && !bytes.Contains(said, message(wire.ParseComplete, "")):
			t.Fatal("an answer to what wasn't asked")
		}
	})
}
