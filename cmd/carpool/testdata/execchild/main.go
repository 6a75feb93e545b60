// Command execchild is the command that tests run behind `carpool exec`.
//
//	execchild query SQL   one query on a connection of its own; prints the value
//	execchild stay SQL    the same for every line on stdin, on a new connection, tried again until it works
//	execchild hold N      N connections, with one query on each, until stdin ends
//	execchild load N      N workers that query and reconnect until TERM; prints how it went
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

func main() {
	if len(os.Args) != 3 {
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Println("execchild:", err)
		os.Exit(3)
	}
}

func run(mode, argument string) error {
	ctx := context.Background()
	switch mode {
	case "query":
		value, err := query(ctx, argument)
		if err != nil {
			return err
		}
		fmt.Println("value", value)
		return nil
	case "stay":
		fmt.Println("staying")
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			value, err := query(ctx, argument)
			for ; err != nil; value, err = query(ctx, argument) {
				fmt.Println("again", err)
				time.Sleep(20 * time.Millisecond)
			}
			fmt.Println("value", value)
		}
		return nil
	case "hold":
		return hold(ctx, argument)
	case "load":
		return load(ctx, argument)
	}
	return fmt.Errorf("no mode %s", mode)
}

func query(ctx context.Context, sql string) (value string, err error) {
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, sql).Scan(&value)
	return value, err
}

func hold(ctx context.Context, argument string) error {
	n, err := strconv.Atoi(argument)
	if err != nil {
		return err
	}
	for range n {
		conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, "SELECT 1"); err != nil {
			return err
		}
	}
	fmt.Println("holding")
	bufio.NewScanner(os.Stdin).Scan()
	return nil
}

// load ends gracefully: every query that has begun is finished.
func load(ctx context.Context, argument string) error {
	n, err := strconv.Atoi(argument)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 8)
	signal.Notify(stop, syscall.SIGTERM)
	stopping := make(chan struct{})
	var mu sync.Mutex
	var queries, failed int
	var first error
	var workers sync.WaitGroup
	for range n {
		workers.Go(func() {
			for {
				select {
				case <-stopping:
					return
				default:
				}
				done, err := transaction(ctx)
				mu.Lock()
				if queries == 0 && done > 0 {
					fmt.Println("loading")
				}
				queries += done
				if err != nil {
					failed++
					if first == nil {
						first = err
					}
				}
				mu.Unlock()
			}
		})
	}
	<-stop
	time.Sleep(300 * time.Millisecond) // as a server does that lets its load balancer know first
	close(stopping)
	workers.Wait()
	fmt.Printf("ended queries=%d failed=%d first=%v terms=%d\n", queries, failed, first, 1+len(stop))
	if failed > 0 {
		return first
	}
	return nil
}

// transaction opens a connection, works on it and leaves it.
func transaction(ctx context.Context) (queries int, err error) {
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	for i := range 10 {
		var got int
		if err := conn.QueryRow(ctx, "SELECT $1::int + 1", i).Scan(&got); err != nil {
			return queries, err
		}
		if got != i+1 {
			return queries, fmt.Errorf("%d + 1 is %d", i, got)
		}
		queries++
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return queries, err
	}
	if _, err := tx.Exec(ctx, "SELECT pg_sleep(0.002)"); err != nil {
		return queries, err
	}
	return queries + 1, tx.Commit(ctx)
}
