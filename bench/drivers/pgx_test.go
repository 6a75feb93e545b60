package drivers

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pgxRunner is pgx with a default_query_exec_mode; empty: its own default, the cache of statements.
func pgxRunner(mode string) runner {
	return func(ctx context.Context, url string, steps []string, report func(outcome)) error {
		if mode != "" {
			url += "?default_query_exec_mode=" + mode
		}
		goRunner(ctx, pgxDriver{url}, steps, report)
		return nil
	}
}

type pgxDriver struct{ url string }

func (d pgxDriver) connect(ctx context.Context, parameters map[string]string) (client, error) {
	config, err := pgx.ParseConfig(d.url)
	if err != nil {
		return nil, err
	}
	for name, value := range parameters {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &pgxClient{conn: conn, end: conn.Close}, nil
}

func (d pgxDriver) pool(ctx context.Context, size int) (acquire func() (client, error), shut func(), err error) {
	config, err := pgxpool.ParseConfig(d.url)
	if err != nil {
		return nil, nil, err
	}
	config.MaxConns = int32(size)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	acquire = func() (client, error) {
		lent, err := pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		return &pgxClient{conn: lent.Conn(), end: func(context.Context) error { lent.Release(); return nil }}, nil
	}
	return acquire, pool.Close, nil
}

type pgxClient struct {
	conn *pgx.Conn
	tx   pgx.Tx // nil: none
	end  func(context.Context) error
}

func (c *pgxClient) run(ctx context.Context, sql string, args ...any) error {
	if c.tx != nil {
		_, err := c.tx.Exec(ctx, sql, args...)
		return err
	}
	_, err := c.conn.Exec(ctx, sql, args...)
	return err
}

func (c *pgxClient) read(ctx context.Context, sql string, args []any, scan func(into func(...any) error) error) ([]string, error) {
	query := c.conn.Query
	if c.tx != nil {
		query = c.tx.Query
	}
	rows, err := query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var columns []string
	for _, field := range rows.FieldDescriptions() {
		columns = append(columns, field.Name)
	}
	for rows.Next() {
		// A row that doesn't fit what was said of its columns isn't seen by somebody who doesn't look at its values.
		if values := rows.RawValues(); len(values) != len(columns) {
			return nil, fmt.Errorf("a row of %d values in %d columns", len(values), len(columns))
		}
		if err := scan(rows.Scan); err != nil {
			return nil, err
		}
	}
	return columns, rows.Err()
}

func (c *pgxClient) begin(ctx context.Context) (err error) {
	c.tx, err = c.conn.Begin(ctx)
	return err
}

func (c *pgxClient) commit(ctx context.Context) error {
	tx := c.tx
	c.tx = nil
	return tx.Commit(ctx)
}

func (c *pgxClient) rollback(ctx context.Context) error {
	tx := c.tx
	c.tx = nil
	return tx.Rollback(ctx)
}

func (c *pgxClient) close(ctx context.Context) error { return c.end(ctx) }

func (c *pgxClient) listen(ctx context.Context, channel string) error {
	return c.run(ctx, "LISTEN "+channel)
}

func (c *pgxClient) unlisten(ctx context.Context, channel string) error {
	return c.run(ctx, "UNLISTEN "+channel)
}

func (c *pgxClient) notified(ctx context.Context) (string, error) {
	notification, err := c.conn.WaitForNotification(ctx)
	if err != nil {
		return "", err
	}
	return notification.Payload, nil
}

func (c *pgxClient) batch(ctx context.Context, sql string, numbers []int32) error {
	batch := &pgx.Batch{}
	for _, n := range numbers {
		batch.Queue(sql, n)
	}
	return c.conn.SendBatch(ctx, batch).Close()
}

func (c *pgxClient) copyIn(ctx context.Context, rows int) error {
	_, err := c.conn.CopyFrom(ctx, pgx.Identifier{"parcel"}, []string{"id", "title"}, pgx.CopyFromSlice(rows, func(i int) ([]any, error) {
		return []any{int32(i + 1), fmt.Sprintf("title %d", i+1)}, nil
	}))
	return err
}

func (c *pgxClient) copyOut(ctx context.Context, sql string) (string, error) {
	var text strings.Builder
	_, err := c.conn.PgConn().CopyTo(ctx, &text, sql)
	return text.String(), err
}

func (c *pgxClient) cancelled(ctx context.Context, sql string, running func() error) error {
	done := make(chan error, 1)
	go func() {
		_, err := c.conn.Exec(ctx, sql)
		done <- err
	}()
	if err := running(); err != nil {
		return err
	}
	if err := c.conn.PgConn().CancelRequest(ctx); err != nil {
		return fmt.Errorf("asking to cancel: %w", err)
	}
	return <-done
}

func (c *pgxClient) array(numbers *[]int32) any { return numbers }
