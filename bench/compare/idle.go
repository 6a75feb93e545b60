package compare

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"carpool/bench/pooler"
	"carpool/bench/procfs"

	"github.com/jackc/pgx/v5/pgconn"
)

// parallelDials is how many idle clients connect at a time.
const parallelDials = 50

// compareIdle measures the memory of a fresh process, and of logged-in clients that do nothing.
func (y *yard) compareIdle(ctx context.Context) error {
	clients := idleClients(y.IdleClients, procfs.RaiseFileLimit())
	if clients < y.IdleClients {
		fmt.Fprintf(y.Out, "The limit of open files permits only %d idle clients instead of %d.\n", clients, y.IdleClients)
	}
	if clients == 0 {
		return fmt.Errorf("the limit of open files permits no idle clients")
	}
	fmt.Fprintf(y.Out, "\n%-12s %20s %30s %22s\n", "", "fresh process, MB", fmt.Sprintf("with %d idle clients, MB", clients), "each client, kB")
	for _, p := range []pooler.Product{y.carpool, y.pgbouncer} {
		fresh, full, err := y.idleMemory(ctx, p, clients)
		if err != nil {
			return err
		}
		fmt.Fprintf(y.Out, "%-12s %20.1f %30.1f %22.2f\n", p.Name, megabytes(fresh), megabytes(full), float64(full-fresh)/float64(clients)/1024)
	}
	return nil
}

// idleMemory is the resident memory of a fresh process that has served one client, and of the same with idle clients.
func (y *yard) idleMemory(ctx context.Context, p pooler.Product, clients int) (fresh, full int64, err error) {
	running, err := pooler.Launch(ctx, p, y.transactionMode())
	if err != nil {
		return 0, 0, err
	}
	defer y.end(running)
	fmt.Fprintf(y.Progress, "connecting %d idle clients to %s\n", clients, p.Name)
	config, err := pgconn.ParseConfig(running.URL(""))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the pooler's URL: %w", err)
	}
	first, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return 0, 0, fmt.Errorf("connecting to %s: %w", p.Name, err)
	}
	defer first.Close(context.WithoutCancel(ctx))
	if _, err := first.Exec(ctx, "SELECT 1").ReadAll(); err != nil {
		return 0, 0, fmt.Errorf("querying through %s: %w", p.Name, err)
	}
	before, err := running.Memory()
	if err != nil {
		return 0, 0, err
	}
	conns, err := openIdle(ctx, config, clients)
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	if err != nil {
		return 0, 0, fmt.Errorf("connecting idle clients to %s: %w", p.Name, err)
	}
	// Go's scavenger, for one, gives memory back in the background.
	timer := time.NewTimer(y.Settle)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return 0, 0, context.Cause(ctx)
	}
	after, err := running.Memory()
	if err != nil {
		return 0, 0, err
	}
	return before.Resident, after.Resident, nil
}

// openIdle logs in that many clients. It returns those that it has opened, for the caller to close, also with an error.
func openIdle(ctx context.Context, config *pgconn.Config, clients int) ([]net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex // guards opened
	var opened []net.Conn
	var workers sync.WaitGroup
	numbers := make(chan struct{}, clients)
	for range clients {
		numbers <- struct{}{}
	}
	close(numbers)
	for range parallelDials {
		workers.Go(func() {
			for range numbers {
				if ctx.Err() != nil {
					return
				}
				conn, err := pgconn.ConnectConfig(ctx, config)
				if err != nil {
					cancel(err)
					return
				}
				// Only the socket is kept: what pgconn needs for each connection would weigh on us.
				hijacked, err := conn.Hijack()
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				opened = append(opened, hijacked.Conn)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return opened, context.Cause(ctx)
	}
	return opened, nil
}

func megabytes(n int64) float64 { return float64(n) / (1 << 20) }

// idleClients is how many connections we can hold open, at most the wanted number. A limit of 0 isn't known.
func idleClients(wanted int, fileLimit uint64) int {
	const others = 200 // descriptors that aren't such connections, in us and in the pooler
	if fileLimit == 0 || fileLimit >= uint64(wanted)+others {
		return wanted
	}
	return max(0, int(fileLimit)-others)
}
