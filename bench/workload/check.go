package workload

import (
	"context"
	"fmt"
	"strings"
	"unicode"
)

// The transaction's states, as ReadyForQuery says them.
const (
	outside = 'I'
	inside  = 'T'
	broken  = 'E'
)

// SQLSTATEs of the warnings that Postgres gives to BEGIN inside of a transaction and to COMMIT outside of one.
const (
	alreadyBegun = "25001"
	notBegun     = "25P01"
)

// answer is what a reply must be.
type answer struct {
	asked string   // what for, as WrongAnswer.Asked
	thing string   // what a row is, for telling of one that wasn't asked for
	tag   string   // of the command
	row   []string // the columns that the only row begins with; nil: no rows
}

// check compares a reply with what it must be.
func (a answer) check(r Reply) error {
	if r.Tag == a.tag && a.holds(r.Rows) {
		return nil
	}
	return &WrongAnswer{Asked: a.asked, Got: describe(a.thing, r)}
}

func (a answer) holds(rows [][][]byte) bool {
	if a.row == nil {
		return len(rows) == 0
	}
	if len(rows) != 1 || len(rows[0]) < len(a.row) {
		return false
	}
	for i, column := range a.row {
		if string(rows[0][i]) != column {
			return false
		}
	}
	return true
}

// describe tells a reply in a few words that are fit for a terminal.
func describe(thing string, r Reply) string {
	switch {
	case len(r.Rows) == 0 && strings.HasPrefix(r.Tag, "SELECT"):
		return "no " + thing
	case len(r.Rows) == 0:
		return fmt.Sprintf("the answer %q", legible([]byte(r.Tag), longestColumn))
	case len(r.Rows) > 1:
		return fmt.Sprintf("%d rows, the first of them %s", len(r.Rows), describe(thing, Reply{Tag: r.Tag, Rows: r.Rows[:1]}))
	case len(r.Rows[0]) == 0:
		return "a row without columns"
	}
	columns := make([]string, 0, shownColumns)
	for _, column := range r.Rows[0][:min(len(r.Rows[0]), shownColumns)] {
		columns = append(columns, legible(column, longestColumn))
	}
	text := thing + " " + columns[0]
	if len(columns) > 1 {
		text += " (" + strings.Join(columns[1:], ", ") + ")"
	}
	return text
}

// What of a reply is shown, in columns and bytes of each.
const (
	shownColumns  = 3
	longestColumn = 40
)

// legible is text that came from elsewhere, without what would upset a terminal.
func legible(text []byte, longest int) string {
	if text == nil {
		return "NULL"
	}
	tail := ""
	if len(text) > longest {
		text, tail = text[:longest], "..."
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return '?'
	}, strings.ToValidUTF8(string(text), "?")) + tail
}

// alone sends a statement that is a call of its own: no transaction may be open at its end.
func alone(ctx context.Context, s Session, st Statement, want answer, args ...string) error {
	reply, err := s.Do(ctx, st, args...)
	if err != nil {
		return err
	}
	if err := want.check(reply); err != nil {
		return err
	}
	if reply.Status != outside {
		return &MixedTransaction{Did: "ran one statement", Found: "that it was inside of a transaction"}
	}
	return nil
}
