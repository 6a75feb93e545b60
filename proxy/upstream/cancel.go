package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"carpool/proxy/wire"
)

// CancelTarget is the address of one server's current query: where the server
// is, whether the way there has to be encrypted, and the server's key. The zero
// value is nobody's.
type CancelTarget struct {
	at      address
	tls     *tls.Config // nil: the connection to the server isn't encrypted
	socket  Socket
	timeout time.Duration
	pid     uint32
	secret  []byte
}

// maxCancelReply is how many bytes are read in wait for the end. A server says
// nothing in reply to a cancel request.
const maxCancelReply = 4 << 10

// Cancel asks a server to cancel what it is doing. It opens a connection of its
// own to the address of the server's, encrypted if that one is, and returns
// when the server has closed it: then the request has been acted on, and can't
// hit a later query any more. Whether there was anything to cancel isn't known.
// sent, which may be nil, is called when the request is on its way.
func Cancel(ctx context.Context, ct CancelTarget, sent func()) error {
	if len(ct.secret) == 0 {
		return errors.New("cancelling a query: the server gave no cancel key")
	}
	ctx, stop := withTimeout(ctx, ct.timeout)
	defer stop()
	if err := cancel(ctx, &ct, sent); err != nil {
		return fmt.Errorf("cancelling a query at %s: %w", ct.at, err)
	}
	return nil
}

func cancel(ctx context.Context, ct *CancelTarget, sent func()) error {
	l, err := connect(ctx, ct.at, &ct.socket)
	if err != nil {
		return err
	}
	defer l.close()
	if ct.tls != nil {
		if err := l.encrypt(ctx, ct.tls); err != nil {
			return err
		}
	}
	if _, err := l.Write(wire.AppendCancelRequest(nil, ct.pid, ct.secret)); err != nil {
		return l.cause(ctx, err)
	}
	if sent != nil {
		sent()
	}
	_, err = io.CopyN(io.Discard, l, maxCancelReply)
	switch {
	case err == nil:
		return errors.New("the server answers a cancel request with data")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isReset(err):
		return nil // however it closed, it is closed
	}
	return l.cause(ctx, err)
}
