package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// shelf has the rows of the table of books: isbn, author, title.
var shelf = [...][3]string{
	{"9780131103627", "Brian W. Kernighan, Dennis M. Ritchie", "The C Programming Language"},
	{"9780134190440", "Alan A. A. Donovan, Brian W. Kernighan", "The Go Programming Language"},
	{"9780201835953", "Frederick P. Brooks Jr.", "The Mythical Man-Month"},
}

// books is get_books() of the lecture that asked what pooling is worth.
func books() Workload {
	return Workload{
		Name:  "books",
		Title: "one of three books by its ISBN",
		Tables: func(place Place) []string {
			table := place.table("books")
			sql := []string{
				"DROP TABLE IF EXISTS " + table,
				"CREATE TABLE " + table + " (isbn text PRIMARY KEY, author text NOT NULL, title text NOT NULL)",
			}
			for _, book := range shelf {
				sql = append(sql, fmt.Sprintf("INSERT INTO %s VALUES ('%s', '%s', '%s')", table, book[0], book[1], book[2]))
			}
			return append(sql, "VACUUM ANALYZE "+table)
		},
		NewCaller: func(place Place, client int, seed uint64) Caller {
			return &bookReader{
				random: source(client, seed),
				get:    Statement{Name: "get_books", SQL: "SELECT isbn, author, title FROM " + place.table("books") + " WHERE isbn = $1"},
			}
		},
	}
}

type bookReader struct {
	random *rand.Rand
	get    Statement
}

func (c *bookReader) Call(ctx context.Context, s Session) error {
	book := &shelf[c.random.IntN(len(shelf))]
	return alone(ctx, s, c.get, answer{asked: "for book " + book[0], thing: "book", tag: "SELECT 1", row: book[:]}, book[:1]...)
}

// table is the name of a table, complete: where servers are shared by transactions there is no search_path to rely on.
func (p Place) table(name string) string { return p.Schema + "." + name }
