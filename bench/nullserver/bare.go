package nullserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"carpool/proxy/wire"
)

// Cost is what a call takes against the null server, at the median.
type Cost struct {
	Harness time.Duration // made by the benchmark's worker, with all that it does around it
	Bare    time.Duration // the same bytes exchanged by Bare
}

// PerCall is what the harness itself costs, never below 0.
func (c Cost) PerCall() time.Duration { return max(0, c.Harness-c.Bare) }

// Bare is the median time of one exchange of the bytes of a simple query SELECT 1, over a TCP connection to a null server,
// by a loop that does nothing but write, read and take the time: the least that a call can take on this machine. It blocks
// for as many calls as asked for, or until ctx ends.
func Bare(ctx context.Context, address string, calls int) (time.Duration, error) {
	if calls < 1 {
		return 0, errors.New("measuring bare exchanges: none were asked for")
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, fmt.Errorf("measuring bare exchanges: %w", err)
	}
	socket, err := takeSocket(conn)
	if err != nil {
		return 0, err
	}
	defer socket.Close()
	release := context.AfterFunc(ctx, socket.end)
	defer release()
	took, err := exchange(socket, calls)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return 0, fmt.Errorf("measuring bare exchanges: %w", err)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// exchange logs in and returns how long each exchange took.
func exchange(socket *socket, calls int) ([]time.Duration, error) {
	replies := newReplies()
	buffer := make([]byte, max(len(replies.welcome), len(replies.query)))
	login := wire.AppendStartup(nil, wire.Protocol30, []wire.Param{{Name: "user", Value: "carpool"}})
	if err := roundTrip(socket, login, buffer[:len(replies.welcome)]); err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	query := wire.AppendQuery(nil, question)
	reply := buffer[:len(replies.query)]
	took := make([]time.Duration, 0, min(calls, 1<<16))
	for range calls {
		began := time.Now()
		if err := roundTrip(socket, query, reply); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	if !bytes.Equal(reply, replies.query) {
		return nil, errors.New("the reply isn't a null server's")
	}
	return took, nil
}

// roundTrip writes the question and reads until the answer is full.
func roundTrip(socket *socket, question, answer []byte) error {
	if _, err := socket.Write(question); err != nil {
		return err
	}
	for len(answer) > 0 {
		n, err := socket.Read(answer)
		if err != nil {
			return err
		}
		answer = answer[n:]
	}
	return nil
}
