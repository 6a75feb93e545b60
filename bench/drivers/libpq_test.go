package drivers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/lib/pq"
)

// libpqRunner is lib/pq by way of database/sql, with statements that the application prepares or without.
func libpqRunner(prepares bool) runner {
	return func(ctx context.Context, url string, steps []string, report func(outcome)) error {
		goRunner(ctx, libpqDriver{url, prepares}, steps, report)
		return nil
	}
}

type libpqDriver struct {
	url      string
	prepares bool
}

// address adds start-up parameters to the URL. The driver doesn't ask for TLS where there is none only if told.
func (d libpqDriver) address(parameters map[string]string) string {
	query := url.Values{"sslmode": {"disable"}}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		query.Set(name, parameters[name])
	}
	return d.url + "?" + query.Encode()
}

func (d libpqDriver) connect(ctx context.Context, parameters map[string]string) (client, error) {
	c := &libpqClient{url: d.address(parameters)}
	var err error
	if c.db, err = sql.Open("postgres", c.url); err != nil {
		return nil, err
	}
	if d.prepares {
		c.prepared = make(map[string]*sql.Stmt)
	}
	if err := c.dial(ctx); err != nil {
		return nil, errors.Join(err, c.db.Close())
	}
	return c, nil
}

// dial takes a connection from the client's own pool, which has no other.
func (c *libpqClient) dial(ctx context.Context) error {
	var err error
	if c.conn, err = c.db.Conn(ctx); err != nil {
		return err
	}
	return c.conn.Raw(func(raw any) error {
		var ok bool
		if c.raw, ok = raw.(io.Closer); !ok {
			return errors.New("the driver's connection can't be closed")
		}
		return nil
	})
}

func (d libpqDriver) pool(ctx context.Context, size int) (acquire func() (client, error), shut func(), err error) {
	db, err := sql.Open("postgres", d.address(nil))
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(size)
	acquire = func() (client, error) {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		return &libpqClient{conn: conn}, nil
	}
	return acquire, func() { _ = db.Close() }, nil
}

type libpqClient struct {
	url      string
	db       *sql.DB // nil: the connection is lent
	conn     *sql.Conn
	raw      io.Closer            // the driver's own idea of the connection
	tx       *sql.Tx              // nil: none
	prepared map[string]*sql.Stmt // by text; nil: nothing is prepared
	listener *pq.Listener         // nil: none
}

func (c *libpqClient) run(ctx context.Context, text string, args ...any) error {
	if c.tx != nil {
		_, err := c.tx.ExecContext(ctx, text, args...)
		return err
	}
	_, err := c.conn.ExecContext(ctx, text, args...)
	return err
}

func (c *libpqClient) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	switch {
	case c.tx != nil:
		return c.tx.QueryContext(ctx, text, args...)
	case c.prepared == nil || len(args) == 0:
		return c.conn.QueryContext(ctx, text, args...)
	}
	statement := c.prepared[text]
	if statement == nil {
		var err error
		if statement, err = c.conn.PrepareContext(ctx, text); err != nil {
			return nil, err
		}
		c.prepared[text] = statement
	}
	return statement.QueryContext(ctx, args...)
}

func (c *libpqClient) read(ctx context.Context, text string, args []any, scan func(into func(...any) error) error) ([]string, error) {
	rows, err := c.query(ctx, text, args)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return nil, err
		}
	}
	return columns, rows.Err()
}

func (c *libpqClient) begin(ctx context.Context) (err error) {
	c.tx, err = c.conn.BeginTx(ctx, nil)
	return err
}

func (c *libpqClient) commit(context.Context) error {
	tx := c.tx
	c.tx = nil
	return tx.Commit()
}

func (c *libpqClient) rollback(context.Context) error {
	tx := c.tx
	c.tx = nil
	return tx.Rollback()
}

// close closes the connection itself, also in a transaction, or gives back one that is lent.
func (c *libpqClient) close(context.Context) error {
	var err error
	if c.listener != nil {
		err = c.listener.Close()
	}
	if c.db == nil {
		return errors.Join(err, c.conn.Close())
	}
	err = errors.Join(err, c.raw.Close())
	// What follows finds the connection closed, and says so.
	if c.tx != nil {
		_ = c.tx.Rollback()
	}
	_ = c.conn.Close()
	_ = c.db.Close()
	return err
}

// listen is the driver's Listener, which has a connection of its own.
func (c *libpqClient) listen(_ context.Context, channel string) error {
	c.listener = pq.NewListener(c.url, time.Second, time.Minute, nil)
	return c.listener.Listen(channel)
}

func (c *libpqClient) unlisten(_ context.Context, channel string) error {
	return c.listener.Unlisten(channel)
}

func (c *libpqClient) notified(ctx context.Context) (string, error) {
	select {
	case notification := <-c.listener.Notify:
		if notification == nil {
			return "", errors.New("the listener has lost its connection")
		}
		return notification.Extra, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (c *libpqClient) batch(context.Context, string, []int32) error { return errLeftOut }

func (c *libpqClient) copyIn(ctx context.Context, rows int) error {
	tx, err := c.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	statement, err := tx.PrepareContext(ctx, "COPY parcel (id, title) FROM STDIN")
	if err != nil {
		return err
	}
	for i := range rows {
		if _, err := statement.ExecContext(ctx, i+1, fmt.Sprintf("title %d", i+1)); err != nil {
			return err
		}
	}
	if _, err := statement.ExecContext(ctx); err != nil {
		return err
	}
	if err := statement.Close(); err != nil {
		return err
	}
	return tx.Commit()
}

func (c *libpqClient) copyOut(context.Context, string) (string, error) { return "", errLeftOut }

// cancelled ends the context of the query. The driver doesn't use the connection again after that, but another one.
func (c *libpqClient) cancelled(ctx context.Context, text string, running func() error) error {
	during, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := c.conn.ExecContext(during, text)
		done <- err
	}()
	if err := running(); err != nil {
		return err
	}
	cancel()
	err := <-done
	_ = c.conn.Close()
	return errors.Join(err, c.dial(ctx))
}

func (c *libpqClient) array(numbers *[]int32) any { return pq.Array(numbers) }
