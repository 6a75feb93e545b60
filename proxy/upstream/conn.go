package upstream

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"carpool/proxy/reactor"
	"carpool/proxy/wire"
)

// Conn is a server that is logged in, idle, outside a transaction. It is a
// plain record: whoever has it owns the descriptor and has to close it, or to
// call Close.
type Conn struct {
	// FD is the socket: non-blocking, close-on-exec, unknown to Go's poller.
	FD int
	// TLS is the layer above the socket, switched for use by an event loop; nil
	// when the connection isn't encrypted.
	TLS *reactor.TLS
	// Rest is what the server had sent beyond the login, normally nothing. With
	// TLS it is already decrypted.
	Rest []byte

	// PID and Secret are the server's key for cancel requests. A server that
	// gave none has PID 0 and no Secret.
	PID    uint32
	Secret []byte
	// Params are the parameters that the server reported, in its order; one
	// that was reported twice stands twice, the last counts.
	Params []wire.Param
	// AtLogin is how many of Params came before the connect query.
	AtLogin int
	// Settings are the parameters that the connect query has set, if that was
	// wanted and the server can tell.
	Settings []wire.Param
	// Answer is the last row that the connect query gave, with "" for NULL; nil
	// if it gave none.
	Answer []string

	// Host is the one of the target's hosts that answered.
	Host HostPort
	// Remote and Local are the socket's two ends; not valid on Unix sockets.
	Remote, Local netip.AddrPort

	cancel CancelTarget
}

// CancelTarget returns what Cancel needs to cancel this server's query. It
// stays good after the Conn is closed.
func (c *Conn) CancelTarget() CancelTarget { return c.cancel }

// Param returns the value of a reported parameter, in the server's spelling of
// its name, or "".
func (c *Conn) Param(name string) string {
	for i := len(c.Params) - 1; i >= 0; i-- {
		if c.Params[i].Name == name {
			return c.Params[i].Value
		}
	}
	return ""
}

// Close says goodbye to the server and closes the descriptor, without
// blocking. It is for whoever won't use the connection after all.
func (c *Conn) Close() error {
	goodbye := wire.AppendEmpty(nil, wire.Terminate)
	if c.TLS != nil {
		if _, err := c.TLS.Conn.Write(goodbye); err == nil {
			goodbye = c.TLS.Feed.Take()
		}
	}
	// The server notices the closed socket anyway; the message spares its log
	// a complaint.
	_, _ = unix.Write(c.FD, goodbye)
	if err := unix.Close(c.FD); err != nil {
		return fmt.Errorf("closing server connection: %w", err)
	}
	return nil
}
