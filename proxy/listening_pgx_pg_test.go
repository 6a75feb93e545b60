package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// pgx as it comes: two connections wait for notifications, and query now and
// then; two others send them, in transactions that are committed or not.
func TestPgxWaitsForNotifications(t *testing.T) {
	const senders, each = 2, 300
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\ndeferred_begin = on\n")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	connect := func() *pgx.Conn {
		conn, err := pgx.Connect(ctx, p.url("postgres", "app"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	var working sync.WaitGroup
	for _, channels := range [][]string{{"orders"}, {"orders", "bills"}} {
		conn := connect()
		for _, channel := range channels {
			if _, err := conn.Exec(ctx, "listen "+channel); err != nil {
				t.Fatal(err)
			}
		}
		working.Go(func() {
			var next [senders]int
			for range senders * each * len(channels) / 2 {
				n, err := conn.WaitForNotification(ctx)
				if err != nil {
					t.Errorf("%s: after %v: %v", channels, next, err)
					return
				}
				var by, number int
				if _, err := fmt.Sscanf(n.Payload, "%d %d", &by, &number); err != nil || by >= senders {
					t.Errorf("%s: heard %+v", channels, n)
					return
				}
				// Even numbers are orders, odd ones bills.
				for next[by]%2 == 1 && !slices.Contains(channels, "bills") {
					next[by]++
				}
				if number != next[by] || n.Channel != []string{"orders", "bills"}[number%2] {
					t.Errorf("%s: heard %+v, want %d", channels, n, next[by])
					return
				}
				next[by]++
				if number%50 == 0 {
					var one int
					if err := conn.QueryRow(ctx, "select $1::int", number).Scan(&one); err != nil || one != number {
						t.Errorf("%s: a query answers %d: %v", channels, one, err)
						return
					}
				}
			}
			if _, err := conn.Exec(ctx, "unlisten *"); err != nil {
				t.Error(err)
			}
		})
	}
	p.multiplexed()
	for by := range senders {
		conn := connect()
		working.Go(func() {
			for number := 0; number < each; {
				size := min(1+number%7, each-number)
				err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
					for i := range size {
						if _, err := tx.Exec(ctx, "select pg_notify($1, $2)", []string{"orders", "bills"}[(number+i)%2], fmt.Sprint(by, " ", number+i)); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				number += size
				tx, err := conn.Begin(ctx)
				if err == nil {
					_, err = tx.Exec(ctx, "select pg_notify('orders', 'taken back')")
				}
				if err == nil {
					err = tx.Rollback(ctx)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	working.Wait()
	eventually(t, "both to listen no more", func() bool { return p.ListenStats()[0].Listeners == 0 })
	if log := p.log.String(); strings.Contains(log, "level=WARN") {
		t.Error("something was warned of")
	}
}
