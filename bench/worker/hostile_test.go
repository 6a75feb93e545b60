package worker

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"carpool/bench/workload"
)

// answering is a server that lets everybody in and answers every query with the messages written in shorthand. It returns
// its URL.
func answering(t *testing.T, shorthand string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	reply := messages(t, shorthand)
	go func() { // ends with the listener
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { // ends with its client
				defer conn.Close()
				_ = answer(conn, reply)
			}()
		}
	}()
	return "postgres://u@" + listener.Addr().String() + "/d?sslmode=disable"
}

func answer(conn io.ReadWriter, reply []pgproto3.BackendMessage) error {
	server := pgproto3.NewBackend(conn, conn)
	if _, err := server.ReceiveStartupMessage(); err != nil {
		return err
	}
	server.Send(&pgproto3.AuthenticationOk{})
	server.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for {
		if err := server.Flush(); err != nil {
			return err
		}
		message, err := server.Receive()
		if err != nil {
			return err
		}
		if _, ok := message.(*pgproto3.Query); ok {
			for _, m := range reply {
				server.Send(m)
			}
		}
	}
}

// A pooler that mixes replies up is found out on a guarded connection, too, and the connection isn't used any more.
func TestMixedUpRepliesAreFoundOnGuardedConnections(t *testing.T) {
	for _, test := range []struct {
		server string
		odd    bool
	}{
		{"T1 D1 C:SELECT Z:I", false},
		{"D1 C:SELECT Z:I", true},
		{"T1 D1 C:SELECT T1 C:SELECT Z:I", true},
		{"Z:I", true},
		{"C:COMMIT C:SELECT Z:I", true},
		{"E Z:I", false},
	} {
		c := session(t, answering(t, test.server), Simple)
		_, err := c.Do(context.Background(), workload.Statement{SQL: "SELECT 1"})
		var odd *misplaced
		if errors.As(err, &odd) != test.odd {
			t.Errorf("%s: got %v", test.server, err)
		}
		if test.odd && c.clean(err) {
			t.Errorf("%s: the connection was kept after %v", test.server, err)
		}
	}
}

// A reply that never comes is given up, and the next call has a new connection.
func TestLostReplyOnTheUnguardedConnection(t *testing.T) {
	result, err := runWorkload(t.Context(), Job{
		Technique: GlobalUnsafe, URL: answering(t, "T1 D1 C:SELECT"), Protocol: Simple, Clients: 3, Calls: 6,
	}, scripted(t, "SELECT 1;"), Control{})
	if err != nil {
		t.Fatal(err)
	}
	if result.Calls != 0 || result.Errors[timeoutError] == 0 || failures(result) != 6 || result.Elapsed > 6*lostReply {
		t.Errorf("%+v", shown(result))
	}
}
