package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// Rows for each unit of Place.Scale, and the amounts that are moved: pgbench's own.
const (
	accountsPerScale = 100_000
	tellersPerScale  = 10
	largestDelta     = 5000
)

// tpcb is pgbench's TPC-B-like transaction on pgbench's tables, with the account's number read besides its balance so that
// the row can be told from another client's.
func tpcb() Workload {
	return Workload{
		Name:      "tpcb",
		Title:     "pgbench's TPC-B-like transaction: three updates, a read and an insert",
		Tables:    bankTables,
		NewCaller: func(place Place, client int, seed uint64) Caller { return newTeller(place, client, seed) },
	}
}

func bankTables(place Place) []string {
	scale := max(place.Scale, 1)
	accounts, branches := place.table("pgbench_accounts"), place.table("pgbench_branches")
	tellers, history := place.table("pgbench_tellers"), place.table("pgbench_history")
	return []string{
		fmt.Sprintf("DROP TABLE IF EXISTS %s, %s, %s, %s", accounts, branches, tellers, history),
		"CREATE TABLE " + history + " (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))",
		"CREATE TABLE " + tellers + " (tid int PRIMARY KEY, bid int, tbalance int, filler char(84)) WITH (fillfactor = 50)",
		"CREATE TABLE " + branches + " (bid int PRIMARY KEY, bbalance int, filler char(88)) WITH (fillfactor = 50)",
		"CREATE TABLE " + accounts + " (aid int, bid int, abalance int, filler char(84)) WITH (fillfactor = 90)",
		fmt.Sprintf("INSERT INTO %s SELECT n, 0, '' FROM generate_series(1, %d) n", branches, scale),
		fmt.Sprintf("INSERT INTO %s SELECT n, (n - 1) / %d + 1, 0, '' FROM generate_series(1, %d) n", tellers, tellersPerScale, scale*tellersPerScale),
		fmt.Sprintf("INSERT INTO %s SELECT n, (n - 1) / %d + 1, 0, '' FROM generate_series(1, %d) n", accounts, accountsPerScale, scale*accountsPerScale),
		"ALTER TABLE " + accounts + " ADD PRIMARY KEY (aid)",
		fmt.Sprintf("VACUUM ANALYZE %s, %s, %s, %s", accounts, branches, tellers, history),
	}
}

// teller does the transactions of one client.
type teller struct {
	random *rand.Rand
	scale  int

	updateAccount Statement
	readAccount   Statement
	updateTeller  Statement
	updateBranch  Statement
	addEntry      Statement

	args [4]string // kept for its memory
}

func newTeller(place Place, client int, seed uint64) *teller {
	return &teller{
		random: source(client, seed), scale: max(place.Scale, 1),
		updateAccount: Statement{
			Name: "update_account",
			SQL:  "UPDATE " + place.table("pgbench_accounts") + " SET abalance = abalance + $2 WHERE aid = $1",
		},
		readAccount: Statement{
			Name: "read_account",
			SQL:  "SELECT aid, abalance FROM " + place.table("pgbench_accounts") + " WHERE aid = $1",
		},
		updateTeller: Statement{
			Name: "update_teller",
			SQL:  "UPDATE " + place.table("pgbench_tellers") + " SET tbalance = tbalance + $2 WHERE tid = $1",
		},
		updateBranch: Statement{
			Name: "update_branch",
			SQL:  "UPDATE " + place.table("pgbench_branches") + " SET bbalance = bbalance + $2 WHERE bid = $1",
		},
		addEntry: Statement{
			Name: "add_entry",
			SQL: "INSERT INTO " + place.table("pgbench_history") +
				" (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)",
		},
	}
}

func (c *teller) Call(ctx context.Context, s Session) error {
	account := strconv.Itoa(between(c.random, 1, c.scale*accountsPerScale))
	branch := strconv.Itoa(between(c.random, 1, c.scale))
	desk := strconv.Itoa(between(c.random, 1, c.scale*tellersPerScale))
	delta := strconv.Itoa(between(c.random, -largestDelta, largestDelta))
	return transact(ctx, s, commit, func(b *block) error {
		if err := b.do(ctx, c.updateAccount, updated("account", account), c.with(account, delta)...); err != nil {
			return err
		}
		read := answer{asked: "for account " + account, thing: "account", tag: "SELECT 1", row: c.with(account)}
		if err := b.do(ctx, c.readAccount, read, c.args[:1]...); err != nil {
			return err
		}
		if err := b.do(ctx, c.updateTeller, updated("teller", desk), c.with(desk, delta)...); err != nil {
			return err
		}
		if err := b.do(ctx, c.updateBranch, updated("branch", branch), c.with(branch, delta)...); err != nil {
			return err
		}
		entry := answer{asked: "to add an entry to the history", thing: "entry", tag: "INSERT 0 1"}
		return b.do(ctx, c.addEntry, entry, c.with(desk, branch, account, delta)...)
	})
}

// with puts arguments where they cost no allocation; they last until the next ones.
func (c *teller) with(args ...string) []string { return c.args[:copy(c.args[:], args)] }

func updated(thing, key string) answer {
	return answer{asked: "to change " + thing + " " + key, thing: thing, tag: "UPDATE 1"}
}
