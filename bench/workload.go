package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Kind is what one transaction does. The zero value is Select.
type Kind int

// The kinds of transaction, on the tables that Prepare makes.
const (
	Select   Kind = iota // read one row by its key
	TPCBLike             // three updates, a read and an insert between BEGIN and COMMIT: seven round trips
)

// String is the name that ParseKind takes.
func (k Kind) String() string {
	if k == TPCBLike {
		return "tpcb-like"
	}
	return "select"
}

// ParseKind is the kind of that name.
func ParseKind(name string) (Kind, error) {
	for _, kind := range []Kind{Select, TPCBLike} {
		if name == kind.String() {
			return kind, nil
		}
	}
	return 0, fmt.Errorf("no kind of load is called %q: select and tpcb-like are known", name)
}

// Protocol is how statements are sent. The zero value is Simple.
type Protocol int

// The protocols, by pgbench's names.
const (
	Simple   Protocol = iota // a Query message with the values in the text
	Extended                 // Parse, Bind, Execute of an unnamed statement each time
	Prepared                 // a named statement, prepared once on each connection
)

// String is pgbench's name for the protocol.
func (p Protocol) String() string {
	return [...]string{"simple", "extended", "prepared"}[p]
}

// errWrongReply is a reply that belongs to another question, the worst a pooler can do.
var errWrongReply = errors.New("a reply to another client's question")

// accountsPerScale is the number of rows of pgbench_accounts for each unit of scale, pgbench's own.
const (
	accountsPerScale = 100_000
	tellersPerScale  = 10
)

// Prepare makes the tables of pgbench anew, with 100,000 accounts for each unit of scale. It blocks until they are filled
// and analyzed; the URL should go straight to Postgres.
func Prepare(ctx context.Context, url string, scale int) error {
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connecting to fill the tables: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	sql := fmt.Sprintf(`
		DROP TABLE IF EXISTS pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers;
		CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
		CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84)) WITH (fillfactor = 50);
		CREATE TABLE pgbench_accounts (aid int, bid int, abalance int, filler char(84)) WITH (fillfactor = 90);
		CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88)) WITH (fillfactor = 50);
		INSERT INTO pgbench_branches SELECT n, 0, '' FROM generate_series(1, %[1]d) n;
		INSERT INTO pgbench_tellers SELECT n, (n - 1) / %[2]d + 1, 0, '' FROM generate_series(1, %[1]d * %[2]d) n;
		INSERT INTO pgbench_accounts SELECT n, (n - 1) / %[3]d + 1, 0, '' FROM generate_series(1, %[1]d * %[3]d) n;
		ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid);`, scale, tellersPerScale, accountsPerScale)
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("filling the tables: %w", err)
	}
	if _, err := conn.Exec(ctx, "VACUUM ANALYZE pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers").ReadAll(); err != nil {
		return fmt.Errorf("analyzing the tables: %w", err)
	}
	return nil
}

// statement is one SQL command of a transaction. Its parameters $1, $2, ... are numbers.
type statement struct {
	name string // of the prepared statement; unprepared when empty
	sql  string
	ask  bool // returns one row, whose first column is the first parameter
}

var (
	begin         = statement{sql: "BEGIN"}
	commit        = statement{sql: "COMMIT"}
	readAccount   = statement{name: "read_account", sql: "SELECT aid, abalance FROM pgbench_accounts WHERE aid = $1", ask: true}
	updateAccount = statement{name: "update_account", sql: "UPDATE pgbench_accounts SET abalance = abalance + $2 WHERE aid = $1"}
	updateTeller  = statement{name: "update_teller", sql: "UPDATE pgbench_tellers SET tbalance = tbalance + $2 WHERE tid = $1"}
	updateBranch  = statement{name: "update_branch", sql: "UPDATE pgbench_branches SET bbalance = bbalance + $2 WHERE bid = $1"}
	insertHistory = statement{
		name: "insert_history",
		sql:  "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)",
	}
)

// statements are the ones that a connection prepares for a kind.
func (k Kind) statements() []statement {
	if k == TPCBLike {
		return []statement{readAccount, updateAccount, updateTeller, updateBranch, insertHistory}
	}
	return []statement{readAccount}
}

// asker sends the statements of one client. It belongs to the client's goroutine.
type asker struct {
	conn     *pgconn.PgConn
	protocol Protocol
}

// prepare makes a fresh connection ready for a kind.
func (a *asker) prepare(ctx context.Context, kind Kind) error {
	if a.protocol != Prepared {
		return nil
	}
	for _, s := range kind.statements() {
		if _, err := a.conn.Prepare(ctx, s.name, s.sql, nil); err != nil {
			return fmt.Errorf("preparing %s: %w", s.name, err)
		}
	}
	return nil
}

// transaction does one transaction of the kind on tables of the scale.
func (a *asker) transaction(ctx context.Context, kind Kind, scale int) error {
	account := 1 + rand.IntN(scale*accountsPerScale)
	if kind == Select {
		return a.send(ctx, readAccount, account)
	}
	teller, branch, delta := 1+rand.IntN(scale*tellersPerScale), 1+rand.IntN(scale), rand.IntN(10_001)-5000
	for _, step := range []struct {
		statement
		values []int
	}{
		{begin, nil},
		{updateAccount, []int{account, delta}},
		{readAccount, []int{account}},
		{updateTeller, []int{teller, delta}},
		{updateBranch, []int{branch, delta}},
		{insertHistory, []int{teller, branch, account, delta}},
		{commit, nil},
	} {
		if err := a.send(ctx, step.statement, step.values...); err != nil {
			return err
		}
	}
	return nil
}

// send runs one statement and checks its reply.
func (a *asker) send(ctx context.Context, s statement, values ...int) error {
	if s.name == "" || a.protocol == Simple {
		results, err := a.conn.Exec(ctx, inline(s.sql, values)).ReadAll()
		if err != nil {
			return err
		}
		if len(results) != 1 {
			return errWrongReply
		}
		return s.check(results[0], values)
	}
	texts := make([][]byte, len(values))
	for i, value := range values {
		texts[i] = strconv.AppendInt(nil, int64(value), 10)
	}
	var result *pgconn.Result
	if a.protocol == Prepared {
		result = a.conn.ExecPrepared(ctx, s.name, texts, nil, nil).Read()
	} else {
		result = a.conn.ExecParams(ctx, s.sql, texts, nil, nil, nil).Read()
	}
	if result.Err != nil {
		return result.Err
	}
	return s.check(result, values)
}

// check compares a reply with the question: its command, and for a read the key of the row.
func (s statement) check(result *pgconn.Result, values []int) error {
	if command, _, _ := strings.Cut(s.sql, " "); !strings.HasPrefix(result.CommandTag.String(), command) {
		return errWrongReply
	}
	if s.ask && (len(result.Rows) != 1 || string(result.Rows[0][0]) != strconv.Itoa(values[0])) {
		return errWrongReply
	}
	return nil
}

// inline puts the values in the place of $1, $2, ... of which there are at most nine.
func inline(sql string, values []int) string {
	if len(values) == 0 {
		return sql
	}
	var text strings.Builder
	for i := 0; i < len(sql); i++ {
		if sql[i] == '$' && i+1 < len(sql) {
			i++
			text.WriteString(strconv.Itoa(values[sql[i]-'1']))
			continue
		}
		text.WriteByte(sql[i])
	}
	return text.String()
}
