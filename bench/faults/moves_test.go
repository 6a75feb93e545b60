package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// The kinds of transactions that the clients of a load do. Each moves money and leaves a row with the client's tag; they differ in
// how they say it, and in what else of a session they rely on.

// move is one transaction. Without an error it has been committed.
type move func(*mover) error

// plainMoves need nothing of a server but transactions, prepared statements and parameters.
var plainMoves = []move{(*mover).byQueries, (*mover).byNamedStatement, (*mover).inPipeline, (*mover).withSetting}

// allMoves need sessions besides: some keep their server, and all hear notifications.
var allMoves = append(slices.Clone(plainMoves), (*mover).withTemporaryTable, (*mover).withNotification)

// mover is one client of a load.
type mover struct {
	load *load
	id   int

	// Of the connection.
	conn      *pgconn.PgConn
	prepared  bool
	owned     bool // app.owner is set
	listening bool
	kept      string          // tag in the temporary table that it has; none: it has none
	told      map[string]bool // tags that it was notified of

	// Of the transaction.
	n     int
	tag   string
	begun bool
}

func (c *mover) owner() string { return fmt.Sprintf("client %d", c.id) }

func (c *mover) logIn() bool {
	ctx, cancel := context.WithTimeout(c.load.ctx, patience)
	defer cancel()
	config, err := pgconn.ParseConfig(c.load.url)
	if err == nil {
		config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { c.notified(n) }
		c.prepared, c.owned, c.listening, c.kept, c.told = false, false, false, "", make(map[string]bool)
		c.conn, err = pgconn.ConnectConfig(ctx, config)
	}
	if err != nil {
		c.conn = nil
		c.load.refused(err)
		return false
	}
	c.load.logins.Add(1)
	return true
}

func (c *mover) leave() {
	if c.conn != nil {
		_ = c.conn.Close(context.Background())
	}
}

// same checks that an answer is the client's own.
func (c *mover) same(got, want string) {
	if got != want {
		c.load.crossed.Add(1)
	}
}

// echo runs a statement that returns something of the client's own.
func (c *mover) echo(sql, want string) error {
	got, err := ask(c.conn, sql)
	if err == nil {
		c.same(got, want)
	}
	return err
}

// begin begins a transaction and moves the money.
func (c *mover) begin() error {
	if _, err := ask(c.conn, "begin"); err != nil {
		return err
	}
	for _, sql := range c.updates() {
		if err := c.echo(sql, c.tag); err != nil {
			return err
		}
		c.begun = true
	}
	return nil
}

// updates are the statements that move the money, in the order of the accounts so that nobody waits in a circle.
func (c *mover) updates() (list []string) {
	from, to := 1+(c.id+c.n)%accounts, 1+(c.id*7+c.n*3)%accounts
	amounts := map[int]int{}
	amounts[from]--
	amounts[to]++
	for _, account := range slices.Sorted(maps.Keys(amounts)) {
		list = append(list, fmt.Sprintf("update %s_accounts set balance = balance + %d where id = %d returning '%s'", c.load.table, amounts[account], account, c.tag))
	}
	return list
}

func (c *mover) commit() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	results, err := c.conn.Exec(ctx, "commit").ReadAll()
	if err == nil {
		err = committed(results[0].CommandTag)
	}
	return err
}

func committed(tag pgconn.CommandTag) error {
	if tag.String() != "COMMIT" {
		return errors.New("not committed: " + tag.String())
	}
	return nil
}

// row is the answer to a statement that returns one value of the client's own.
func (c *mover) row(result *pgconn.Result) error {
	if result.Err != nil {
		return result.Err
	}
	if len(result.Rows) != 1 {
		c.load.crossed.Add(1) // it was asked for one
		return nil
	}
	c.same(string(result.Rows[0][0]), c.tag)
	return nil
}

func (c *mover) insert() string { return "insert into " + c.load.table + " values ($1) returning tag" }

func (c *mover) values() [][]byte { return [][]byte{[]byte(c.tag)} }

func (c *mover) insertByQuery() error {
	return c.echo(strings.Replace(c.insert(), "$1", "'"+c.tag+"'", 1), c.tag)
}

func (c *mover) byQueries() error {
	if err := c.begin(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	if c.n%2 == 0 {
		err = c.insertByQuery()
	} else {
		err = c.row(c.conn.ExecParams(ctx, c.insert(), c.values(), nil, nil, nil).Read())
	}
	if err != nil {
		return err
	}
	return c.commit()
}

// byNamedStatement uses a statement that it has prepared once for the connection, whatever servers it has since.
func (c *mover) byNamedStatement() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if !c.prepared {
		if _, err := c.conn.Prepare(ctx, "insertion", c.insert(), nil); err != nil {
			return err
		}
		c.prepared = true
	}
	if err := c.begin(); err != nil {
		return err
	}
	if err := c.row(c.conn.ExecPrepared(ctx, "insertion", c.values(), nil, nil).Read()); err != nil {
		return err
	}
	return c.commit()
}

// inPipeline sends all of the transaction at once, in two batches.
func (c *mover) inPipeline() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p := c.conn.StartPipeline(ctx)
	texts := append([]string{"begin"}, c.updates()...)
	for _, sql := range texts {
		p.SendQueryParams(sql, nil, nil, nil, nil)
	}
	if err := p.Sync(); err != nil {
		return errors.Join(err, p.Close())
	}
	p.SendQueryParams(c.insert(), c.values(), nil, nil, nil)
	p.SendQueryParams("commit", nil, nil, nil, nil)
	if err := p.Sync(); err != nil {
		return errors.Join(err, p.Close())
	}
	done, err := c.answers(p)
	if closed := p.Close(); err == nil {
		err = closed
	}
	if err == nil && !done {
		err = errors.New("not committed")
	}
	return err
}

// answers reads the answers to inPipeline; done when the last one is that of a COMMIT that committed.
func (c *mover) answers(p *pgconn.Pipeline) (done bool, err error) {
	for syncs := 0; syncs < 2; {
		results, err := p.GetResults()
		if err != nil {
			return false, err
		}
		switch r := results.(type) {
		case *pgconn.PipelineSync:
			syncs++
		case *pgconn.ResultReader:
			result := r.Read()
			if result.Err != nil {
				return false, result.Err
			}
			for _, row := range result.Rows {
				c.same(string(row[0]), c.tag)
			}
			done = committed(result.CommandTag) == nil
		}
	}
	return done, nil
}

// withSetting relies on a parameter that it has set once for the connection, and on others that change.
func (c *mover) withSetting() error {
	if !c.owned {
		if _, err := ask(c.conn, "set app.owner = '"+c.owner()+"'"); err != nil {
			return err
		}
		c.owned = true
	}
	if err := c.echo("select current_setting('app.owner')", c.owner()); err != nil {
		return err
	}
	if err := c.begin(); err != nil {
		return err
	}
	if err := c.echo("select set_config('app.tag', '"+c.tag+"', false)", c.tag); err != nil {
		return err
	}
	if err := c.insertByQuery(); err != nil {
		return err
	}
	if err := c.commit(); err != nil {
		return err
	}
	if _, err := ask(c.conn, "set app.last = '"+c.tag+"'"); err != nil {
		return nil // what counts is committed
	}
	_ = c.echo("select current_setting('app.last') /* its own statement, perhaps elsewhere */", c.tag)
	return nil
}

// withTemporaryTable looks for what it left in a temporary table some transactions ago, or leaves something.
func (c *mover) withTemporaryTable() error {
	if c.kept != "" {
		if err := c.echo("select tag from mine", c.kept); err != nil {
			return err
		}
		if _, err := ask(c.conn, "drop table mine"); err != nil {
			return err
		}
		c.kept = ""
	}
	if err := c.begin(); err != nil {
		return err
	}
	if err := c.insertByQuery(); err != nil {
		return err
	}
	keeps := c.n%4 == 0
	if keeps {
		if _, err := ask(c.conn, "create temp table mine as select '"+c.tag+"'::text as tag"); err != nil {
			return err
		}
	}
	if err := c.commit(); err != nil {
		return err
	}
	if keeps {
		c.kept = c.tag
	}
	return nil
}

// withNotification tells itself what it has committed.
func (c *mover) withNotification() error {
	channel := fmt.Sprintf("%s_%d", c.load.table, c.id)
	if !c.listening {
		if _, err := ask(c.conn, "listen "+channel); err != nil {
			return err
		}
		c.listening = true
	}
	if err := c.begin(); err != nil {
		return err
	}
	if err := c.insertByQuery(); err != nil {
		return err
	}
	if _, err := ask(c.conn, "notify "+channel+", '"+c.tag+"'"); err != nil {
		return err
	}
	return c.commit()
}

// notified checks that a notification is the client's own, of something that it has tried, and the first of it.
func (c *mover) notified(n *pgconn.Notification) {
	l := c.load
	l.heard.Add(1)
	l.mu.Lock()
	_, tried := l.tried[n.Payload]
	l.mu.Unlock()
	own := strings.HasPrefix(n.Payload, fmt.Sprintf("%d-", c.id)) && n.Channel == fmt.Sprintf("%s_%d", l.table, c.id)
	if !own || !tried || c.told[n.Payload] {
		l.crossed.Add(1)
	}
	c.told[n.Payload] = true
}
