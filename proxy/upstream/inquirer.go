package upstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"carpool/proxy/wire"
)

// Inquirer is a server that is asked one question after another, such as for the
// secrets of users. It is for one goroutine at a time and has to be closed.
type Inquirer struct {
	reached
	asked int
	fit   bool
}

// Value is one column of a row.
type Value struct {
	Text string
	Null bool // else Text counts
}

// maxAnswerRows is how many rows a server is asked for at most: one that more
// than one row answers isn't answered.
const maxAnswerRows = 2

// DialInquirer connects to the target and logs in, as Dial does.
func DialInquirer(ctx context.Context, t *Target) (*Inquirer, error) {
	r, err := reach(ctx, t, nil)
	if err != nil {
		return nil, err
	}
	return &Inquirer{reached: *r, fit: true}, nil
}

// Asked is how many times Ask was called.
func (q *Inquirer) Asked() int { return q.asked }

// Fit reports whether the server can be asked again.
func (q *Inquirer) Fit() bool { return q.fit }

// Host is the server that is asked.
func (q *Inquirer) Host() HostPort { return q.host }

// Close says goodbye and closes the connection. It doesn't block for long.
func (q *Inquirer) Close() {
	_ = q.link.raw.SetDeadline(time.Now().Add(time.Second))
	_ = q.send(wire.AppendEmpty(nil, wire.Terminate))
	q.link.close()
}

// Ask runs a query with one parameter of the type that the server makes out,
// and returns its rows: no more than two. It blocks until they are there or ctx
// ends. A server that refuses gives a *LoginError of the step StepInquiry; after
// any other error the server isn't fit any more. sql and argument hold no zero
// byte.
func (q *Inquirer) Ask(ctx context.Context, sql, argument string) ([][]Value, error) {
	if !q.fit {
		return nil, errors.New("the connection can't be asked any more")
	}
	q.asked++
	q.fit = false
	q.total, q.messages = 0, 0
	unwatch := context.AfterFunc(ctx, func() { _ = q.link.raw.SetDeadline(time.Unix(1, 0)) })
	rows, err := q.converse(sql, argument)
	if !unwatch() {
		q.fit = false
	}
	var refusal *LoginError
	if err != nil && !errors.As(err, &refusal) {
		err = q.link.cause(ctx, err)
	}
	return rows, err
}

// converse sends the question and reads its answer ("Extended Query" in
// Postgres's documentation of the message flow).
func (q *Inquirer) converse(sql, argument string) (rows [][]Value, err error) {
	if err := q.send(appendQuestion(nil, sql, argument)); err != nil {
		return nil, err
	}
	var refusal error
	expected := byte(wire.ParseComplete)
	for {
		typ, body, err := q.receive()
		switch {
		case err != nil && refusal != nil:
			return nil, refusal // a FATAL one
		case err != nil:
			return nil, err
		}
		switch typ {
		case wire.NoticeResponse, wire.NotificationResponse, wire.ParameterStatus:
			continue
		case wire.ErrorResponse:
			refusal = q.refuse(body, StepInquiry)
			expected = wire.ReadyForQuery
			continue
		case wire.ReadyForQuery:
			status, ok := wire.ParseReadyForQuery(body)
			if !ok || expected != wire.ReadyForQuery {
				return nil, unexpected(typ, StepInquiry)
			}
			// What is left over would be taken for the next answer.
			q.fit = status == wire.TxIdle && len(q.in) == 0
			return rows, refusal
		case wire.CommandComplete, wire.PortalSuspended, wire.EmptyQueryResponse:
			if expected != wire.DataRow {
				return nil, unexpected(typ, StepInquiry)
			}
			expected = wire.ReadyForQuery
			continue
		}
		if typ != expected {
			return nil, unexpected(typ, StepInquiry)
		}
		switch typ {
		case wire.ParseComplete:
			expected = wire.BindComplete
		case wire.BindComplete:
			expected = wire.DataRow
		case wire.DataRow:
			row, ok := parseValues(body)
			if !ok || len(rows) == maxAnswerRows {
				return nil, fmt.Errorf("malformed or unasked row during %s", StepInquiry)
			}
			rows = append(rows, row)
		}
	}
}

// appendQuestion appends Parse, Bind, Execute and Sync, all without names.
func appendQuestion(dst []byte, sql, argument string) []byte {
	dst, mark := wire.Begin(dst, wire.Parse)
	dst = wire.AppendString(append(dst, 0), sql)
	dst = wire.Finish(append(dst, 0, 0), mark)

	dst, mark = wire.Begin(dst, wire.Bind)
	dst = append(dst, 0, 0, 0, 0, 0, 1) // portal, statement, formats: text; one parameter
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(argument)))
	dst = append(append(dst, argument...), 0, 0)
	dst = wire.Finish(dst, mark)

	dst, mark = wire.Begin(dst, wire.Execute)
	dst = binary.BigEndian.AppendUint32(append(dst, 0), maxAnswerRows)
	dst = wire.Finish(dst, mark)
	return wire.AppendEmpty(dst, wire.Sync)
}

// parseValues reads the columns of a DataRow.
func parseValues(body []byte) (row []Value, ok bool) {
	c := wire.Cursor{Rest: body}
	columns, ok := c.Uint16()
	if !ok {
		return nil, false
	}
	for range columns {
		size, ok := c.Uint32()
		if !ok {
			return nil, false
		}
		if int32(size) == -1 {
			row = append(row, Value{Null: true})
			continue
		}
		value, ok := c.Bytes(int(size))
		if !ok {
			return nil, false
		}
		row = append(row, Value{Text: string(value)})
	}
	return row, len(c.Rest) == 0
}
