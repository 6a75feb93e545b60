package notify

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/upstream"
	"carpool/proxy/wire"
)

// patience is how long a test waits for what has to happen.
const patience = 30 * time.Second

var postgres *pgserver.Server

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgserver.Options{}, func(s *pgserver.Server) { postgres = s }))
}

// brisk are times for tests: long ones are never met.
func brisk() times {
	return times{linger: time.Hour, silence: time.Hour, patience: patience, retry: time.Millisecond, retryMax: 20 * time.Millisecond}
}

func dialerTo(server *pgserver.Server, mode upstream.TLSMode) Dialer {
	target := &upstream.Target{
		Hosts: []upstream.HostPort{{Host: server.Host(), Port: uint16(server.Port())}},
		User:  "postgres", Database: "postgres", TLS: upstream.TLS{Mode: mode}, ConnectTimeout: patience,
		Params: []wire.Param{{Name: "application_name", Value: "hub"}},
	}
	return dialerOf(target)
}

func dialerOf(target *upstream.Target) Dialer {
	return func(ctx context.Context) (*Conn, error) {
		c, err := upstream.Dial(ctx, target, nil)
		if err != nil {
			return nil, err
		}
		return &Conn{FD: c.FD, TLS: c.TLS, Rest: c.Rest, PID: c.PID}, nil
	}
}

// startHub starts a hub that is closed when the test ends, and leaves nothing.
func startHub(t testing.TB, dial Dialer, tm times) *Hub {
	t.Helper()
	before := goleak.IgnoreCurrent()
	h := newHub(dial, slog.New(slog.DiscardHandler), tm)
	t.Cleanup(func() {
		h.Close()
		if err := goleak.Find(before, goleak.IgnoreAnyFunction("carpool/bench/pgserver.Launch.func1")); err != nil {
			t.Error(err)
		}
	})
	return h
}

// said is one call of a Listener's method.
type said struct {
	what    string // notes, subscribed, refused, lost, restored, caught up
	notes   []Note
	channel string
	ticket  uint64
	err     error
}

// ear is a Listener that keeps what it is told, as a session's loop would.
type ear struct {
	mu    sync.Mutex
	heard []said
	stir  chan struct{}
}

func newEar() *ear { return &ear{stir: make(chan struct{}, 1)} }

func (e *ear) hear(s said) {
	e.mu.Lock()
	e.heard = append(e.heard, s)
	e.mu.Unlock()
	select {
	case e.stir <- struct{}{}:
	default:
	}
}

func (e *ear) Notes(batch []Note) { e.hear(said{what: "notes", notes: batch}) }
func (e *ear) Lost(err error)     { e.hear(said{what: "lost", err: err}) }
func (e *ear) Restored()          { e.hear(said{what: "restored"}) }
func (e *ear) CaughtUp(t uint64)  { e.hear(said{what: "caught up", ticket: t}) }
func (e *ear) Subscribed(channel string, ticket uint64, err error) {
	what := "subscribed"
	if err != nil {
		what = "refused"
	}
	e.hear(said{what: what, channel: channel, ticket: ticket, err: err})
}

// take returns what was said since the last call, without waiting.
func (e *ear) take() []said {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.heard
	e.heard = nil
	return s
}

// next returns the next thing that was said.
func (e *ear) next(t testing.TB) said {
	t.Helper()
	for deadline := time.After(patience); ; {
		e.mu.Lock()
		if len(e.heard) > 0 {
			s := e.heard[0]
			e.heard = e.heard[1:]
			e.mu.Unlock()
			return s
		}
		e.mu.Unlock()
		select {
		case <-e.stir:
		case <-deadline:
			t.Fatal("the listener isn't told anything")
		}
	}
}

// expect is next, which has to be the given.
func (e *ear) expect(t testing.TB, what string) said {
	t.Helper()
	s := e.next(t)
	if s.what != what {
		t.Fatalf("the listener is told %q (%q, %v), want %q", s.what, s.channel, s.err, what)
	}
	return s
}

// listen subscribes to a channel, with nothing else going on.
func (e *ear) listen(t testing.TB, h *Hub, channel string) {
	t.Helper()
	ticket := h.Listen(e, channel)
	if s := e.expect(t, "subscribed"); s.channel != channel || s.ticket != ticket {
		t.Fatalf("subscribed to %q (ticket %d), want %q (%d)", s.channel, s.ticket, channel, ticket)
	}
}

// eventually asks until the answer is yes. What it asks waits by itself.
func eventually(t testing.TB, what string, ask func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ask(); {
		if time.Now().After(deadline) {
			t.Fatalf("it never happens that %s", what)
		}
	}
}

func connect(t testing.TB, onNote func(*pgconn.Notification)) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(postgres.URL("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if onNote != nil {
		config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { onNote(n) }
	}
	conn, err := pgconn.ConnectConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func exec(t testing.TB, server *pgserver.Server, format string, args ...any) {
	t.Helper()
	if err := server.Exec(t.Context(), "", fmt.Sprintf(format, args...)); err != nil {
		t.Fatal(err)
	}
}
