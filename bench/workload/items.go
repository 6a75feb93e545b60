package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// itemCount is how many rows the table has that single rows are read from and written to.
const itemCount = 10_000

// itemTables make the table of items. Every row says whose it is: item 42 has the label "item 42".
func itemTables(place Place) []string {
	table := place.table("items")
	return []string{
		"DROP TABLE IF EXISTS " + table,
		"CREATE TABLE " + table + " (id int PRIMARY KEY, label text NOT NULL, changes int NOT NULL, changed_by text NOT NULL) WITH (fillfactor = 50)",
		fmt.Sprintf("INSERT INTO %s SELECT n, 'item ' || n, 0, '' FROM generate_series(1, %d) n", table, itemCount),
		"VACUUM ANALYZE " + table,
	}
}

// keyed are the workloads whose call reads an item by its key.
func keyed(name, title string, shape Shape) Workload {
	return Workload{
		Name: name, Title: title, Shape: shape, Tables: itemTables,
		NewCaller: func(place Place, client int, seed uint64) Caller { return newItemReader(place, client, seed) },
	}
}

func prepared() Workload {
	w := keyed("prepared", "a row by its key, with a statement prepared once", Calls)
	w.Prepared = true
	return w
}

func storm() Workload {
	return keyed("storm", "all clients reconnect at once, each reads a row", Storm)
}

func idle() Workload {
	return keyed("idle", "a row by its key, beside many clients that are connected and idle", Idle)
}

// itemReader reads items.
type itemReader struct {
	random *rand.Rand
	read   Statement
	row    [2]string // of the item in question
}

func newItemReader(place Place, client int, seed uint64) *itemReader {
	return &itemReader{
		random: source(client, seed),
		read:   Statement{Name: "read_item", SQL: "SELECT id, label FROM " + place.table("items") + " WHERE id = $1"},
	}
}

func (c *itemReader) Call(ctx context.Context, s Session) error {
	c.row[0] = strconv.Itoa(between(c.random, 1, itemCount))
	c.row[1] = "item " + c.row[0]
	return alone(ctx, s, c.read, answer{asked: "for " + c.row[1], thing: "item", tag: "SELECT 1", row: c.row[:]}, c.row[:1]...)
}

// readsInHundred is the share of reads in readHeavy.
const readsInHundred = 95

// readHeavy is what most applications do: read, and now and then write.
func readHeavy() Workload {
	return Workload{
		Name:   "read-heavy",
		Title:  fmt.Sprintf("%d %% reads of a row by its key, %d %% updates of one", readsInHundred, 100-readsInHundred),
		Tables: itemTables,
		NewCaller: func(place Place, client int, seed uint64) Caller {
			return &itemUser{
				reader: newItemReader(place, client, seed),
				update: Statement{
					Name: "update_item",
					SQL:  "UPDATE " + place.table("items") + " SET changes = changes + 1 WHERE id = $1 RETURNING id, label",
				},
			}
		},
	}
}

// itemUser reads items, and changes a few.
type itemUser struct {
	reader *itemReader
	update Statement
}

func (c *itemUser) Call(ctx context.Context, s Session) error {
	r := c.reader
	if r.random.IntN(100) < readsInHundred {
		return r.Call(ctx, s)
	}
	r.row[0] = strconv.Itoa(between(r.random, 1, itemCount))
	r.row[1] = "item " + r.row[0]
	want := answer{asked: "to change " + r.row[1], thing: "item", tag: "UPDATE 1", row: r.row[:]}
	return alone(ctx, s, c.update, want, r.row[:1]...)
}

// transaction writes an item, reads it again and commits. The second statement asks Postgres whether the row was written by
// the very transaction that reads it.
func transaction() Workload {
	return Workload{
		Name:   "transaction",
		Title:  "BEGIN, an update of a row, a read of it, COMMIT",
		Tables: itemTables,
		NewCaller: func(place Place, client int, seed uint64) Caller {
			return &itemWriter{
				random: source(client, seed),
				mark:   "client " + strconv.Itoa(client) + " call ",
				write: Statement{
					Name: "write_item",
					SQL:  "UPDATE " + place.table("items") + " SET changed_by = $2 WHERE id = $1",
				},
				read: Statement{
					Name: "read_own_item",
					SQL:  "SELECT id, changed_by, " + writtenHere + " FROM " + place.table("items") + " WHERE id = $1",
				},
			}
		},
	}
}

// itemWriter does the transactions of one client.
type itemWriter struct {
	random      *rand.Rand
	mark        string // what the client's marks begin with
	calls       int
	write, read Statement
	row         [3]string // of the item in question
}

func (c *itemWriter) Call(ctx context.Context, s Session) error {
	c.calls++
	c.row = [3]string{strconv.Itoa(between(c.random, 1, itemCount)), c.mark + strconv.Itoa(c.calls), "t"}
	return transact(ctx, s, commit, func(b *block) error {
		if err := b.do(ctx, c.write, answer{asked: "to change item " + c.row[0], thing: "item", tag: "UPDATE 1"}, c.row[:2]...); err != nil {
			return err
		}
		return c.readBack(ctx, b)
	})
}

// readBack looks at what write has left. A row that is the right one without being written by this transaction says that the
// write went into another transaction than the read.
func (c *itemWriter) readBack(ctx context.Context, b *block) error {
	reply, err := b.session.Do(ctx, c.read, c.row[:1]...)
	if err != nil {
		b.failed(reply)
		return err
	}
	if rows := reply.Rows; len(rows) == 1 && len(rows[0]) == len(c.row) && string(rows[0][0]) == c.row[0] {
		if mark := string(rows[0][1]); mark != c.row[1] || string(rows[0][2]) != c.row[2] {
			b.status = reply.Status
			return &MixedTransaction{
				Did:   "changed item " + c.row[0] + " in a transaction and read it again",
				Found: "that another transaction had changed it, for " + legible(rows[0][1], longestColumn),
			}
		}
	}
	want := answer{asked: "for item " + c.row[0], thing: "item", tag: "SELECT 1", row: c.row[:]}
	return b.check(reply, want, "read what it had changed in a transaction", inside)
}
