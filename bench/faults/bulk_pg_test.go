package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Bulk: much data under way when something fails, or nobody who takes it.

// hangman ends a server when so many bytes have passed.
type hangman struct {
	t     *testing.T
	after int
	pid   string
	at    time.Time // when it has
	text  []byte
}

func (h *hangman) pass(n int) {
	h.after -= n
	if h.after >= 0 || !h.at.IsZero() {
		return
	}
	h.at = time.Now()
	if err := postgres.Exec(context.Background(), "", "select pg_terminate_backend("+h.pid+")"); err != nil {
		h.t.Error(err)
	}
}

// Write implements io.Writer, for COPY OUT.
func (h *hangman) Write(b []byte) (int, error) {
	h.pass(len(b))
	return len(b), nil
}

// Read implements io.Reader, for COPY IN: there is more than anybody waits for.
func (h *hangman) Read(b []byte) (int, error) {
	h.pass(len(b))
	if !h.at.IsZero() && time.Since(h.at) > patience {
		return 0, io.EOF
	}
	return copy(b, h.text), nil
}

func TestCopyCutOff(t *testing.T) {
	p := startCarpool(t, postgres.Address(), "default_pool_size = 3")
	l := startLoad(t, postgres, p.url(), 4)
	heard := make(map[string]int)
	var longest time.Duration
	rounds := either(2, 10)
	for range rounds {
		for _, megabytes := range []int{0, 1, 10} {
			for _, way := range []string{"out", "in"} {
				conn := connect(t, p.url())
				must(t, conn, "begin; create temp table much (line text) on commit drop")
				h := &hangman{t: t, after: megabytes << 20, pid: must(t, conn, "select pg_backend_pid()"), text: []byte(strings.Repeat("all the same\n", 100))}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				var err error
				if way == "out" {
					_, err = conn.CopyTo(ctx, h, "copy (select repeat('x', 1000) from generate_series(1, 1000000)) to stdout")
				} else {
					_, err = conn.CopyFrom(ctx, h, "copy much from stdin")
				}
				cancel()
				if err == nil || h.at.IsZero() {
					t.Fatalf("COPY %s, cut off after %d MB: %v", way, megabytes, err)
				}
				longest = max(longest, time.Since(h.at))
				heard[code(err)]++
				_ = conn.Close(context.Background())
			}
		}
		l.more(10)
	}
	for c, n := range heard {
		if c != "57P01" && c != "08006" && c != "none" {
			t.Errorf("%d clients heard %s", n, c)
		}
	}
	l.end(postgres)
	failed, how := l.failed()
	if failed > 0 {
		t.Errorf("%d errors to bystanders: %s", failed, how)
	}
	figure(t, "server's end in the midst of COPY", "%d times each way, after 0, 1 and 10 MB: 0 hangs, the client hears of it within %s (%s); %d errors to bystanders",
		rounds, longest.Round(time.Millisecond), counts(heard), failed)
	p.booksAgree(postgres)
}

// A client floods a server that takes nothing.
func TestServerTakesNothing(t *testing.T) {
	const most, size = 16 << 20, 64 << 10
	batches := either(500, 8000)
	server := between(t, postgres.Address(), nil)
	p := startCarpool(t, server.Address(), "default_pool_size = 1")
	must(t, connect(t, p.url()), "select 1")
	conn, front := raw(t, p)
	before := resident(t, p)
	server.Silence()
	var sent atomic.Int64
	done := make(chan error, 1)
	value := []byte(strings.Repeat("x", size))
	go func() {
		writer := pgproto3.NewFrontend(nil, conn)
		for range batches {
			writer.Send(&pgproto3.Parse{Query: "select length($1)", ParameterOIDs: []uint32{25}})
			writer.Send(&pgproto3.Bind{Parameters: [][]byte{value}})
			writer.Send(&pgproto3.Execute{})
			writer.Send(&pgproto3.Sync{})
			if err := writer.Flush(); err != nil {
				done <- err
				return
			}
			sent.Add(1)
		}
		done <- nil
	}()
	last, still := int64(-1), 0
	eventually(t, "the client to be held back", func() bool {
		if now := sent.Load(); now != last {
			last, still = now, 0
		}
		still++
		return still > 100 && last > 0
	})
	held, grown := last, resident(t, p)-before
	if held >= int64(batches) {
		t.Errorf("all of %d batches of %d bytes were taken though the server takes nothing", batches, size)
	}
	server.Speak()
	right := 0
	for answered := 0; answered < batches; {
		m, err := front.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.DataRow:
			if string(m.Values[0]) == fmt.Sprint(size) {
				right++
			}
		case *pgproto3.ReadyForQuery:
			answered++
		case *pgproto3.ErrorResponse:
			t.Fatal(m.Message)
		}
	}
	if err := <-done; err != nil || right != batches {
		t.Errorf("%d of %d answers are right: %v", right, batches, err)
	}
	grown = max(grown, resident(t, p)-before)
	if grown > most {
		t.Errorf("carpool's memory has grown by %d KiB", grown>>10)
	}
	_ = conn.Close()
	figure(t, "client floods a server that takes nothing", "%d MB to be bound: the client is held back after %d KiB, carpool's memory grows by %d KiB; then all of %d answers are right",
		batches*size/1_000_000, held*size>>10, grown>>10, batches)
	p.booksAgree(postgres)
}

// raw logs in a client that is only a connection.
func raw(t *testing.T, p *pooler) (net.Conn, *pgproto3.Frontend) {
	t.Helper()
	conn, front, err := enter(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, front
}

// enter logs in with a raw connection.
func enter(p *pooler) (net.Conn, *pgproto3.Frontend, error) {
	conn, err := net.DialTimeout("tcp", p.address, patience)
	if err != nil {
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(4 * patience))
	front := pgproto3.NewFrontend(conn, conn)
	front.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "someone", "database": role}})
	if err := front.Flush(); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	if err := untilReady(front); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, front, nil
}

// untilReady reads to the next ReadyForQuery.
func untilReady(front *pgproto3.Frontend) error {
	for {
		m, err := front.Receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			return asError(m)
		case *pgproto3.ReadyForQuery:
			return nil
		}
	}
}

func asError(m *pgproto3.ErrorResponse) error { return fmt.Errorf("%s (%s)", m.Message, m.Code) }
