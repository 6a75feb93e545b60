package workload

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// A document is a megabyte in rows of about a kilobyte. There are a few of them, so that an answer shows whose it is.
const (
	documentCount = 8
	partCount     = 1024
	partSize      = 1000
)

// documentTables make the table of documents. Each row says of which document it is and which part of it.
func documentTables(place Place) []string {
	table := place.table("documents")
	return []string{
		"DROP TABLE IF EXISTS " + table,
		"CREATE TABLE " + table + " (id int, part int, body text NOT NULL, PRIMARY KEY (id, part))",
		fmt.Sprintf("INSERT INTO %s SELECT id, part, rpad('document ' || id || ' part ' || part || ' ', %d, '.')"+
			" FROM generate_series(1, %d) id, generate_series(1, %d) part", table, partSize, documentCount, partCount),
		"VACUUM ANALYZE " + table,
	}
}

// appendPart appends the body of one part of a document: what the table has.
func appendPart(to []byte, id string, part int) []byte {
	start := len(to)
	to = append(to, "document "...)
	to = append(to, id...)
	to = append(to, " part "...)
	to = strconv.AppendInt(to, int64(part), 10)
	to = append(to, ' ')
	for len(to)-start < partSize {
		to = append(to, '.')
	}
	return to
}

// large reads a document with one statement.
func large() Workload {
	return Workload{
		Name:   "large",
		Title:  fmt.Sprintf("a result of 1 MB, in %d rows", partCount),
		Tables: documentTables,
		NewCaller: func(place Place, client int, seed uint64) Caller {
			return &documentReader{
				random: source(client, seed),
				read: Statement{
					Name: "read_document",
					SQL:  "SELECT id, part, body FROM " + place.table("documents") + " WHERE id = $1 ORDER BY part",
				},
			}
		},
	}
}

type documentReader struct {
	random *rand.Rand
	read   Statement
	body   []byte // that is expected; kept for its memory
}

func (c *documentReader) Call(ctx context.Context, s Session) error {
	id := strconv.Itoa(between(c.random, 1, documentCount))
	reply, err := s.Do(ctx, c.read, id)
	if err != nil {
		return err
	}
	if err := c.check(reply, id); err != nil {
		return err
	}
	if reply.Status != outside {
		return &MixedTransaction{Did: "ran one statement", Found: "that it was inside of a transaction"}
	}
	return nil
}

// check looks at every byte of a document.
func (c *documentReader) check(reply Reply, id string) error {
	asked := "for document " + id
	if reply.Tag != "SELECT "+strconv.Itoa(partCount) || len(reply.Rows) != partCount {
		return &WrongAnswer{Asked: asked, Got: describe("document", reply)}
	}
	for i, row := range reply.Rows {
		c.body = appendPart(c.body[:0], id, i+1)
		if len(row) != 3 || string(row[0]) != id || !isNumber(row[1], i+1) || !bytes.Equal(row[2], c.body) {
			return &WrongAnswer{
				Asked: asked,
				Got:   fmt.Sprintf("in place of its part %d: %s", i+1, describe("document", Reply{Tag: reply.Tag, Rows: [][][]byte{row}})),
			}
		}
	}
	return nil
}

// isNumber says whether text is n in decimals.
func isNumber(text []byte, n int) bool {
	var decimals [20]byte
	return bytes.Equal(text, strconv.AppendInt(decimals[:0], int64(n), 10))
}
