package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"carpool/bench/workload"
)

// connection is a workload.Session on a connection of the driver's. One goroutine uses it at a time.
type connection struct {
	pg       *pgconn.PgConn
	raw      net.Conn // below pg, to be cut
	protocol Protocol
	prepared map[string]*pgconn.StatementDescription // by name; nil until the first
	warnings []string                                // of the exchange under way
	rows     rowBuffer
	text     []byte   // of a simple query with values
	values   [][]byte // of an extended query
	bytes    []byte   // what values points into
}

// customKey is where a connection of the driver's has its connection.
const customKey = "session"

func newConnection(pg *pgconn.PgConn, protocol Protocol) *connection {
	c := &connection{pg: pg, raw: pg.Conn(), protocol: protocol}
	pg.CustomData()[customKey] = c
	return c
}

// noteWarning keeps the SQLSTATE of a warning for the reply in which it came.
func noteWarning(pg *pgconn.PgConn, notice *pgconn.Notice) {
	severity := notice.SeverityUnlocalized
	if severity == "" {
		severity = notice.Severity
	}
	if c, ok := pg.CustomData()[customKey].(*connection); ok && severity == "WARNING" && len(c.warnings) < mostWarnings {
		c.warnings = append(c.warnings, notice.Code)
	}
}

// mostWarnings bounds what one reply can make us keep.
const mostWarnings = 100

// Do sends one statement and waits for the whole reply. With a context that can end it is slower.
func (c *connection) Do(ctx context.Context, s workload.Statement, args ...string) (workload.Reply, error) {
	c.warnings = c.warnings[:0]
	c.rows.reset()
	var tag string
	var err error
	switch {
	case s.Name == "" || c.protocol == Simple:
		tag, err = c.simple(ctx, s, args)
	case c.protocol == Prepared:
		tag, err = c.named(ctx, s, args)
	default:
		tag, err = c.read(c.pg.ExecParams(ctx, s.SQL, c.encode(args), nil, nil, nil))
	}
	return c.reply(tag, err)
}

// simple sends a Query message with the values in its text.
func (c *connection) simple(ctx context.Context, s workload.Statement, args []string) (string, error) {
	sql := s.SQL
	if len(args) > 0 {
		var err error
		if c.text, err = appendSQL(c.text[:0], s, args); err != nil {
			return "", err
		}
		sql = string(c.text)
	}
	results := c.pg.Exec(ctx, sql)
	tag, count := "", 0
	for results.NextResult() {
		count++
		result := results.ResultReader()
		for result.NextRow() {
			c.rows.add(result.Values())
		}
		// An error is the exchange's, too: Close of the results returns it.
		command, _ := result.Close()
		tag = command.String()
	}
	if err := results.Close(); err != nil {
		return "", c.judge(err)
	}
	if count != 1 && !strings.Contains(sql, ";") {
		return "", &misplaced{fmt.Sprintf("sent one statement and was given %d answers", count)}
	}
	return tag, nil
}

// named sends a statement that is prepared under its name at its first use.
func (c *connection) named(ctx context.Context, s workload.Statement, args []string) (string, error) {
	description := c.prepared[s.Name]
	if description == nil {
		var err error
		if description, err = c.pg.Prepare(ctx, s.Name, s.SQL, nil); err != nil {
			return "", fmt.Errorf("preparing %s: %w", s.Name, err)
		}
		if c.prepared == nil {
			c.prepared = make(map[string]*pgconn.StatementDescription)
		}
		c.prepared[s.Name] = description
	}
	return c.read(c.pg.ExecStatement(ctx, description, c.encode(args), nil, nil))
}

func (c *connection) read(result *pgconn.ResultReader) (string, error) {
	for result.NextRow() {
		c.rows.add(result.Values())
	}
	tag, err := result.Close()
	return tag.String(), c.judge(err)
}

// judge tells an exchange that failed from one whose messages make no sense: there the driver has an error of its own and
// keeps the connection open.
func (c *connection) judge(err error) error {
	var fromServer *pgconn.PgError
	if err == nil || errors.As(err, &fromServer) || c.pg.IsClosed() {
		return err
	}
	return &misplaced{"was given messages that make no sense: " + err.Error()}
}

// encode turns the values into bytes that last until the next exchange.
func (c *connection) encode(args []string) [][]byte {
	c.bytes, c.values = c.bytes[:0], c.values[:0]
	total := 0
	for _, arg := range args {
		total += len(arg)
	}
	if cap(c.bytes) < total {
		c.bytes = make([]byte, 0, 2*total)
	}
	for _, arg := range args {
		start := len(c.bytes)
		c.bytes = append(c.bytes, arg...)
		c.values = append(c.values, c.bytes[start:len(c.bytes):len(c.bytes)])
	}
	return c.values
}

// CopyOut runs COPY ... TO STDOUT into w.
func (c *connection) CopyOut(ctx context.Context, sql string, w io.Writer) (workload.Reply, error) {
	c.warnings = c.warnings[:0]
	c.rows.reset()
	tag, err := c.pg.CopyTo(ctx, w, sql)
	return c.reply(tag.String(), err)
}

// CopyIn runs COPY ... FROM STDIN from r.
func (c *connection) CopyIn(ctx context.Context, sql string, r io.Reader) (workload.Reply, error) {
	c.warnings = c.warnings[:0]
	c.rows.reset()
	tag, err := c.pg.CopyFrom(ctx, r, sql)
	return c.reply(tag.String(), err)
}

// reply is what came of an exchange.
func (c *connection) reply(tag string, err error) (workload.Reply, error) {
	reply := workload.Reply{Tag: tag, Status: c.pg.TxStatus(), Warnings: c.warnings}
	if err != nil {
		if c.pg.IsClosed() {
			reply.Status = 0
		}
		return reply, err
	}
	reply.Rows = c.rows.rows()
	return reply, nil
}

// clean makes the connection fit for another call after one that failed with err. It tells whether it is; if not, the
// connection is to be discarded: after a reply that wasn't the right one nobody knows what comes next. A script's own mistake
// isn't the connection's.
func (c *connection) clean(err error) bool {
	var fromServer *pgconn.PgError
	var mistake *workload.ScriptError
	if c.pg.IsClosed() || !errors.As(err, &fromServer) && !errors.As(err, &mistake) {
		return false
	}
	if c.pg.TxStatus() == 'I' {
		return true
	}
	_, err = c.Do(context.Background(), workload.Statement{SQL: "ROLLBACK"})
	return err == nil && c.pg.TxStatus() == 'I'
}

// rowBuffer keeps the rows of a reply, whose bytes the driver reuses for the next message, in memory that the next reply
// reuses.
type rowBuffer struct {
	bytes  []byte
	values [][]byte
	widths []int // of the rows
	result [][][]byte
}

func (b *rowBuffer) reset() {
	b.bytes, b.values, b.widths, b.result = b.bytes[:0], b.values[:0], b.widths[:0], b.result[:0]
}

// add keeps a copy of one row.
func (b *rowBuffer) add(row [][]byte) {
	for _, value := range row {
		if value == nil {
			b.values = append(b.values, nil)
			continue
		}
		if cap(b.bytes)-len(b.bytes) < len(value) {
			// What was kept so far stays where it is.
			b.bytes = make([]byte, 0, max(2*cap(b.bytes), len(value), smallestChunk))
		}
		start := len(b.bytes)
		b.bytes = append(b.bytes, value...)
		b.values = append(b.values, b.bytes[start:len(b.bytes):len(b.bytes)])
	}
	b.widths = append(b.widths, len(row))
}

const smallestChunk = 256

// rows is what was added since reset.
func (b *rowBuffer) rows() [][][]byte {
	values := b.values
	for _, width := range b.widths {
		b.result = append(b.result, values[:width:width])
		values = values[width:]
	}
	return b.result
}
