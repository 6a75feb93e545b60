package workload

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
)

// copying moves a megabyte out of the database and a megabyte in, with each call. What goes in is filtered by COPY itself
// down to its first and last row, and those are counted and rolled back: the bytes travel and are parsed, and the table
// doesn't grow by a megabyte a call that nothing but a VACUUM would take away.
func copying() Workload {
	return Workload{
		Name:  "copy",
		Title: "COPY of 1 MB out, then of 1 MB in, rolled back",
		Tables: func(place Place) []string {
			table := place.table("incoming")
			return append(documentTables(place),
				"DROP TABLE IF EXISTS "+table,
				"CREATE TABLE "+table+" (client int NOT NULL, call int NOT NULL, part int NOT NULL, body text NOT NULL)",
				"CREATE INDEX ON "+table+" (client, call)",
			)
		},
		NewCaller: func(place Place, client int, seed uint64) Caller {
			incoming := place.table("incoming")
			return &copier{
				random:    source(client, seed),
				client:    strconv.Itoa(client),
				documents: place.table("documents"),
				copyIn:    fmt.Sprintf("COPY %s (client, call, part, body) FROM STDIN WHERE part IN (1, %d)", incoming, partCount),
				count: Statement{
					Name: "count_incoming",
					SQL: "SELECT client, call, count(*), sum(part), sum(length(body)) FROM " + incoming +
						" WHERE client = $1 AND call = $2 AND " + writtenHere + " GROUP BY client, call",
				},
			}
		},
	}
}

// copier copies for one client.
type copier struct {
	random    *rand.Rand
	client    string
	calls     int
	documents string // the table
	copyIn    string
	count     Statement
	line      []byte // kept for its memory
}

func (c *copier) Call(ctx context.Context, s Session) error {
	if err := c.out(ctx, s); err != nil {
		return err
	}
	return transact(ctx, s, rollback, func(b *block) error { return c.in(ctx, b) })
}

func (c *copier) out(ctx context.Context, s Session) error {
	id := strconv.Itoa(between(c.random, 1, documentCount))
	reader := documentChecker{id: id, line: c.line[:0]}
	reply, err := s.CopyOut(ctx, "COPY (SELECT id, part, body FROM "+c.documents+" WHERE id = "+id+" ORDER BY part) TO STDOUT", &reader)
	c.line = reader.line
	if err != nil {
		return err
	}
	asked := "to copy document " + id
	switch {
	case reader.wrong != "":
		return &WrongAnswer{Asked: asked, Got: reader.wrong}
	case reader.parts != partCount || reader.pending != 0:
		return &WrongAnswer{Asked: asked, Got: fmt.Sprintf("%d of its %d parts", reader.parts, partCount)}
	case reply.Tag != "COPY "+strconv.Itoa(partCount):
		return &WrongAnswer{Asked: asked, Got: describe("row", reply)}
	case reply.Status != outside:
		return &MixedTransaction{Did: "ran one statement", Found: "that it was inside of a transaction"}
	}
	return nil
}

func (c *copier) in(ctx context.Context, b *block) error {
	c.calls++
	call := strconv.Itoa(c.calls)
	reply, err := b.session.CopyIn(ctx, c.copyIn, &documentWriter{prefix: c.client + "\t" + call + "\t", id: call})
	if err != nil {
		b.failed(reply)
		return err
	}
	copied := answer{asked: "to take in a document", thing: "row", tag: "COPY 2"}
	if err := b.check(reply, copied, "copied rows in a transaction", inside); err != nil {
		return err
	}
	counted := answer{
		asked: "for the rows that client " + c.client + " copied in call " + call, thing: "rows of client", tag: "SELECT 1",
		row: []string{c.client, call, "2", strconv.Itoa(1 + partCount), strconv.Itoa(2 * partSize)},
	}
	return b.do(ctx, c.count, counted, c.client, call)
}

// documentChecker is where COPY writes a document: it compares every byte with what it must be and keeps no more of it than
// a line. Its Write never fails, since the rest has to be read from the session in any case.
type documentChecker struct {
	id      string
	parts   int    // complete ones so far, all right
	line    []byte // the whole line that is expected
	pending int    // bytes of the current line that have come
	wrong   string // what came in place of the right part; empty: nothing
}

func (d *documentChecker) Write(p []byte) (int, error) {
	length := len(p)
	for len(p) > 0 && d.wrong == "" {
		if d.pending == 0 {
			d.line = append(d.line[:0], d.id...)
			d.line = append(d.line, '\t')
			d.line = strconv.AppendInt(d.line, int64(d.parts+1), 10)
			d.line = append(d.line, '\t')
			d.line = append(appendPart(d.line, d.id, d.parts+1), '\n')
		}
		n := min(len(p), len(d.line)-d.pending)
		if !bytes.Equal(p[:n], d.line[d.pending:d.pending+n]) {
			d.wrong = fmt.Sprintf("in place of its part %d: %s", d.parts+1, legible(p[:n], longestColumn))
			break
		}
		p = p[n:]
		if d.pending += n; d.pending == len(d.line) {
			d.pending = 0
			d.parts++
		}
	}
	return length, nil
}

// documentWriter is a document as COPY reads it, made line by line.
type documentWriter struct {
	prefix string // columns before the part's number, each with its tab
	id     string
	parts  int    // made so far
	line   []byte // made and not read
	memory []byte
}

func (d *documentWriter) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(d.line) == 0 {
			if d.parts == partCount {
				break
			}
			d.parts++
			d.memory = append(d.memory[:0], d.prefix...)
			d.memory = strconv.AppendInt(d.memory, int64(d.parts), 10)
			d.memory = append(d.memory, '\t')
			d.memory = append(appendPart(d.memory, d.id, d.parts), '\n')
			d.line = d.memory
		}
		copied := copy(p[n:], d.line)
		d.line = d.line[copied:]
		n += copied
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
