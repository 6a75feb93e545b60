package worker

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"carpool/bench/workload"
)

// reading is a reply as its reader gets to see it, from messages of which any may be somebody else's.
type reading struct {
	command   string // that the reader sent, in capitals: "SELECT"
	described bool   // a RowDescription came
	columns   int
	ended     bool // a CommandComplete came
	failed    *pgconn.PgError
	odd       string // the first thing that can't be part of one reply
	tag       string
	status    byte
	warnings  []string
	rows      rowBuffer
}

// reset prepares for the reply to a statement.
func (r *reading) reset(sql string) {
	rows := r.rows
	rows.reset()
	*r = reading{command: commandOf(sql), rows: rows, warnings: r.warnings[:0]}
}

// take adds a message, which is valid only now. It tells whether it was a ReadyForQuery: the end, as far as the reader knows.
func (r *reading) take(message pgproto3.BackendMessage) (ended bool) {
	switch m := message.(type) {
	case *pgproto3.RowDescription:
		switch {
		case r.ended:
			r.find("was given the beginning of another thread's answer after the end of its own")
		case r.described:
			r.find("was given the beginnings of two answers at once")
		}
		r.described, r.columns = true, len(m.Fields)
	case *pgproto3.DataRow:
		switch {
		case r.ended:
			r.find("was given another thread's row after the end of its own answer")
		case !r.described:
			r.find("was given a row of an answer whose beginning another thread had taken")
		case len(m.Values) != r.columns:
			r.find("was promised rows of %d columns and given one of %d: another thread's", r.columns, len(m.Values))
		default:
			r.rows.add(m.Values)
		}
	case *pgproto3.CommandComplete:
		r.complete(string(m.CommandTag))
	case *pgproto3.ErrorResponse:
		r.failed = pgconn.ErrorResponseToPgError(m)
	case *pgproto3.NoticeResponse:
		if m.SeverityUnlocalized == "WARNING" && len(r.warnings) < mostWarnings {
			r.warnings = append(r.warnings, m.Code)
		}
	case *pgproto3.ReadyForQuery:
		if !r.ended && r.failed == nil {
			r.find("sent %s and was told that its answer is complete when it hadn't come: another thread had taken it", r.command)
		}
		r.status = m.TxStatus
		return true
	case *pgproto3.EmptyQueryResponse:
		r.ended = true
	case *pgproto3.CopyOutResponse, *pgproto3.CopyInResponse, *pgproto3.CopyBothResponse, *pgproto3.CopyData, *pgproto3.CopyDone:
		r.find("was given part of a COPY that it hadn't asked for")
	}
	return false
}

// complete takes the end of a command's reply.
func (r *reading) complete(tag string) {
	done := firstWord(tag)
	switch {
	case r.ended:
		r.find("was given the ends of two answers, %s and %s", firstWord(r.tag), done)
	case !fits(r.command, done):
		r.find("sent %s and was told that %s was done: another thread's", r.command, done)
	}
	r.ended, r.tag = true, tag
}

// find keeps the first thing that is odd: what follows is its consequence.
func (r *reading) find(format string, values ...any) {
	if r.odd == "" {
		r.odd = fmt.Sprintf(format, values...)
	}
}

// reply is what the reader believes to be the reply.
func (r *reading) reply() (workload.Reply, error) {
	reply := workload.Reply{Tag: r.tag, Status: r.status, Warnings: r.warnings}
	switch {
	case r.odd != "":
		return reply, &misplaced{r.odd}
	case r.failed != nil:
		return reply, r.failed
	}
	reply.Rows = r.rows.rows()
	return reply, nil
}

// commandOf is the first word of a statement, in capitals.
func commandOf(sql string) string {
	return strings.ToUpper(firstWord(strings.TrimLeft(sql, " \t\r\n(")))
}

// firstWord is the letters at the beginning of a text, of which it may have any.
func firstWord(text string) string {
	end := 0
	for end < len(text) && end < longestCommand && (text[end]|0x20 >= 'a' && text[end]|0x20 <= 'z') {
		end++
	}
	return text[:end]
}

const longestCommand = 20

// fits tells whether a command may be reported as done under this name. It doubts only what it knows.
func fits(command, done string) bool {
	switch command {
	case "SELECT", "VALUES", "TABLE":
		return done == "SELECT"
	case "COMMIT", "END":
		return done == "COMMIT" || done == "ROLLBACK"
	case "ABORT":
		return done == "ROLLBACK"
	case "INSERT", "UPDATE", "DELETE", "MERGE", "BEGIN", "ROLLBACK", "SET", "START", "SAVEPOINT", "RELEASE":
		return done == command
	default:
		switch done {
		case "BEGIN", "COMMIT", "ROLLBACK":
			return false
		}
		return true
	}
}
