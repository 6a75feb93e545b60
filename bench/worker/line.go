package worker

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// line opens and closes connections to the job's server or pooler. Its methods may be called from any goroutine.
type line struct {
	// immutable
	config   *pgconn.Config
	protocol Protocol

	mu        sync.Mutex
	lingering []chan struct{} // of connections that are still sending a cancel request; guarded by mu
}

// readURL turns the job's URL into pgconn's configuration.
func readURL(url string) (*pgconn.Config, error) {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading the benchmark's URL: %w", err)
	}
	if config.ConnectTimeout <= 0 || config.ConnectTimeout > longestConnect {
		config.ConnectTimeout = longestConnect
	}
	config.OnNotice = noteWarning
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return unwatched(conn), nil
	}
	return config, nil
}

func newLine(config *pgconn.Config, protocol Protocol) *line {
	return &line{config: config, protocol: protocol}
}

// open connects and logs in. It blocks until that is done, or ctx or the longest time for it ends.
func (l *line) open(ctx context.Context) (*connection, error) {
	pg, err := pgconn.ConnectConfig(ctx, l.config)
	if err != nil {
		return nil, err
	}
	return newConnection(pg, l.protocol), nil
}

// openBare connects and hands back what is below the driver, which has read everything that came so far.
func (l *line) openBare(ctx context.Context) (net.Conn, error) {
	pg, err := pgconn.ConnectConfig(ctx, l.config)
	if err != nil {
		return nil, err
	}
	if err := pg.SyncConn(ctx); err != nil {
		_ = pg.Close(ctx)
		return nil, err
	}
	hijacked, err := pg.Hijack()
	if err != nil {
		_ = pg.Close(ctx)
		return nil, err
	}
	return hijacked.Conn, nil
}

// discard closes a connection as libpq does: Terminate, then close, and no waiting.
func (l *line) discard(c *connection) {
	_ = c.pg.Close(context.Background())
	done := c.pg.CleanupDone()
	select {
	case <-done:
		return
	default:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.lingering[:0]
	for _, other := range l.lingering {
		select {
		case <-other:
		default:
			kept = append(kept, other)
		}
	}
	l.lingering = append(kept, done)
}

// awaitLingering waits for connections that were broken off in the middle of a call and send a cancel request: without it
// the server would go on with the call.
func (l *line) awaitLingering(limit time.Duration) {
	l.mu.Lock()
	lingering := l.lingering
	l.mu.Unlock()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for _, done := range lingering {
		select {
		case <-done:
		case <-timeout.C:
			return
		}
	}
}

// farewellLimit bounds the wait for a server to close a connection after Terminate.
const farewellLimit = 5 * time.Second

// depart closes a connection and waits until the server has closed it too: then the server has room for another.
func (l *line) depart(c *connection) {
	hijacked, err := c.pg.Hijack()
	if err != nil {
		l.discard(c)
		return
	}
	sayFarewell(hijacked.Conn)
}

func sayFarewell(conn net.Conn) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(farewellLimit)) != nil || sendTerminate(conn) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, conn)
}

func sendTerminate(conn net.Conn) error {
	message, err := (&pgproto3.Terminate{}).Encode(nil)
	if err != nil {
		return err
	}
	_, err = conn.Write(message)
	return err
}

// oneLine makes a sentence for people of an error's text, which may be of any form when it came from a server.
func oneLine(err error) string {
	text := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if runes := []rune(text); len(runes) > longestSentence {
		text = string(runes[:longestSentence]) + "..."
	}
	return text
}

const longestSentence = 400
