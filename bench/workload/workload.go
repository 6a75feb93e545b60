package workload

import (
	"context"
	"io"
)

// Workload is what the calls of a benchmark do, and the tables that they do it on. It is immutable: its callers hold what
// changes.
type Workload struct {
	Name  string // as --workload takes it
	Title string // a few words for a heading
	Shape Shape
	// Prepared asks for named statements, whatever protocol the others are measured with.
	Prepared bool
	// Tables are the SQL commands that make and fill the tables in the schema of place, one at a time and outside of a
	// transaction. None for a workload that needs no tables.
	Tables func(place Place) []string
	// NewCaller makes the caller of one client. Equal arguments give equal sequences of calls.
	NewCaller func(place Place, client int, seed uint64) Caller
}

// Shape is how the calls of a workload relate to the connections.
type Shape int

// The shapes.
const (
	Calls Shape = iota // every client calls, one after another
	Storm              // waves: every client loses its connection, all reconnect at once, each calls once
	Idle               // besides the clients that call there are many whose connections are open and idle
)

// Place is where the tables of a run are.
type Place struct {
	Schema string // its name, which needs no quotes
	Scale  int    // of tpcb, in 100,000 accounts; at least 1
}

// Caller makes the calls of one client and checks every answer. It belongs to that client's goroutine.
type Caller interface {
	// Call does one call on s, from its first statement to its last. An answer that isn't the answer to the question is a
	// *WrongAnswer, a transaction that isn't as the caller left it a *MixedTransaction; what the session says else comes
	// back as it is.
	Call(ctx context.Context, s Session) error
}

// Statement is one SQL command with parameters $1 to $9. A $ before a digit is nothing else, also within quotes.
type Statement struct {
	Name string // under which it is prepared; empty: always sent as a simple query, such as BEGIN
	SQL  string
	// Bare says that the arguments are numbers or truth values that stand in the text of a simple query as they are, without
	// quotes.
	Bare bool
}

// Reply is what came back for one statement. Its bytes belong to the session and last until its next exchange. One that
// comes with an error has the Status, if that is known, and 0 there if it isn't.
type Reply struct {
	Tag      string // of the command, such as "SELECT 1"
	Rows     [][][]byte
	Status   byte     // of the transaction, as ReadyForQuery says: 'I', 'T' or 'E'
	Warnings []string // SQLSTATEs of the warnings that came before the reply's end
}

// Session is a connection, or a turn on a shared one. It is used by one goroutine at a time.
type Session interface {
	// Do sends one statement and waits for the whole reply.
	Do(ctx context.Context, s Statement, args ...string) (Reply, error)
	// CopyOut runs COPY ... TO STDOUT into w; CopyIn runs COPY ... FROM STDIN from r.
	CopyOut(ctx context.Context, sql string, w io.Writer) (Reply, error)
	CopyIn(ctx context.Context, sql string, r io.Reader) (Reply, error)
}

// WrongAnswer is an answer to another question than the one that was asked. Asked and Got go into a sentence: thread 3 asked
// "for book 9780131103627" and was given "book 9780201835953 (...)".
type WrongAnswer struct{ Asked, Got string }

func (e *WrongAnswer) Error() string { return "asked " + e.Asked + " and was given " + e.Got }

// MixedTransaction is a transaction that somebody else began, ended or broke. Did and Found go into a sentence: thread 5
// "began a transaction" and found "that one was in progress already".
type MixedTransaction struct{ Did, Found string }

func (e *MixedTransaction) Error() string { return e.Did + " and found " + e.Found }
