package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"carpool/bench/workload"
)

// unguarded is GlobalUnsafe: one connection on which every client writes and reads as if it were alone. Only a single step
// is whole, one message written or one message read, as an interpreter's lock keeps single steps whole; so memory stays
// sound, and replies go to whoever reads next.
type unguarded struct {
	line *line

	mu   sync.Mutex
	wire *wire // guarded by mu; nil: to be opened
}

func (s *unguarded) open(ctx context.Context, _ []*client) error {
	_, err := s.current(ctx)
	return err
}

// current is the connection, opened again if somebody gave up the one before.
func (s *unguarded) current(ctx context.Context) (*wire, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wire != nil && !s.wire.isGone() {
		return s.wire, nil
	}
	conn, err := s.line.openBare(ctx)
	if err != nil {
		return nil, err
	}
	s.wire = newWire(conn)
	return s.wire, nil
}

func (s *unguarded) take(ctx context.Context, c *client) (workload.Session, error) {
	wire, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	if c.turn == nil {
		c.turn = &turn{protocol: s.line.protocol, isCut: c.run.isCut.Load}
	}
	c.turn.wire = wire
	c.use(&wire.conn)
	return c.turn, nil
}

// give does what a program does when a call has failed: it rolls back what it believes to be its transaction.
func (s *unguarded) give(c *client, err error) {
	if err != nil && !c.turn.wire.isGone() && (c.turn.status == 'T' || c.turn.status == 'E') {
		_, _ = c.turn.Do(context.Background(), workload.Statement{SQL: "ROLLBACK"})
	}
}

func (s *unguarded) drop(*client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wire != nil && s.wire.giveUp() {
		sayFarewell(s.wire.conn)
	}
	s.wire = nil
}

func (s *unguarded) close([]*client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wire != nil && s.wire.giveUp() {
		_ = sendTerminate(s.wire.conn)
		_ = s.wire.conn.Close()
	}
	s.wire = nil
}

const (
	// lostReply is how long a client waits for a message before it gives up the connection.
	lostReply = 2 * time.Second
	// longestMessage bounds what a server can make us keep.
	longestMessage = 64 << 20
)

// wire is a connection that nothing guards.
type wire struct {
	conn net.Conn

	reading  sync.Mutex         // makes the reading of one message one step
	frontend *pgproto3.Frontend // guarded by reading

	mu       sync.Mutex
	prepared map[string]bool // names of statements whose Parse was sent; guarded by mu
	gone     bool            // guarded by mu
}

func newWire(conn net.Conn) *wire {
	frontend := pgproto3.NewFrontend(conn, conn)
	frontend.SetMaxBodyLen(longestMessage)
	return &wire{conn: conn, frontend: frontend, prepared: make(map[string]bool)}
}

func (w *wire) isGone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

// giveUp says that nobody is to use the connection any more. It tells whether the caller is the first and has to close it.
func (w *wire) giveUp() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !w.gone
	w.gone = true
	return first
}

// prepares tells whether a statement is to be prepared by the caller: once on a connection.
func (w *wire) prepares(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !w.prepared[name]
	w.prepared[name] = true
	return first
}

// write is one step: a whole query. Conn writes it whole.
func (w *wire) write(query []byte) error {
	if _, err := w.conn.Write(query); err != nil {
		return w.abandon("sending a query", err)
	}
	return nil
}

// read is one step: the next message, whoever it is for, is added to the reply. It tells whether the message was the one
// that ends a reply.
func (w *wire) read(into *reading, isCut func() bool) (ended bool, err error) {
	w.reading.Lock()
	defer w.reading.Unlock()
	if w.frontend.ReadBufferLen() == 0 {
		_ = w.conn.SetReadDeadline(time.Now().Add(lostReply))
		if isCut() {
			_ = w.conn.SetReadDeadline(past)
		}
	}
	message, err := w.frontend.Receive()
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errNoReply
		}
		return false, w.abandon("waiting for an answer", err)
	}
	return into.take(message), nil
}

// abandon closes the connection after an error. The calls of all who use it fail.
func (w *wire) abandon(attempt string, err error) error {
	if w.giveUp() {
		_ = w.conn.Close()
	}
	return fmt.Errorf("%s: %w", attempt, err)
}

// turn is one client's workload.Session on a wire.
type turn struct {
	wire     *wire
	protocol Protocol
	isCut    func() bool
	status   byte // of the transaction, as this client was last told; 0: unknown
	query    []byte
	reading  reading
}

// Do writes one statement and reads messages until it has seen the end of a reply.
func (t *turn) Do(_ context.Context, s workload.Statement, args ...string) (workload.Reply, error) {
	t.status = 0
	t.reading.reset(s.SQL)
	if err := t.encode(s, args); err != nil {
		return workload.Reply{}, err
	}
	if err := t.wire.write(t.query); err != nil {
		return workload.Reply{}, err
	}
	for {
		ended, err := t.wire.read(&t.reading, t.isCut)
		if err != nil {
			return workload.Reply{}, err
		}
		if ended {
			reply, err := t.reading.reply()
			t.status = reply.Status
			return reply, err
		}
	}
}

// encode puts the whole query into t.query.
func (t *turn) encode(s workload.Statement, args []string) error {
	t.query = t.query[:0]
	var messages []pgproto3.FrontendMessage
	if s.Name == "" || t.protocol == Simple {
		text, err := appendSQL(nil, s, args)
		if err != nil {
			return err
		}
		messages = []pgproto3.FrontendMessage{&pgproto3.Query{String: string(text)}}
	} else {
		name, values := "", make([][]byte, len(args))
		for i, arg := range args {
			values[i] = []byte(arg)
		}
		if t.protocol == Prepared {
			name = s.Name
		}
		if t.protocol == Extended || t.wire.prepares(name) {
			messages = append(messages, &pgproto3.Parse{Name: name, Query: s.SQL})
		}
		messages = append(messages, &pgproto3.Bind{PreparedStatement: name, Parameters: values},
			&pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Sync{})
	}
	for _, message := range messages {
		var err error
		if t.query, err = message.Encode(t.query); err != nil {
			return fmt.Errorf("writing a query: %w", err)
		}
	}
	return nil
}

// CopyOut is refused: see ErrUnsupported.
func (t *turn) CopyOut(context.Context, string, io.Writer) (workload.Reply, error) {
	return workload.Reply{}, errUnguardedCopy
}

// CopyIn is refused: see ErrUnsupported.
func (t *turn) CopyIn(context.Context, string, io.Reader) (workload.Reply, error) {
	return workload.Reply{}, errUnguardedCopy
}

var errUnguardedCopy = fmt.Errorf("%w: threads that copy on one connection that nothing guards wait for each other's data for ever", ErrUnsupported)
