package faults

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"carpool/proxy/wire"
)

// The checker is checked: poolers with a bug are found, one without isn't.

type bug string

const (
	noBug   bug = "none"
	crosses bug = "now and then a client gets a row of another's"
	replays bug = "now and then money is taken twice"
	loses   bug = "now and then a transaction is rolled back, and its client told that it was committed"
	resends bug = "now and then an insertion is sent twice"
	mixes   bug = "now and then a parameter is set for another client"
)

// mishap is how often a bug bites: once in so many occasions.
const mishap = 7

// evil is a pooler with a bug: it gives each client a server of its own, and is up to something.
type evil struct {
	t       *testing.T
	bug     bug
	server  string
	turn    atomic.Int64
	mu      sync.Mutex
	row     []byte // a DataRow, the last one
	rowOf   *evilLink
	clients sync.WaitGroup
}

// evilLink is a client with its server.
type evilLink struct {
	*evil
	swallow atomic.Bool // the next answer, up to its ReadyForQuery
	pretend atomic.Bool // that what comes is the answer to a COMMIT
}

// startEvil returns the address of a pooler with this bug.
func startEvil(t *testing.T, server string, b bug) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &evil{t: t, bug: b, server: server}
	e.clients.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			e.clients.Go(func() { e.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		e.clients.Wait()
	})
	return listener.Addr().String()
}

func (e *evil) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", e.server)
	if err != nil {
		return
	}
	defer server.Close()
	l := &evilLink{evil: e}
	var ways sync.WaitGroup
	ways.Go(func() { _ = l.forward(client, server, true); _ = server.Close() })
	ways.Go(func() { _ = l.forward(server, client, false); _ = client.Close() })
	ways.Wait()
}

// forward passes messages on, one way.
func (l *evilLink) forward(from, to net.Conn, toServer bool) error {
	in := bufio.NewReader(from)
	for first := toServer; ; first = false {
		message, err := readMessage(in, first)
		if err != nil {
			return err
		}
		if !first {
			if toServer {
				message = l.toServer(message)
			} else {
				message = l.toClient(message)
			}
		}
		if _, err := to.Write(message); err != nil {
			return err
		}
	}
}

// readMessage reads a message; that of the start-up has no type.
func readMessage(in *bufio.Reader, startup bool) ([]byte, error) {
	head := 5
	if startup {
		head = 4
	}
	b, err := in.Peek(head)
	if err != nil {
		return nil, err
	}
	size := sizeOf(b[head-4:]) + head - 4
	if size < head || size > 1<<20 {
		return nil, errors.New("no message")
	}
	message := make([]byte, size)
	_, err = io.ReadFull(in, message)
	return message, err
}

func sizeOf(b []byte) int { return int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3]) }

// due reports whether the bug bites this time.
func (l *evilLink) due() bool { return l.turn.Add(1)%mishap == 0 }

func (l *evilLink) toServer(m []byte) []byte {
	if m[0] != 'Q' {
		return m
	}
	sql := string(m[5 : len(m)-1])
	begins := func(with string) bool { return strings.HasPrefix(sql, with) }
	switch {
	case l.bug == replays && begins("update") && strings.Contains(sql, "+ -1 ") && l.due(), l.bug == resends && begins("insert") && l.due():
		l.swallow.Store(true)
		return append(slices.Clone(m), m...)
	case l.bug == loses && begins("commit") && l.due():
		l.pretend.Store(true)
		return wire.AppendQuery(nil, "rollback")
	case l.bug == mixes && begins("set app.owner") && l.due():
		return wire.AppendQuery(nil, "set app.owner = 'another client'")
	}
	return m
}

func (l *evilLink) toClient(m []byte) []byte {
	if l.swallow.Load() {
		if m[0] == wire.ReadyForQuery {
			l.swallow.Store(false)
		}
		return nil
	}
	if m[0] == wire.CommandComplete && l.pretend.Swap(false) {
		return append(wire.AppendHeader(nil, wire.CommandComplete, len("COMMIT")+1), "COMMIT\x00"...)
	}
	if m[0] == wire.DataRow && l.bug == crosses {
		l.mu.Lock()
		defer l.mu.Unlock()
		other, of := l.row, l.rowOf
		l.row, l.rowOf = bytes.Clone(m), l
		if other != nil && of != l && l.due() {
			return other
		}
	}
	return m
}

// roleURL is how the role itself logs in.
func roleURL(address string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", role, address, role)
}

// A pooler that loses, repeats or confuses something is found out, whatever it is.
func TestCheckerFindsBugs(t *testing.T) {
	s := postgres
	for _, b := range []bug{noBug, crosses, replays, resends, loses, mixes} {
		t.Run(string(b), func(t *testing.T) {
			l := startMoves(t, s, roleURL(startEvil(t, s.Address(), b)), 8, allMoves)
			l.more(150)
			wrong := l.verdict(s)
			if found := len(wrong) > 0; found != (b != noBug) {
				t.Errorf("the checker says %q", wrong)
			}
			if failed, how := l.failed(); b == noBug && failed > 0 {
				t.Errorf("%d transactions failed: %s", failed, how)
			}
			t.Log(wrong)
		})
	}
}

// What is wrong in the tables alone is found as well, of each kind.
func TestCheckerFindsWhatIsStored(t *testing.T) {
	s := postgres
	for _, row := range []struct{ what, sql, want string }{
		{"a row is gone", "delete from %[1]s where tag = (select min(tag) from %[1]s)", "are lost"},
		{"a row is there twice", "insert into %[1]s select min(tag) from %[1]s", "are there twice"},
		{"a row is nobody's", "insert into %[1]s values ('99-99')", "were never asked for"},
		{"money is gone", "update %[1]s_accounts set balance = balance - 1 where id = 3", "the accounts hold"},
	} {
		t.Run(row.what, func(t *testing.T) {
			l := startLoad(t, s, roleURL(s.Address()), 4)
			l.more(20)
			l.stop()
			l.workers.Wait()
			if err := s.Exec(t.Context(), role, fmt.Sprintf(row.sql, l.table)); err != nil {
				t.Fatal(err)
			}
			wrong := l.verdict(s)
			if len(wrong) != 1 || !strings.Contains(wrong[0], row.want) {
				t.Errorf("the checker says %q", wrong)
			}
		})
	}
}
